"""The fast lane: the same answers as Flask's, for requests like everybody's, and for no others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, TestResponse, create_environ, run_wsgi_app

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.state import get_state
from storefront.web.lane import _BARRED, _LIMIT_BYTES, TICKET, FastLane
from storefront.web.prepared import Page, Shelf
from tests.conftest import SiteMaker
from tests.test_prepared import OWN_LAYOUT, own_layout

PAGE = "/shop/products/pro-monthly"


class Lane:
    """A site behind the lane, which counts what gets as far as Flask."""

    def __init__(self, app: Flask, shop: Storefront, **options: Any) -> None:
        self.app = app
        self.reached: list[dict[str, Any]] = []
        self.flask: Any = app.wsgi_app
        self.lane: Any = shop.fast_lane(self._count, **options)
        app.wsgi_app = self.lane  # type: ignore[method-assign,assignment]

    def _count(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.reached.append(environ)
        answer: Iterable[bytes] = self.flask(environ, start_response)
        return answer

    def get(self, path: str = PAGE, **options: Any) -> TestResponse:
        """A request that brings nothing but what is given."""
        return self.app.test_client(use_cookies=False).open(path, **options)

    def is_answered(self, path: str = PAGE, **options: Any) -> bool:
        """Whether a request is answered without Flask."""
        before = len(self.reached)
        self.get(path, **options)
        return len(self.reached) == before


@pytest.fixture
def shop() -> Storefront:
    return Storefront()


@pytest.fixture
def lane(reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront) -> Lane:
    """A site behind the lane."""
    return Lane(make_site(reference_polar, shop=shop), shop)


@pytest.mark.parametrize("visitor", [False, True])
@pytest.mark.parametrize("path", ["/shop/", PAGE, "/shop/products/ebook-fast-apis"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_same_answer_as_flasks(
    reference_polar: LocalPolar, make_site: SiteMaker, path: str, method: str, visitor: bool
) -> None:
    """Status, each header in its order, and body are those that Flask sends."""
    shop = Storefront()
    if visitor:
        shop.visitor(lambda: None)
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    etag, modified = (lane.get(path).headers[name] for name in ("ETag", "Last-Modified"))
    for headers in (
        {},
        {"Accept-Encoding": "gzip"},
        {"Accept-Encoding": "br, gzip"},
        {"If-None-Match": etag},
        {"If-None-Match": f'W/{etag}, "x"'},
        {"If-None-Match": '"x"'},
        {"If-Modified-Since": modified},
        {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"},
    ):
        environ = create_environ(path, "http://localhost", method=method, headers=headers)
        for _ in range(2):  # a 304 for the first time is made here as anything else
            answers = [
                run_wsgi_app(wsgi, dict(environ)) for wsgi in (lane.flask, lane.lane, lane.flask)
            ]
            bodies = [b"".join(body) for body, _, _ in answers]
            statuses = [status for _, status, _ in answers]
            sent = [list(headers) for _, _, headers in answers]
            # The age may have become another in between.
            assert sent[1] in (sent[0], sent[2])
            assert bodies[0] == bodies[1]
            assert statuses[0] == statuses[1]
    assert len(lane.reached) == 1


@pytest.mark.parametrize("name", sorted(_BARRED))
def test_requests_that_go_on(lane: Lane, name: str) -> None:
    """A request with a cookie, an authorization, a range or the like goes on, untouched."""
    lane.get()
    assert lane.is_answered()
    assert not lane.is_answered(environ_overrides={name: "x=1"})
    assert TICKET not in lane.reached[-1]
    assert lane.is_answered()


@pytest.mark.parametrize(
    "options",
    [
        {"query_string": "a=b"},
        {"query_string": "utm_source=x"},
        {"query_string": "page=1"},
        {"query_string": "?"},
        {"method": "POST"},
        {"method": "OPTIONS"},
        {"base_url": "https://localhost"},
        {"base_url": "http://other.example.com"},
        {"environ_overrides": {"SCRIPT_NAME": "/mount"}},
        {"headers": {"X-Forwarded-Host": "other.example.com"}},
        {"path": "/shop/products/nope"},
        {"path": "/shop/success"},
        {"path": "/shop/products/pro-monthly/"},
    ],
    ids=str,
)
def test_requests_for_something_else_go_on(lane: Lane, options: dict[str, Any]) -> None:
    """Another query, method, host, scheme, mount point or path is not the page that is known."""
    lane.get()
    assert lane.is_answered()
    assert not lane.is_answered(**options)


def test_nothing_personal_gets_in(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront
) -> None:
    """What one visitor is shown is not learnt, though the request looks like everybody's."""
    who: list[Visitor | None] = [Visitor(email="jane@example.com")]
    shop.visitor(lambda: who[0])
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    for _ in range(3):
        assert "jane%40example.com" in lane.get().text
    assert len(lane.reached) == 3
    who[0] = None
    pages = {lane.get().text for _ in range(3)}
    assert len(pages) == 1
    assert "jane" not in pages.pop()
    assert len(lane.reached) == 4


def test_news_show_at_once(reference_polar: LocalPolar, lane: Lane) -> None:
    """After the catalogue has changed, the lane gives nothing of the last one."""
    product = next(
        each for each in reference_polar.store.products.values() if each["name"] == "Pro Monthly"
    )
    for number in range(3):
        product["description"] = f"Version {number}"
        get_state(lane.app).catalog.sync()
        for _ in range(2):
            assert f"Version {number}" in lane.get().text
    get_state(lane.app).catalog.sync()
    assert lane.is_answered()
    assert len(lane.reached) == 3


def test_a_product_that_is_gone(reference_polar: LocalPolar, lane: Lane) -> None:
    """A page that the lane knew is a 404 once its product is archived."""
    assert lane.get().status_code == 200
    product = next(
        each for each in reference_polar.store.products.values() if each["name"] == "Pro Monthly"
    )
    product["is_archived"] = True
    get_state(lane.app).catalog.sync()
    assert lane.get().status_code == 404


def test_the_store_is_asked(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that is served by the lane alone has an old catalogue read anew all the same."""
    lane.get()
    catalog = get_state(lane.app).catalog
    read_at = catalog.current().read_at
    now = time.time()
    clock = [400.0]
    monkeypatch.setattr("time.time", lambda: now + clock[0])
    monkeypatch.setattr("storefront.web.lane.time", lambda: now + clock[0])
    for _ in range(200):
        clock[0] += 1
        lane.get()
        time.sleep(0.02)
        if catalog.current().read_at != read_at:
            break
    assert catalog.current().read_at > read_at


@pytest.mark.parametrize("order", ["outside", "inside"])
def test_with_proxy_fix(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront, order: str
) -> None:
    """On either side of ProxyFix, a page has the addresses that the proxy tells."""
    app = make_site(reference_polar, shop=shop)

    def fixed(wsgi: Any) -> Any:
        return ProxyFix(wsgi, x_proto=1, x_host=1, x_prefix=1, x_port=1)

    if order == "outside":
        app.wsgi_app = fixed(app.wsgi_app)  # type: ignore[method-assign]
        lane = Lane(app, shop)
    else:
        lane = Lane(app, shop)
        app.wsgi_app = fixed(app.wsgi_app)  # type: ignore[method-assign]
    for prefix in ("/a", "/b", "/a", "/b"):
        headers = {"X-Forwarded-Prefix": prefix, "X-Forwarded-Proto": "https"}
        page = lane.get("/shop/", headers=headers)
        assert f'href="{prefix}/shop/products/pro-monthly"' in page.text
    assert len(lane.reached) == 2


def test_below_a_mount_point(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront
) -> None:
    """One lane before several mounted apps gives each its own pages."""
    english = make_site(reference_polar, shop=shop)
    german = make_site(reference_polar, shop=shop, STOREFRONT_LOCALE="de")
    reached: list[str] = []

    def counted(app: Flask) -> Callable[..., Iterable[bytes]]:
        def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            reached.append(environ["SCRIPT_NAME"])
            return app(environ, start_response)

        return wsgi

    mounted = DispatcherMiddleware(counted(english), {"/de": counted(german)})
    client = Client(shop.fast_lane(mounted), TestResponse)
    for _ in range(3):
        assert '<html lang="en"' in client.get("/shop/").text
        page = client.get("/de/shop/").text
        assert '<html lang="de"' in page
        assert 'href="/de/shop/products/pro-monthly"' in page
    assert sorted(reached) == ["", "/de"]


def test_on_a_subdomain(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront
) -> None:
    """Pages on a subdomain are that host's alone."""
    app = make_site(reference_polar, shop=shop, pages=False, SERVER_NAME="example.test")
    app.subdomain_matching = True
    app.url_map.host_matching = False
    app.register_blueprint(shop.blueprint, subdomain="shop")
    lane = Lane(app, shop)
    for _ in range(2):
        assert lane.get("/", base_url="http://shop.example.test").status_code == 200
        assert lane.get("/", base_url="http://example.test").status_code == 404
    assert len(lane.reached) == 3


def test_pages_of_the_catalogue(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront
) -> None:
    """The number of a page is the one query that the lane knows."""
    store = reference_polar.store
    template = next(each for each in store.products.values() if each["name"] == "Pro Monthly")
    for number in range(30):
        id_ = f"00000000-0000-4000-8000-{number:012d}"
        store.products[id_] = {**template, "id": id_, "name": f"Numbered {number}"}
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    for query in ("", "page=2"):
        lane.get("/shop/", query_string=query)
        assert lane.is_answered("/shop/", query_string=query)
    first, second = (lane.get("/shop/", query_string=query).text for query in ("", "page=2"))
    assert first != second
    for query in ("page=02", "page=2&", "page=2&page=1", "page=99"):
        assert not lane.is_answered("/shop/", query_string=query)


@pytest.mark.parametrize("hook", ["before_request", "after_request", "url_value_preprocessor"])
def test_hooks_of_the_site(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    shop: Storefront,
    caplog: pytest.LogCaptureFixture,
    hook: str,
) -> None:
    """An app that has hooks is left alone, and told so once; unless it says that they may miss."""
    app = make_site(reference_polar, shop=shop)
    seen: list[str] = []

    def look(*arguments: Any) -> Any:
        seen.append(request.path)
        return arguments[0] if hook == "after_request" else None

    getattr(app, hook)(look)
    lane = Lane(app, shop)
    with caplog.at_level(logging.WARNING, "storefront"):
        for _ in range(3):
            lane.get()
    assert seen == [PAGE] * 3
    assert caplog.text.count(f"has {hook} functions") == 1
    app.wsgi_app = lane.flask  # type: ignore[method-assign]
    skipping = Lane(app, shop, skip_hooks=True)
    skipping.get()
    assert skipping.is_answered()


def test_a_layout_of_the_sites_own(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront, tmp_path: Path
) -> None:
    """A page in the site's layout is given by the language that it was asked for in."""
    own_layout(tmp_path, "{{ request.accept_languages.best }}" + OWN_LAYOUT)
    lane = Lane(make_site(reference_polar, shop=shop), shop)
    for _ in range(2):
        for language in ("de", "fr"):
            page = lane.get(headers={"Accept-Language": language})
            assert page.text.startswith(f"{language}<")
    assert len(lane.reached) == 2


def test_pages_of_many_languages_are_bounded(
    reference_polar: LocalPolar, make_site: SiteMaker, shop: Storefront
) -> None:
    """Whoever asks in ever new languages has older pages forgotten: all count for the memory."""
    app = make_site(reference_polar, shop=shop)
    state = get_state(app)
    shelf = Shelf(state, state.catalog.current(), for_everybody=False)
    lane = FastLane(app.wsgi_app)
    heavy = b"x" * 1_000_000
    for number in range(100):
        lane.learn(("/shop/",), Page(shelf, (heavy,)), app, f"x-{number}")
    held = [page for _, page in lane._known.items()]
    assert held
    assert sum(page.weight for page in held) <= _LIMIT_BYTES


@pytest.mark.parametrize("choice", ["never", "auto"])
def test_pages_that_are_not_prepared(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    shop: Storefront,
    tmp_path: Path,
    choice: str,
) -> None:
    """What is rendered for each request goes through Flask each time."""
    if choice == "auto":
        own_layout(tmp_path, "{{ session.name }}" + OWN_LAYOUT)
    app = make_site(reference_polar, shop=shop, SECRET_KEY="x", STOREFRONT_PREPARED_PAGES=choice)
    lane = Lane(app, shop)
    lane.get()
    assert not lane.is_answered()


def test_many_at_once(reference_polar: LocalPolar, lane: Lane) -> None:
    """Threads that ask while the catalogue changes get whole pages, and none older than before."""
    product = next(
        each for each in reference_polar.store.products.values() if each["name"] == "Pro Monthly"
    )
    product["description"] = "Version 0!"
    get_state(lane.app).catalog.sync()
    wrong: list[object] = []
    done = threading.Event()

    def ask() -> None:
        last = 0
        while not done.is_set():
            page = lane.get()
            version = int(page.text.partition("Version ")[2].partition("!")[0] or -1)
            if page.status_code != 200 or version < last or "</html>" not in page.text:
                wrong.append((last, version, page.status_code))
            last = version

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 9):
        product["description"] = f"Version {number}!"
        get_state(lane.app).catalog.sync()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
