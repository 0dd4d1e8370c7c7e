"""Pages that are kept ready: equal to rendered ones, given to nobody else, and right for caches."""

from __future__ import annotations

import gzip
import itertools
import re
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import brotli
import pytest
from flask import Flask, Response, request, session
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from storefront import Storefront, Visitor
from storefront.emulator import LocalPolar
from storefront.links import with_parameters
from storefront.memo import Memo
from storefront.state import get_state
from storefront.web import prepared
from storefront.web.encodings import choose
from tests.conftest import SiteMaker

PAGES = ("/shop/", "/shop/products/pro-yearly", "/shop/products/ebook-fast-apis")
OWN_LAYOUT = (
    "<title>{% block storefront_title %}{% endblock %}</title>"
    "{% block storefront_head %}{% endblock %}"
    "<main>{% block storefront_main %}{% endblock %}</main>"
)


def own_layout(folder: Path, text: str = OWN_LAYOUT) -> None:
    """Give the site a layout of its own."""
    templates = folder / "templates" / "storefront"
    templates.mkdir(parents=True, exist_ok=True)
    (templates / "layout.html").write_text(text)


def is_prepared(app: Flask, client: Client, path: str = "/shop/", **options: Any) -> bool:
    """Whether a request is answered without a template: tried by making templates fail."""
    client.get(path, **options)
    render, app.jinja_env.context_class = app.jinja_env.context_class, None  # type: ignore[assignment]
    try:
        return client.get(path, **options).status_code == 200
    except TypeError:
        return False
    finally:
        app.jinja_env.context_class = render


def lasting_headers(response: TestResponse) -> dict[str, str]:
    """Its headers, but for the age, which may be another one a moment later."""
    return {n: value for n, value in response.headers.items() if n != "Storefront-Catalog-Age"}


# --- equal to what is rendered -----------------------------------------------------------------

words = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["jane@example.com", "o'hara+x@example.org", "Jane <b>&\"'", "a b", "x" * 4000, "de", "fr-CA"]
)
visitors = st.none() | st.builds(
    Visitor,
    email=st.none() | words,
    name=st.none() | words,
    reference_id=st.none() | words,
    discount_code=st.none() | words,
    locale=st.none() | words,
)
names = st.sampled_from(
    ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "UTM_TERM", "ref"]
)
queries = (
    st.dictionaries(names, words).map(lambda pairs: urlencode(pairs, errors="replace"))
    | st.lists(st.tuples(names, st.text("a%4é+&=<\"'")), max_size=4).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
    )
    | st.just("")
)


class Pair:
    """Two sites that sell the same: one prepares its pages, and one renders each."""

    def __init__(self, polar: LocalPolar, make_site: SiteMaker, **settings: Any) -> None:
        self.visitor: Visitor | None = None
        self.sites: list[Flask] = []
        for choice in ("always", "never"):
            shop = Storefront()
            shop.visitor(lambda: self.visitor)
            settings["STOREFRONT_PREPARED_PAGES"] = choice
            self.sites.append(make_site(polar, shop=shop, **settings))

    def both(self, path: str, query: str) -> tuple[TestResponse, TestResponse]:
        """The page from either."""
        environ = {"QUERY_STRING": query.encode("utf-8", "replace").decode("latin-1")}
        ready, rendered = (
            site.test_client().get(path, environ_overrides=environ) for site in self.sites
        )
        return ready, rendered


@pytest.fixture(params=["the shop's own", "the site's", "by /buy"])
def pair(
    request: pytest.FixtureRequest,
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    tmp_path: Path,
) -> Pair:
    """With the shop's own templates, with a layout that has buttons of its own, and with buttons
    that lead by the shop's own address."""
    if request.param == "the site's":
        own_layout(
            tmp_path,
            '{% from "storefront/macros.html" import buy_button, buy_link %}'
            '{{ buy_button("ebook-fast-apis", utm={"source": "lay<out", "term": ""}) }}'
            '{{ buy_link("pro-monthly", locale="fr", discount_code="") }}'
            '{{ buy_link("Pro plans", product="pro-yearly", theme="dark") }}' + OWN_LAYOUT,
        )
    buttons = "redirect" if request.param == "by /buy" else "link"
    return Pair(reference_polar, make_site, STOREFRONT_BUTTONS=buttons)


def test_prepared_is_rendered(pair: Pair) -> None:
    """Whoever asks with whatever query, a prepared page is the rendered one, byte for byte."""

    @given(path=st.sampled_from(PAGES), visitor=visitors, query=queries)
    def compare(path: str, visitor: Visitor | None, query: str) -> None:
        pair.visitor = visitor
        ready, rendered = pair.both(path, query)
        assert ready.status_code == rendered.status_code == 200
        assert ready.data == rendered.data
        for name in ("Cache-Control", "Content-Security-Policy", "Content-Type"):
            assert ready.headers[name] == rendered.headers[name]
        assert ("ETag" in ready.headers) == ("ETag" in rendered.headers)

    compare()
    assert len(get_state(pair.sites[0]).prepared["shelf"].pages) == len(PAGES)


@pytest.mark.parametrize(
    "url",
    ["https://buy.example.com/a?utm_source=own&b=1", "https://buy.example.com/a?b=1#f&g"],
)
def test_links_with_a_query_of_their_own(
    reference_polar: LocalPolar, make_site: SiteMaker, url: str
) -> None:
    """What a link's URL has already is kept, or replaced, in prepared pages as in rendered ones."""
    app = make_site(reference_polar)
    catalog = get_state(app).catalog.current()
    shelf = prepared.Shelf(get_state(app), catalog, for_everybody=True)
    hole = prepared._hole(url, frozenset())
    page = prepared.Page(shelf, (b'<a href="' + hole.escaped, b'">'), (hole,))
    for brought in ({}, {"utm_source": "utm_source=x"}, {"customer_name": "customer_name=%26"}):
        expected = with_parameters(url, brought).replace("&", "&amp;")
        assert page.filled(brought) == f'<a href="{expected}">'.encode()


# --- given to nobody else ----------------------------------------------------------------------


class SharedCache:
    """A cache before the site, which keeps all that HTTP lets it keep, as long as it may."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client(use_cookies=False)
        self._kept: dict[str, list[tuple[dict[str, str | None], TestResponse]]] = {}

    def get(self, path: str, **headers: str) -> TestResponse:
        for selecting, response in self._kept.get(path, []):
            if all(headers.get(name) == value for name, value in selecting.items()):
                return response
        response = self._client.get(path, headers=headers)
        control = response.headers["Cache-Control"]
        if "no-store" not in control and "private" not in control:
            selecting = {name: headers.get(name) for name in response.vary}
            assert "*" not in selecting
            self._kept.setdefault(path, []).append(
                ({name.title(): value for name, value in selecting.items()}, response)
            )
        return response


@pytest.mark.parametrize("layout", [None, OWN_LAYOUT], ids=["shop's", "site's"])
@pytest.mark.parametrize("choice", ["auto", "always", "never"])
def test_nobody_gets_the_page_of_another(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    tmp_path: Path,
    choice: str,
    layout: str | None,
) -> None:
    """Two visitors and a stranger, in every order, through a shared cache: each gets their own."""
    if layout:
        own_layout(tmp_path, layout)
    shop = Storefront()

    @shop.visitor
    def signed_in() -> Visitor | None:
        who = request.cookies.get("who")
        return Visitor(email=f"{who}@example.com", reference_id=f"id-{who}") if who else None

    people = ("jane", "bob", None)
    for order in itertools.permutations(people):
        app = make_site(reference_polar, shop=shop, STOREFRONT_PREPARED_PAGES=choice)
        cache = SharedCache(app)
        for query in ("", "?utm_source=mail", ""):
            for who in (*order, *reversed(order)):
                for path in PAGES:
                    headers = {"Cookie": f"who={who}"} if who else {}
                    response = cache.get(path + query, **headers)
                    found = set(re.findall(r"id-(\w+)|(?:=|id-)(\w+)%40example", response.text))
                    seen = {name for pair in found for name in pair if name}
                    assert seen == ({who} if who else set())
                    assert ("no-store" in response.headers["Cache-Control"]) == (who is not None)
                    assert response.headers.get("Storefront-Catalog-Age", "").isdigit()


def test_a_greeting_in_the_sites_layout(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """What a layout of the site's own shows of a cookie or an address is shown to that visitor."""
    own_layout(
        tmp_path, "{{ request.cookies.who }} {{ request.args.q }} {{ request.url }}" + OWN_LAYOUT
    )
    app = make_site(reference_polar)
    client = app.test_client(use_cookies=False)
    assert is_prepared(app, client)
    for who in ("jane", "bob"):
        page = client.get("/shop/?q=1", headers={"Cookie": f"who={who}"})
        assert page.text.startswith(f"{who} 1 http://localhost/shop/?q=1")
        page = client.get("/shop/", headers={"Cookie": f"who={who}"})
        assert page.text.startswith(f"{who}  http://localhost/shop/<")
    assert client.get("/shop/?q=2").text.startswith(" 2 http://localhost/shop/?q=2<")
    assert client.get("/shop/").text.startswith("  http://localhost/shop/<")
    assert not is_prepared(app, client, headers={"Authorization": "Basic x"})


def test_a_layout_in_the_visitors_language(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """A layout of the site's own may go by ``Accept-Language``: a page is kept for each."""
    own_layout(tmp_path, "{{ request.accept_languages.best }}" + OWN_LAYOUT)
    app = make_site(reference_polar)
    client = app.test_client()
    for language in ("de", "fr", "de"):
        assert is_prepared(app, client, headers={"Accept-Language": language})
        page = client.get("/shop/", headers={"Accept-Language": language})
        assert page.text.startswith(f"{language}<")


@pytest.mark.parametrize("choice", ["auto", "always"])
def test_a_page_that_comes_out_differently_is_rendered(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path, choice: str
) -> None:
    """A nonce in the layout, or a button's URL that is changed on the way, prepares no page."""
    own_layout(tmp_path, "{{ nonce() }}" + OWN_LAYOUT)
    app = make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice)
    numbers = itertools.count()
    app.jinja_env.globals["nonce"] = lambda: f"nonce-{next(numbers)}"
    client = app.test_client()
    assert len({client.get("/shop/").text for _ in range(3)}) == 3
    own_layout(
        tmp_path, '{{ storefront.button("ebook-fast-apis").url|urlencode|upper }}' + OWN_LAYOUT
    )
    app = make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice)
    assert not is_prepared(app, app.test_client())
    assert "button.invalid" not in app.test_client().get("/shop/").text.lower()


@pytest.mark.parametrize("choice", ["auto", "always"])
def test_a_page_that_reads_the_session_is_rendered(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path, choice: str
) -> None:
    """Whatever the setting, what a template found in a session is not given to anybody else."""
    own_layout(tmp_path, "Hello {{ session.name }}" + OWN_LAYOUT)
    app = make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice, SECRET_KEY="x")
    app.add_url_rule("/login/<name>", "login", lambda name: session.update(name=name) or "")
    clients = {name: app.test_client() for name in ("Jane", "Bob")}
    for name, client in clients.items():
        client.get(f"/login/{name}")
    for name, client in (*clients.items(), *clients.items()):
        page = client.get("/shop/")
        assert page.text.startswith(f"Hello {name}")
        assert page.headers["Cache-Control"] == "private, no-store"
    assert app.test_client().get("/shop/").text.startswith("Hello <")


def test_a_callback_may_read_the_session(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """Looking in the session who is signed in puts nothing into a stranger's page."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email=session["email"]) if "email" in session else None)
    for choice in ("auto", "never"):
        app = make_site(
            reference_polar, shop=shop, SECRET_KEY="x", STOREFRONT_PREPARED_PAGES=choice
        )
        for _ in range(2):
            page = app.test_client().get("/shop/")
            assert page.headers["Cache-Control"].startswith("public")
            assert "Cookie" in page.vary
        with app.test_client() as client, client.session_transaction() as known:
            known["email"] = "jane@example.com"
        page = client.get("/shop/")
        assert "jane%40example.com" in page.text
        assert page.headers["Cache-Control"] == "private, no-store"


# --- when it is prepared -----------------------------------------------------------------------


def test_what_is_prepared(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """With the shop's templates for everybody; with the site's only for strangers, or as said."""
    cookie: dict[str, Any] = {"headers": {"Cookie": "a=b"}}
    cases: list[tuple[str, bool, bool, bool]] = [
        # setting, own layout, prepared for strangers, for those with a cookie
        ("auto", False, True, True),
        ("always", False, True, True),
        ("never", False, False, False),
        ("auto", True, True, False),
        ("always", True, True, True),
        ("never", True, False, False),
    ]
    for choice, own, strangers, cookies in sorted(cases, key=lambda case: case[1]):
        if own:
            own_layout(tmp_path)
        app = make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice)
        client = app.test_client(use_cookies=False)
        assert is_prepared(app, client) is strangers, (choice, own)
        assert is_prepared(app, client, **cookie) is cookies, (choice, own)


def test_a_site_that_adds_to_addresses(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """With ``url_defaults`` an address may depend on the visitor: prepared for strangers only."""
    app = make_site(reference_polar)
    app.url_defaults(lambda endpoint, values: values.setdefault("l", request.cookies.get("l")))
    client = app.test_client(use_cookies=False)
    assert is_prepared(app, client)
    for language in ("de", "fr"):
        page = client.get("/shop/", headers={"Cookie": f"l={language}"})
        assert f"/shop/products/pro-monthly?l={language}" in page.text


def test_a_layout_is_asked_again_in_time(
    reference_polar: LocalPolar,
    make_site: SiteMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page in the site's layout is kept no longer than caches may keep it."""
    own_layout(tmp_path, "{{ offer() }}" + OWN_LAYOUT)
    app = make_site(reference_polar)
    offers = ["summer"]
    app.jinja_env.globals["offer"] = lambda: offers[0]
    client = app.test_client()
    assert client.get("/shop/").text.startswith("summer")
    offers[0] = "autumn"
    assert client.get("/shop/").text.startswith("summer")
    later = time.monotonic() + 61
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert client.get("/shop/").text.startswith("autumn")


def test_a_changed_template_shows_in_development(
    reference_polar: LocalPolar, make_site: SiteMaker, tmp_path: Path
) -> None:
    """With ``TEMPLATES_AUTO_RELOAD``, as in debug mode, nothing is prepared."""
    app = make_site(reference_polar, TEMPLATES_AUTO_RELOAD=True, STOREFRONT_PREPARED_PAGES="always")
    client = app.test_client()
    assert not is_prepared(app, client)
    own_layout(tmp_path, "changed" + OWN_LAYOUT)
    app.jinja_env.cache.clear()  # type: ignore[union-attr]
    assert client.get("/shop/").text.startswith("changed")


def test_news_from_polar_show_at_once(reference_polar: LocalPolar, site: Flask) -> None:
    """A page is made anew for a new catalogue, and stays where nothing has changed."""
    client = site.test_client()
    first = client.get("/shop/products/pro-monthly")
    get_state(site).catalog.sync()
    assert is_prepared(site, client, "/shop/products/pro-monthly")
    same = client.get("/shop/products/pro-monthly")
    assert same.headers["ETag"] == first.headers["ETag"]
    assert same.headers["Last-Modified"] == first.headers["Last-Modified"]
    product = next(
        each for each in reference_polar.store.products.values() if each["name"] == "Pro Monthly"
    )
    product["description"] = "Now with more."
    get_state(site).catalog.sync()
    news = client.get("/shop/products/pro-monthly")
    assert "Now with more." in news.text
    assert news.headers["ETag"] != first.headers["ETag"]


def test_each_place_has_its_page(site: Flask) -> None:
    """Behind another mount point, host or scheme, a page has the addresses of that."""
    client = site.test_client()
    for mount in ("", "/a", "/b", ""):
        page = client.get("/shop/", environ_overrides={"SCRIPT_NAME": mount})
        assert f'href="{mount}/shop/products/pro-monthly"' in page.text
    assert len(get_state(site).prepared["shelf"].pages) == 3


# --- what caches are told ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0.2, gzip;q=0.8", "gzip"),
        ("br;q=0, gzip;q=0", "identity"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("br;q=0, *", "gzip"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", "identity"),
        ("gzip;q=x, br;q=2", "identity"),
        ("identity;q=0.5, br;q=0.5", "br"),
        ("deflate", "identity"),
        (";q=1,,gzip ; q=1.000", "gzip"),
    ],
)
def test_encodings_are_negotiated(header: str | None, chosen: str) -> None:
    """Weights count, unknown words do not, and nobody is left without an answer."""
    assert choose(header, ("br", "gzip")) == chosen


def test_encodings(site: Flask) -> None:
    """A page is sent as the client can read it, each form with an ETag of its own."""
    client = site.test_client()
    plain = client.get("/shop/")
    assert "Content-Encoding" not in plain.headers
    tags = {plain.headers["ETag"]}
    for encoding, unpack in (("gzip", gzip.decompress), ("br", brotli.decompress)):
        headers = {"Accept-Encoding": encoding}
        packed = client.get("/shop/", headers=headers)
        assert packed.headers["Content-Encoding"] == encoding
        assert unpack(packed.data) == plain.data
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
        assert packed.data == client.get("/shop/", headers=headers).data
        tags.add(packed.headers["ETag"])
        assert (
            client.get(
                "/shop/", headers={**headers, "If-None-Match": packed.headers["ETag"]}
            ).status_code
            == 304
        )
        assert (
            client.get(
                "/shop/", headers={**headers, "If-None-Match": plain.headers["ETag"]}
            ).status_code
            == 200
        )
    assert len(tags) == 3
    assert all(re.fullmatch(r'"[0-9a-f]{24}(-\w+)?"', tag) for tag in tags)
    assert plain.headers["Vary"] == "Accept-Encoding"


def test_what_is_personal_or_not_wanted_stays_plain(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """Nothing personal and no campaign is compressed, and nothing at all where the site says so."""
    shop = Storefront()
    shop.visitor(lambda: Visitor(email="jane@example.com") if request.args.get("as") else None)
    client = make_site(reference_polar, shop=shop).test_client()
    for query in ("?as=jane", "?utm_source=x"):
        page = client.get(f"/shop/{query}", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in page.headers
    client = make_site(reference_polar, STOREFRONT_COMPRESS_PAGES=False).test_client()
    page = client.get("/shop/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in page.headers
    assert "Vary" not in page.headers


def test_conditional_requests(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has the page already gets a 304 with what it must have, and nothing else."""
    client = site.test_client()
    client.get("/shop/")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now)  # the catalogue does not get older meanwhile
    for path in ("/shop/", "/shop/?utm_source=x"):
        page = client.get(path)
        etag = page.headers["ETag"]
        for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            same = client.get(path, headers={"If-None-Match": known})
            assert same.status_code == 304, known
            assert same.data == b""
            for name in ("ETag", "Cache-Control", "Storefront-Catalog-Age"):
                assert same.headers[name] == page.headers[name]
            assert same.headers.get("Vary") == page.headers.get("Vary")
            assert not {"Content-Length", "Content-Type", "Last-Modified"} & set(
                same.headers.keys()
            )
        modified = page.headers["Last-Modified"]
        for headers, status in (
            ({"If-Modified-Since": modified}, 304),
            ({"If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"}, 304),
            ({"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 200),
            ({"If-Modified-Since": "yesterday"}, 200),
            ({"If-Modified-Since": modified, "If-None-Match": '"other"'}, 200),
            ({"If-None-Match": 'odd, \x7f"'}, 200),
        ):
            assert client.get(path, headers=headers).status_code == status, headers
    assert client.get("/shop/?utm_source=x").headers["ETag"] != client.get("/shop/").headers["ETag"]


def test_a_page_is_not_older_than_the_site(site: Flask) -> None:
    """``Last-Modified`` is that of the catalogue, or of the start of the site, if that is later."""
    state = get_state(site)
    page = site.test_client().get("/shop/")
    modified = parsedate_to_datetime(page.headers["Last-Modified"]).timestamp()
    changed = state.catalog.current().changed_at.timestamp()
    assert modified == int(max(changed, state.started_at))


def test_the_age_of_the_catalogue(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page of the catalogue tells in whole seconds how long ago it was read."""
    client = site.test_client()
    client.get("/shop/")
    now = time.time()
    for later in (0, 7, 100):
        monkeypatch.setattr("time.time", lambda later=later: now + later)
        for path in ("/shop/", "/shop/products/pro-monthly", "/shop/?utm_source=x"):
            age = int(client.get(path).headers["Storefront-Catalog-Age"])
            assert later <= age <= later + 10


def test_head(site: Flask) -> None:
    """HEAD has the headers of GET, and no body."""
    client = site.test_client()
    for path in PAGES:
        get, head = client.get(path), client.head(path)
        assert head.data == b""
        assert lasting_headers(head) == lasting_headers(get)


@pytest.mark.parametrize("choice", ["always", "never"])
@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 99999999999 08:49:37 GMT", "Mon, 01 Jan 0001 00:00:00 +1400", "never"]
)
def test_a_date_that_is_none(
    reference_polar: LocalPolar, make_site: SiteMaker, choice: str, date: str
) -> None:
    """Whatever stands in ``If-Modified-Since``, the page is given."""
    client = make_site(reference_polar, STOREFRONT_PREPARED_PAGES=choice).test_client()
    for path in (*PAGES, "/shop/?q=pro", "/shop/embed/pro-monthly", "/shop/products.json"):
        assert client.get(path, headers={"If-Modified-Since": date}).status_code == 200
    headers = {"If-Modified-Since": date, "If-None-Match": '"another"'}
    assert client.get("/shop/embed.js", headers=headers).status_code == 200


def test_caching_by_setting(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """The three times are settings; 0 leaves the two of stale pages out."""
    app = make_site(
        reference_polar,
        STOREFRONT_PAGE_MAX_AGE_SECONDS=5,
        STOREFRONT_STALE_WHILE_REVALIDATE_SECONDS=0,
        STOREFRONT_STALE_IF_ERROR_SECONDS=7,
    )
    control = app.test_client().get("/shop/").headers["Cache-Control"]
    assert control == "public, max-age=5, stale-if-error=7"


# --- a response like any other -----------------------------------------------------------------


def test_the_sites_hooks_see_a_usual_response(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """What the site's functions do to a response is done to a prepared one as well."""
    app = make_site(reference_polar)

    @app.after_request
    def change(response: Response) -> Response:
        response.headers["X-Site"] = f"{response.status_code} {response.mimetype}"
        response.set_cookie("seen", "1")
        if "q" in request.args:
            response.set_data(response.get_data().replace(b"Pro Monthly", b"Other"))
            response.status_code = 203
        return response

    client = app.test_client()
    for _ in range(2):
        page = client.get("/shop/")
        assert page.headers["X-Site"] == "200 text/html"
        assert "seen=1" in page.headers["Set-Cookie"]
        changed = client.get("/shop/?q")
        assert changed.status_code == 203
        assert "Pro Monthly" not in changed.text
        assert int(changed.headers["Content-Length"]) == len(changed.data)
    assert "Pro Monthly" in client.get("/shop/").text


def test_a_response_class_of_the_sites(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A site with a class of its own for responses gets such."""

    class Loud(Response):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    app = make_site(reference_polar)
    app.response_class = Loud
    kinds: list[type] = []

    @app.after_request
    def look(response: Response) -> Response:
        kinds.append(type(response))
        return response

    client = app.test_client()
    pages = [client.get("/shop/").text for _ in range(2)]
    assert "Pro Monthly" in pages[0]
    assert pages[0] == pages[1]
    assert kinds == [Loud, Loud]


def test_many_at_once(reference_polar: LocalPolar, site: Flask) -> None:
    """Threads that ask while the catalogue changes get whole pages, each with its own campaign."""
    product = next(
        each for each in reference_polar.store.products.values() if each["name"] == "Pro Monthly"
    )
    wrong: list[str] = []
    done = threading.Event()

    def ask(number: int) -> None:
        client = site.test_client()
        while not done.is_set():
            page = client.get(f"/shop/products/pro-monthly?utm_source=s{number}")
            sources = set(re.findall('utm_source=([^&"]*)', page.text))
            if page.status_code != 200 or sources != {f"s{number}"} or "</html>" not in page.text:
                wrong.append(page.text)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(8):
        product["description"] = f"Version {number}"
        get_state(site).catalog.sync()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_memory_has_a_limit() -> None:
    """What was not asked for lately is forgotten, and the rest is found."""
    memo: Memo[int, str] = Memo(100)
    for number in range(1000):
        memo.put(number, str(number), 10)
        assert memo.get(0) == "0"
        assert memo.get(number) == str(number)
        assert len(memo) <= 11
    assert memo.get(500) is None
    memo.put(1, "large", 1000)
    assert memo.get(1) == "large"
