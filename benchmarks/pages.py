"""What pages and redirects cost in one process, beside a bare Flask view and beside what a site
would do instead.

Each contender is a WSGI call with the environ of a browser's request. The bare views are routes of
the same app as the pages, with the same kind of rule, and return as many bytes. Fifty requests for
ten or forty products, by turns, are one run; all is warm. Times are those of the processor: others
use the machine as well.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from flask import Flask
from flask_caching import Cache

from benchmarks.common import Row, free_port, interleaved, main, running
from benchmarks.upstream import TOKEN, product_slug, upstream
from storefront import Storefront, Visitor, get_state

Call = Callable[[], object]

_FEW: Final = 100
_MANY: Final = 100_000
#: The first products have three buttons each.
_THREE_WAYS: Final = 10
_CALLS: Final = 50
_UTM: Final = {
    "source": "newsletter",
    "medium": "email",
    "campaign": "spring sale",
    "content": "hero button",
    "term": "flask shop",
}
_EIGHT: Final = {
    "customer_email": "jane.doe@example.com",
    "customer_name": "Jane Doe",
    "discount_code": "LAUNCH20",
    **{f"utm_{name}": value for name, value in _UTM.items()},
}
#: As many, one of them a reference of the site's own, which leaves no room for a proof.
_REFERRED: Final = {name: value for name, value in _EIGHT.items() if name != "discount_code"} | {
    "reference_id": "account-1042"
}
#: What a WSGI server makes of a browser's request.
_BROWSER: Final[dict[str, Any]] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "gunicorn",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "54321",
    "HTTP_HOST": "shop.example.com",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_SEC_FETCH_DEST": "document",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_X_FORWARDED_FOR": "203.0.113.7",
    "HTTP_X_FORWARDED_PROTO": "https",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_BARE: Final = ("page", "304", "personal", "buy", "proof")
_PAGE: Final = "/shop/products/{slug}"


@dataclass(frozen=True)
class Site:
    """An app with a shop, and bare views beside it."""

    app: Flask
    shop: Storefront
    products: int
    bodies: dict[str, bytes]

    def call(self, path: str, *, three_ways: bool = False, **environ: str) -> Call:
        """A request for a path, its ``{slug}`` by turns, as a call to be timed."""
        numbers: Sequence[int] = range(_THREE_WAYS)
        if not three_ways:
            numbers = range(_THREE_WAYS, self.products, (self.products - _THREE_WAYS) // 40)[:40]
        environs = itertools.cycle(
            _BROWSER | environ | {"PATH_INFO": path.format(slug=product_slug(number))}
            for number in numbers
        )

        def call() -> bytes:
            return self.answer(next(environs))[2]

        for _ in numbers:
            call()
        return call

    def answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
        """What the app answers: status, headers, body."""
        said: list[Any] = []

        def start_response(*given: Any) -> None:
            said[:] = given

        body: Any = self.app.wsgi_app(
            environ | {"wsgi.input": BytesIO()},
            start_response,  # type: ignore[arg-type]
        )
        sent = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        return said[0], dict(said[1]), sent

    def bare(self, name: str, body: bytes) -> Call:
        """A request for the bare view of that name, which returns these bytes."""
        self.bodies[name] = body
        return self.call(f"/bare/{name}/{{slug}}")


def measure(quick: bool) -> Sequence[Row]:
    """The rows of the table; a few seconds when ``quick``, else some minutes."""
    many = 500 if quick else _MANY
    rounds = 3 if quick else 150
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        few = stack.enter_context(_sites(_FEW, folder / "few"))
        rows = [
            *_beside_bare(*few, rounds),
            *_lane(few[0], rounds),
            *_instead(few[0], rounds, stack),
            *_one_button(few[0], rounds),
        ]
        large = stack.enter_context(_sites(many, folder / "many"))
        return [*rows, *_beside_few(few, large, rounds)]


@contextmanager
def _sites(products: int, folder: Path) -> Iterator[tuple[Site, Site]]:
    """Two sites on one catalogue: one without, and one with somebody signed in."""
    with upstream(products, three_ways=_THREE_WAYS) as url:
        plain = make_site(url, folder, products=products)
        get_state(plain.app).catalog.sync()
        known = make_site(url, folder, products=products)
        known.shop.visitor(lambda: Visitor(email="jane.doe@example.com"))
        yield plain, known


def make_site(
    url: str,
    folder: Path,
    *,
    products: int,
    caches: dict[str, Cache] | None = None,
    **settings: object,
) -> Site:
    """A site that sells what that Polar has and reads it once, with bare views beside the pages.

    ``caches`` keep responses of the product pages, at addresses of their own.
    """
    app = Flask("site", instance_path=str(folder))
    app.config.update(
        POLAR_SERVER=url,
        POLAR_ACCESS_TOKEN=TOKEN,
        SECRET_KEY="of the benchmark",
        STOREFRONT_SYNC_ON_START=False,
        STOREFRONT_RATE_LIMIT_SHARE=1,
        STOREFRONT_CATALOG_TTL_SECONDS=86400,
        STOREFRONT_PAGE_TIMEOUT_SECONDS=60,
    )
    app.config.update(settings)
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    bodies: dict[str, bytes] = {}
    for name in _BARE:
        rule = "<path:slug>" if name in ("buy", "proof") else "<slug>"
        app.add_url_rule(f"/bare/{name}/{rule}", name, lambda slug, name=name: bodies[name])
    for name, cache in (caches or {}).items():
        cache.init_app(app)
        view: Any = cache.cached(timeout=3600)(app.view_functions["storefront.product"])
        # As one of the shop's own: a page tells the addresses of its neighbours.
        app.add_url_rule(f"/kept/{name}/<slug>", f"storefront.kept_{name}", view)
    return Site(app, shop, products, bodies)


def _contenders(plain: Site, known: Site) -> dict[str, Call]:
    """The requests that are promised a speed."""
    return {
        "page": plain.call(_PAGE),
        "304": _conditional(plain),
        "personal": known.call(_PAGE, three_ways=True, QUERY_STRING=_campaign()),
        "buy": plain.call("/shop/buy/{slug}", QUERY_STRING=urlencode(_REFERRED)),
        "proof": plain.call("/shop/buy/{slug}", QUERY_STRING=urlencode(_EIGHT)),
    }


def _campaign() -> str:
    return urlencode({f"utm_{name}": value for name, value in _UTM.items()})


def _conditional(site: Site) -> Call:
    """Requests by who has the page already: each product's own ETag, by turns."""
    step = (site.products - _THREE_WAYS) // 40
    environs = []
    for number in range(_THREE_WAYS, site.products, step)[:40]:
        environ = _BROWSER | {"PATH_INFO": _PAGE.format(slug=product_slug(number))}
        etag = site.answer(environ)[1]["ETag"]
        environs.append(environ | {"HTTP_IF_NONE_MATCH": etag})
        if site.answer(environs[-1])[0][:3] != "304":
            raise RuntimeError("a page that has not changed was sent again")
    turns = itertools.cycle(environs)
    return lambda: site.answer(next(turns))


def _beside_bare(plain: Site, known: Site, rounds: int) -> Iterator[Row]:
    ours = _contenders(plain, known)
    # With the proof that makes nine.
    for query, parameters in ((_REFERRED, 8), (_EIGHT, 9)):
        status, headers, _ = plain.answer(
            _BROWSER
            | {"PATH_INFO": f"/shop/buy/{product_slug(20)}", "QUERY_STRING": urlencode(query)}
        )
        if status[:3] != "303" or headers["Location"].count("=") != parameters:
            raise RuntimeError(f"/buy answered {status}, {headers.get('Location')}")
    page, personal = ours["page"](), ours["personal"]()
    if not isinstance(personal, bytes) or personal.count(b"utm_term=flask%20shop") != 3:
        raise RuntimeError("the page for a visitor has not three buttons")
    assert isinstance(page, bytes)
    bare = {
        "page": plain.bare("page", page),
        "304": plain.bare("304", b""),
        "personal": known.bare("personal", personal),
        "buy": plain.bare("buy", b""),
        "proof": plain.bare("proof", b""),
    }
    took = _timed({**ours, **{f"bare {name}": call for name, call in bare.items()}}, rounds)
    for name, what, target in (
        ("page", "anonymous product page", 0.92),
        ("304", "the same, not modified (304)", 0.88),
        ("personal", "product page, a visitor's email and five UTM values in three buttons", 0.75),
        ("buy", "`/buy/…` to the link with eight parameters", 0.85),
        ("proof", "the same, planting a proof of purchase as well", 0.85),
    ):
        ratio = took[f"bare {name}"] / took[name]
        yield Row.at_least(what, _speed(took[name]), ratio, "a bare Flask view", target)


def _beside_few(few: tuple[Site, Site], large: tuple[Site, Site], rounds: int) -> Iterator[Row]:
    of_few, of_large = _contenders(*few), _contenders(*large)
    took = _timed(
        {f"few {name}": call for name, call in of_few.items()}
        | {f"many {name}": call for name, call in of_large.items()},
        rounds,
    )
    products = f"{large[0].products:,} products"
    for name, what in (
        ("page", "product page"),
        ("304", "304"),
        ("personal", "a visitor's page"),
        ("buy", "`/buy/…`"),
        ("proof", "`/buy/…`, a proof planted"),
    ):
        ratio = took[f"few {name}"] / took[f"many {name}"]
        measured = _speed(took[f"many {name}"])
        yield Row.at_least(f"{products}: {what}", measured, ratio, f"{_FEW} products", 0.97)


def _lane(site: Site, rounds: int) -> Iterator[Row]:
    """The site with the lane before it, asked for nothing else than the bare view beside it."""
    bare = site.call("/bare/page/{slug}")
    lane = site.shop.fast_lane(site.app.wsgi_app)
    environs: dict[str, list[dict[str, Any]]] = {"page": [], "304": []}
    for number in range(_THREE_WAYS, 50):
        environ = _BROWSER | {"PATH_INFO": _PAGE.format(slug=product_slug(number))}
        etag = site.answer(environ)[1]["ETag"]
        environs["page"].append(environ)
        environs["304"].append(environ | {"HTTP_IF_NONE_MATCH": etag})

    def start_response(*given: Any) -> None:
        """Take what a server would send."""

    def call(name: str) -> Call:
        turns = itertools.cycle(environs[name])

        def ask() -> bytes:
            # Nothing is written to the environ of what the lane answers: it needs no copy.
            return b"".join(lane(next(turns), start_response))  # type: ignore[arg-type]

        for _ in environs[name]:
            ask()
        return ask

    took = _timed({"page": call("page"), "304": call("304"), "bare": bare}, rounds)
    for name, what in (("page", "anonymous page"), ("304", "304")):
        ratio = took["bare"] / took[name]
        yield Row.at_least(f"fast lane: {what}", _speed(took[name]), ratio, "a bare Flask view", 20)


def _instead(site: Site, rounds: int, stack: ExitStack) -> Iterator[Row]:
    """What a site would do without prepared pages."""
    state = get_state(site.app)
    url, folder = state.settings.server.api_url, Path(site.app.instance_path)
    caches = {"SimpleCache": Cache(config={"CACHE_TYPE": "SimpleCache"}, with_jinja2_ext=False)}
    if shutil.which("redis-server"):
        port = free_port()
        stack.enter_context(running("redis-server", "--port", str(port), "--save", "", port=port))
        config = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": port}
        caches["Redis"] = Cache(config=config, with_jinja2_ext=False)
    rendered = make_site(
        url, folder, products=_FEW, caches=caches, STOREFRONT_PREPARED_PAGES="never"
    )
    contenders = {"rendered": rendered.call(_PAGE), "bare": site.call("/bare/page/{slug}")}
    contenders |= {name: rendered.call(f"/kept/{name}/{{slug}}") for name in caches}
    took = _timed(contenders, rounds)
    for name, what in (
        ("rendered", "… instead: Jinja each time"),
        ("SimpleCache", "… instead: Flask-Caching `@cached`, SimpleCache"),
        ("Redis", "… instead: Flask-Caching `@cached`, Redis"),
    ):
        if name in took:
            ratio = took["bare"] / took[name]
            yield Row(what, _speed(took[name]), ratio, "a bare Flask view")
        else:
            yield Row(what, "redis-server is not installed")


def _one_button(site: Site, rounds: int) -> Iterator[Row]:
    slug = product_slug(20)
    arguments: dict[str, Any] = {
        "email": _EIGHT["customer_email"],
        "name": _EIGHT["customer_name"],
        "discount_code": _EIGHT["discount_code"],
        "utm": _UTM,
    }
    by_hand = site.app.jinja_env.from_string(
        "{% macro button(url, query) %}"
        '<a class="button" href="{{ url }}?{{ query|urlencode }}" rel="nofollow">Buy Now</a>'
        "{% endmacro %}"
    )
    with site.app.test_request_context("/"):
        macros: Any = site.app.jinja_env.get_template("storefront/macros.html").module
        hand_made: Any = by_hand.module
        took = _timed(
            {
                "url": lambda: site.shop.buy_url(slug, **arguments),
                "macro": lambda: macros.buy_button(slug, **arguments),
                "urlencode": lambda: urlencode(_EIGHT),
                "hand": lambda: hand_made.button("https://buy.polar.sh/polar_cl_x", _EIGHT),
            },
            rounds,
        )
    yield Row.at_most(
        "URL of a `buy_button` with eight parameters",
        _micro(took["url"]),
        took["url"] / took["urlencode"],
        "`urlencode` of the eight",
        1,
    )
    yield Row(
        "… with its HTML: the macro `buy_button`",
        _micro(took["macro"]),
        took["macro"] / took["hand"],
        "a macro with the filter `urlencode`",
    )


def _timed(contenders: dict[str, Call], rounds: int) -> dict[str, float]:
    # What is there by now is not looked through again between the runs: it is large.
    gc.freeze()
    try:
        return interleaved(contenders, rounds=rounds, calls=_CALLS, clock=time.thread_time)
    finally:
        gc.unfreeze()


def _speed(seconds: float) -> str:
    return f"{1 / seconds:,.0f} a second"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


if __name__ == "__main__":
    main(measure, __doc__)
