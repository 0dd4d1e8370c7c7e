"""What shows that the shop keeps its promises."""

import pkgutil

import pytest

# What tests share tells what was wrong as tests do.
pytest.register_assert_rewrite(
    *(f"tests.{module.name}" for module in pkgutil.iter_modules(__path__))
)
