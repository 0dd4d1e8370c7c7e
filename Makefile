# make run          starts the demo shop and its local Polar, and prints their addresses
# make test         runs the linter, the type check and every test
# make screenshots  writes pictures of every page into screenshots/
# make prove        holds the promises at full size, and prints the figures (PROOF=R6 for some)
PYTHON ?= python3
export PORT ?= 5000
export POLAR_PORT ?= 8787

VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint types screenshots prove clean

run: $(VENV)/installed-site
	exec $(BIN)/python app.py

# Two files at a time; then, one after another, what has to have the machine to itself.
test: lint types
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

screenshots: $(VENV)/installed-dev
	$(BIN)/python -m tests.browser.screenshots screenshots

prove: $(VENV)/installed-dev
	$(BIN)/python -m tests.faults.prove $(PROOF)

clean:
	rm -rf $(VENV) build dist instance screenshots .hypothesis .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed-site: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/installed-site
