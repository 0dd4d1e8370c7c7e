"""Registering: every way in, and nothing of the host's that is touched."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from flask import Flask, url_for

from storefront import ConfigurationError, Receipt, Storefront, get_state
from storefront.emulator import LocalPolar
from tests.conftest import SiteMaker


def bare_app(polar: LocalPolar, tmp_path: Path, **settings: object) -> Flask:
    app = Flask("site", instance_path=str(tmp_path / "instance"))
    app.config.update(
        POLAR_SERVER=polar.url, POLAR_ACCESS_TOKEN="polar_oat_local", TESTING=True, **settings
    )
    return app


def test_two_lines_are_a_shop(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """Storefront(app) and register_blueprint: that is all."""
    app = bare_app(reference_polar, tmp_path)
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    assert "Pro Monthly" in app.test_client().get("/shop/").text


def test_blueprint_before_init_app(reference_polar: LocalPolar, tmp_path: Path) -> None:
    """A factory may register the pages before it calls init_app."""
    shop = Storefront()
    app = bare_app(reference_polar, tmp_path)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    shop.init_app(app)
    assert "Pro Monthly" in app.test_client().get("/shop/").text


def test_one_storefront_two_apps(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """One Storefront serves two apps, each with its own settings and the same callbacks."""
    shop = Storefront()
    english = make_site(reference_polar, shop=shop)
    german = make_site(reference_polar, shop=shop, url_prefix="/laden", STOREFRONT_LOCALE="de")
    shop.on_success(lambda receipt: None)
    assert get_state(english) is not get_state(german)
    assert get_state(english).callbacks is get_state(german).callbacks
    assert '<html lang="en"' in english.test_client().get("/shop/").text
    assert '<html lang="de"' in german.test_client().get("/laden/").text


def test_the_same_app_twice(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A second init_app on an app says so."""
    app = make_site(reference_polar)
    with pytest.raises(RuntimeError, match="has a Storefront already"):
        Storefront().init_app(app)


def test_no_storefront() -> None:
    """Asking an app that has none says what was forgotten."""
    app = Flask("site")
    app.register_blueprint(Storefront().blueprint)
    with app.app_context(), pytest.raises(RuntimeError, match="Did you forget"):
        get_state()


def test_a_missing_setting_stops_init_app() -> None:
    """A site without settings does not start, and is told what to set."""
    with pytest.raises(ConfigurationError, match="POLAR_SERVER: not set"):
        Storefront(Flask("site"))


def test_environment_counts(
    reference_polar: LocalPolar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings may come from the environment."""
    monkeypatch.setenv("POLAR_SERVER", reference_polar.url)
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", "polar_oat_local")
    app = Flask("site", instance_path=str(tmp_path))
    shop = Storefront(app)
    with app.app_context():
        assert shop.catalog.page("pro-monthly") is not None


def test_the_host_keeps_its_own(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """No hook, no error handler, no Jinja name and no header on a route that is not ours."""
    plain = Flask("plain")
    names = set(plain.jinja_env.globals) | set(plain.jinja_env.filters)
    app = make_site(reference_polar)
    added = (set(app.jinja_env.globals) | set(app.jinja_env.filters)) - names
    assert added == {"storefront"}
    assert not app.before_request_funcs
    assert not app.after_request_funcs
    assert not app.teardown_request_funcs
    assert not app.error_handler_spec
    assert app.template_context_processors[None] == plain.template_context_processors[None]

    @app.get("/mine")
    def mine() -> str:
        return "mine"

    headers = dict(app.test_client().get("/mine").headers)
    assert set(headers) == {"Content-Type", "Content-Length"}


def test_a_start_reads_the_catalogue(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """As the site starts the catalogue is read in the background, before the first visitor."""
    with caplog.at_level(logging.INFO, "storefront"):
        app = make_site(reference_polar, TESTING=False)
        deadline = time.monotonic() + 10
        while get_state(app).catalog.loaded() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    cold = make_site(reference_polar, TESTING=True)
    assert get_state(cold).catalog.loaded() is None


def test_a_start_without_polar_is_no_crash(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """A site starts while Polar is down, and the log says once what is wrong, with no token."""
    reference_polar.stop()
    app = make_site(reference_polar, TESTING=False)
    deadline = time.monotonic() + 10
    while "was not read" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert app.test_client().get("/shop/").status_code == 503
    assert caplog.text.count("was not read") == 1
    assert "polar_oat" not in caplog.text


def test_a_host_overrides_templates(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """storefront/layout.html in the host's templates puts every page into its design."""
    templates = tmp_path / "templates" / "storefront"
    templates.mkdir(parents=True)
    (templates / "layout.html").write_text(
        "<title>{% block storefront_title %}{% endblock %} @ host</title>"
        "{% block storefront_head %}{% endblock %}<main>{% block storefront_main %}{% endblock %}"
    )
    client = make_site(reference_polar).test_client()
    assert "<title>Shop @ host</title>" in client.get("/shop/").text
    assert "<title>Pro Monthly @ host</title>" in client.get("/shop/products/pro-monthly").text
    assert " @ host</title>" in client.get("/shop/success").text
    assert " @ host</title>" in client.get("/shop/products/nope").text


def test_pages_behind_a_path(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Under a WSGI mount point addresses carry it, also after the redirect of the success page."""
    client = make_site(reference_polar).test_client()
    mounted = {"SCRIPT_NAME": "/site"}
    page = client.get("/shop/", environ_overrides=mounted)
    assert 'href="/site/shop/products/pro-monthly"' in page.text
    gone = client.get(
        "/shop/success?checkout_id=x&customer_session_token=t", environ_overrides=mounted
    )
    assert gone.headers["Location"] == "/site/shop/success?checkout_id=x"


def test_decorators_give_the_function_back() -> None:
    """@shop.visitor and @shop.on_success leave the functions usable."""
    shop = Storefront()

    @shop.visitor
    def visitor() -> None:
        return None

    @shop.on_success
    def success(receipt: Receipt) -> str:
        return receipt.order_id

    assert visitor() is None
    assert success.__name__ == "success"


def test_endpoints_have_names(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A host links to the pages by their endpoints."""
    app = make_site(reference_polar)
    with app.test_request_context():
        assert url_for("storefront.catalog") == "/shop/"
        assert url_for("storefront.product", slug="x") == "/shop/products/x"
        assert url_for("storefront.success") == "/shop/success"
