"""Pages that are ready before they are asked for.

A page is rendered once for each catalogue and place, with a mark where the URL of a button
goes, and cut there. For a visitor who brings nothing the bytes are constant; for the others
what they bring is put after each button's own URL. The links from page to page, and the search
form, take the campaign alone. What machines read has no such holes.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Flask, g
from markupsafe import Markup, escape
from werkzeug.http import parse_date, parse_etags

from storefront.buttons import hidden_fields, without
from storefront.catalog import Catalog, CatalogStore
from storefront.links import MAX_URL_CHARACTERS, UTM_NAMES, encode_parameters, with_parameters
from storefront.memo import Memo
from storefront.state import State
from storefront.web.encodings import IDENTITY, available, choose, compress
from storefront.web.policy import Headers, card_protection, protection, public_caching

Place = tuple[object, ...]
#: What a WSGI server is given: status, headers, body.
Answer = tuple[str, Headers, tuple[bytes, ...]]

#: Of all pages that are kept ready, in bytes.
_LIMIT_BYTES: Final = 64_000_000
#: Of the cards for other sites and of what machines read. They come in as many variants as
#: somebody cares to ask for, and must not push the pages out.
_OTHERS_LIMIT_BYTES: Final = 32_000_000
#: Distinct ``Accept-Encoding`` headers whose meaning is remembered.
_MOST_HEADERS: Final = 200
_OURS: Final = Path(__file__).parent.parent / "templates" / "storefront"
#: Our templates that the pages of the catalogue are not made from, by how their names begin.
_OF_NO_PAGE: Final = ("embed", "not_found", "success", "unavailable")
_OF_CARDS: Final = ("embed.html",)
#: A visitor who brings all that one can bring.
_EVERYTHING: Final = encode_parameters(
    None,
    {
        "customer_email": "a+b@example.com",
        "customer_name": "A & B <c>",
        "discount_code": "50% 'off'",
        "locale": "de",
        "reference_id": 'r"1"',
        **dict.fromkeys(UTM_NAMES, "ü/?#"),
    },
)


class Variant(NamedTuple):
    """A page in one encoding."""

    etag: str
    #: Of the whole answer, and of one that says only that nothing has changed.
    headers: Headers
    headers_304: Headers
    body: tuple[bytes, ...]


class Hole(NamedTuple):
    """Where the URL of a button goes, or of a link in the shop; or a form's hidden fields."""

    #: The URL with what the site says, as text and as it stands in the page; None for fields.
    base: str | None
    escaped: bytes
    #: What no visitor may add.
    given: frozenset[str]
    #: What comes between the URL and what is added; None where it has to be computed.
    joint: bytes | None

    def filled(self, brought: dict[str, str]) -> bytes:
        """What stands there for a visitor who brings that."""
        brought = without(brought, self.given)
        if self.base is None:
            return hidden_fields(brought).encode()
        return escape(with_parameters(self.base, brought, lenient=True)).encode()


class Kind(NamedTuple):
    """What the answers of many pages have in common."""

    content_type: str
    #: What may run on it, and whatever else each of its answers says.
    headers: Headers
    #: Whether nothing but the buttons depends on the visitor, whoever that is.
    for_everybody: bool
    #: Whether it is for other sites and for machines: nobody is asked who that is.
    is_open: bool
    #: Whether who is signed in decides what the buttons hold.
    by_cookie: bool
    #: The header ``Last-Modified``, where the catalogue alone decides that.
    modified: str | None

    def vary(self, *, encoded: bool) -> Headers:
        """The header ``Vary``, where anything does."""
        names = ["Accept-Encoding"] if encoded else []
        if self.by_cookie:
            # Who is signed in decides what the page holds, and a cookie decides who that is.
            names.append("Cookie")
        return [("Vary", ", ".join(names))] if names else []

    def dated(self) -> Headers:
        """The header ``Last-Modified``, where there is one."""
        return [("Last-Modified", self.modified)] if self.modified else []


class Shelf:
    """The pages of one catalogue that are ready, and what their answers have in common."""

    def __init__(
        self,
        state: State,
        catalog: Catalog,
        *,
        for_everybody: bool,
        cards_for_everybody: bool = True,
    ) -> None:
        settings = state.settings
        self.store: CatalogStore = state.catalog
        self.loaded = state.catalog.loaded
        #: None when another catalogue has taken its place.
        self.catalog: Catalog | None = catalog
        self._version = catalog.version
        self.max_age_seconds = settings.page_max_age_seconds
        self.pages: Memo[Place, Page] = Memo(_LIMIT_BYTES)
        #: Cards for other sites, and what machines read.
        self.others: Memo[Place, Page] = Memo(_OTHERS_LIMIT_BYTES)
        #: Places whose pages can't be prepared.
        self.unfit: Memo[Place, bool] = Memo(10_000)
        self.offered = available() if settings.compress_pages else ()
        self.public = public_caching(state)
        self._knows_visitors = state.callbacks.visitor is not None
        # A layout of the site's own may change without the catalogue.
        self._modified = formatdate(
            max(catalog.changed_at.timestamp(), state.started_at), usegmt=True
        )
        #: Of the pages that the catalogue is shown on.
        self.kind = self.kind_of(
            HTML,
            protection(state, catalog),
            for_everybody=for_everybody,
        )
        #: Of the cards that other sites show.
        self.card_kind = self.kind_of(
            HTML,
            card_protection(state, catalog),
            for_everybody=cards_for_everybody,
            is_open=True,
        )
        #: What to send to a client, by what it says in ``Accept-Encoding``.
        self.encodings: dict[str | None, str] = {None: IDENTITY}
        #: The second in which the store was last asked, and its age then, as a header.
        self.second = 0
        self.age = ("Storefront-Catalog-Age", "0")

    def kind_of(
        self, content_type: str, headers: Headers, *, for_everybody: bool, is_open: bool = False
    ) -> Kind:
        """What pages of this catalogue have in common that are of one kind."""
        by_cookie = self._knows_visitors and not is_open
        modified = self._modified if for_everybody else None
        return Kind(content_type, headers, for_everybody, is_open, by_cookie, modified)

    def is_of(self, catalog: Catalog) -> bool:
        """Whether its pages are those of this catalogue: it, or one that holds the same."""
        if self.catalog is catalog:
            return True
        if self.catalog is None or self._version != catalog.version:
            return False
        self.catalog = catalog
        self.second = 0
        return True

    def retire(self) -> None:
        """Let go of the catalogue: whoever still holds a page of it must not keep it alive."""
        self.catalog = None
        self.pages = Memo(1)
        self.others = Memo(1)

    def place(self, environ: WSGIEnvironment, query: str, *, for_everybody: bool) -> Place | None:
        """What tells pages apart; None for a request that must not get a prepared one.

        ``query`` is what of its query decides the page, checked and always written the same way.
        """
        host = environ.get("HTTP_HOST")
        if host is None:
            return None
        place = (
            environ["PATH_INFO"],
            host,
            environ["wsgi.url_scheme"],
            environ.get("SCRIPT_NAME"),
            query,
        )
        if for_everybody:
            return place
        # The site's own layout may show whatever it finds in a request. So this does no more than
        # any cache between the site and its visitors may do, and less.
        if "HTTP_COOKIE" in environ or "HTTP_AUTHORIZATION" in environ or not self.max_age_seconds:
            return None
        if environ.get("QUERY_STRING", "") != query:
            return None
        return (*place, environ.get("HTTP_ACCEPT_LANGUAGE"))

    def tick(self) -> None:
        """Have ``age`` tell the time of this second."""
        second = int(time.time())
        if second != self.second:
            self.age = ("Storefront-Catalog-Age", str(max(0, int(self.store.age_seconds()))))
            self.second = second

    def encoding(self, header: str | None) -> str:
        """What to send to a client that says this in ``Accept-Encoding``."""
        found = self.encodings.get(header)
        if found is None:
            found = choose(header, self.offered)
            if len(self.encodings) < _MOST_HEADERS:
                self.encodings[header] = found
        return found


class Page:
    """A page that is ready: constant bytes, with holes for what a visitor brings."""

    __slots__ = (
        *("_givens", "_joint", "_longest", "_tag", "_variants"),
        *("expires", "holes", "kind", "parts", "shelf"),
    )

    def __init__(
        self,
        shelf: Shelf,
        parts: tuple[bytes, ...],
        holes: tuple[Hole, ...] = (),
        kind: Kind | None = None,
    ) -> None:
        self.shelf = shelf
        self.kind = kind or shelf.kind
        #: What stands before each hole, with the button's own URL, and what follows the last.
        self.parts = parts
        self.holes = holes
        kinds = {(hole.joint, hole.given) for hole in holes}
        # On the page of a product all holes take the same, mostly.
        self._joint = kinds.pop() if len(kinds) == 1 else (None, frozenset[str]())
        self._longest = max((len(hole.base or "") for hole in holes), default=0)
        self._givens = {hole.given for hole in holes}
        self._tag = blake2b(b"".join(parts), digest_size=12).hexdigest()
        self._variants: dict[str | None, Variant] = {}
        #: By the monotonic clock; None for as long as the catalogue stays.
        self.expires: float | None = None
        if not self.kind.for_everybody:
            self.expires = time.monotonic() + shelf.max_age_seconds

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes, with its encodings."""
        return 2000 + 5 * sum(map(len, self.parts)) // 2

    def is_fresh(self) -> bool:
        """Whether it may still be given."""
        return self.expires is None or time.monotonic() < self.expires

    def filled(self, brought: dict[str, str]) -> bytes:
        """The page with what a visitor brings, as ``brought_along`` gives it."""
        joint, given = self._joint
        if joint is not None:
            pairs = without(brought, given).values()
            if not pairs:
                return b"".join(self.parts)
            added = "&amp;".join(pairs).encode()
            if self._longest + len(added) < MAX_URL_CHARACTERS:
                return (joint + added).join(self.parts)
        pairs_of = {
            given: "&amp;".join(without(brought, given).values()).encode() for given in self._givens
        }
        pieces: list[bytes] = []
        for part, hole in zip(self.parts, self.holes, strict=False):
            added = pairs_of[hole.given]
            if hole.joint is None or self._longest + len(added) >= MAX_URL_CHARACTERS:
                pieces += (part.removesuffix(hole.escaped), hole.filled(brought))
            elif added:
                pieces += (part, hole.joint, added)
            else:
                pieces.append(part)
        return b"".join((*pieces, self.parts[-1]))

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """The answer for whoever brings nothing: the same for everybody.

        It is a plain tuple, and calls nothing where it need not: the fast lane is made of this.
        """
        get = environ.get
        shelf = self.shelf
        header = get("HTTP_ACCEPT_ENCODING")
        variant = self._variants.get(shelf.encodings.get(header)) or self._variant(
            shelf.encoding(header)
        )
        known = get("HTTP_IF_NONE_MATCH")
        if known == variant.etag or (
            (known is not None or "HTTP_IF_MODIFIED_SINCE" in environ)
            and _is_known(environ, variant.etag, self.kind.modified)
        ):
            return ("304 NOT MODIFIED", [*variant.headers_304, shelf.age], ())
        return ("200 OK", [*variant.headers, shelf.age], variant.body)

    def answer_campaign(self, environ: WSGIEnvironment, brought: dict[str, str]) -> Answer:
        """The answer for anybody who follows one campaign's link."""
        shelf, kind = self.shelf, self.kind
        marks = blake2b("&".join(brought.values()).encode(), digest_size=12).hexdigest()
        etag = f'"{self._tag}-{marks}"'
        headers = [
            *kind.headers,
            shelf.public,
            ("ETag", etag),
            *kind.vary(encoded=False),
            shelf.age,
        ]
        if _is_known(environ, etag, kind.modified):
            return ("304 NOT MODIFIED", headers, ())
        body = self.filled(brought)
        headers += (
            ("Content-Type", kind.content_type),
            ("Content-Length", str(len(body))),
            *kind.dated(),
        )
        return ("200 OK", headers, (body,))

    def answer_personal(self, brought: dict[str, str]) -> Answer:
        """The answer for one visitor, which nobody may keep."""
        body = self.filled(brought)
        headers = [
            ("Content-Type", self.kind.content_type),
            ("Content-Length", str(len(body))),
            *self.kind.headers,
            PRIVATE,
            self.shelf.age,
        ]
        return ("200 OK", headers, (body,))

    def _variant(self, encoding: str) -> Variant:
        if encoding in self._variants:
            return self._variants[encoding]
        shelf, kind = self.shelf, self.kind
        plain = b"".join(self.parts)
        body = compress(plain, encoding)
        etag = f'"{self._tag}"' if encoding == IDENTITY else f'"{self._tag}-{encoding}"'
        vary = kind.vary(encoded=bool(shelf.offered))
        lasting = [*kind.headers, shelf.public, ("ETag", etag), *vary]
        of_body = [
            ("Content-Type", kind.content_type),
            ("Content-Length", str(len(body))),
            *kind.dated(),
        ]
        if encoding != IDENTITY:
            of_body.append(("Content-Encoding", encoding))
        variant = Variant(etag, [*of_body, *lasting], lasting, (body,))
        self._variants[encoding] = variant
        return variant


HTML: Final = "text/html; charset=utf-8"
PRIVATE: Final = ("Cache-Control", "private, no-store")


def shelf_of(state: State, catalog: Catalog, app: Flask) -> Shelf | None:
    """The shelf for a catalogue; None where pages are rendered each time."""
    shelf: Shelf | None = state.prepared.get("shelf")
    if app.jinja_env.auto_reload:
        return None  # a template that was changed has to show
    if shelf is not None and shelf.is_of(catalog):
        return shelf
    choice = state.settings.prepared_pages
    if choice == "never":
        return None
    if "kinds" not in state.prepared:
        always = choice == "always"
        state.prepared["kinds"] = {
            "for_everybody": always or is_all_ours(app, _of_pages()),
            "cards_for_everybody": always or is_all_ours(app, _OF_CARDS),
        }
    if shelf is not None:
        shelf.retire()
    shelf = Shelf(state, catalog, **state.prepared["kinds"])
    state.prepared["shelf"] = shelf
    return shelf


def passing_shelf(state: State, catalog: Catalog) -> Shelf:
    """A shelf for one request, where nothing is kept."""
    shelf = Shelf(state, catalog, for_everybody=False, cards_for_everybody=False)
    shelf.offered = ()
    return shelf


def prepare(
    shelf: Shelf, kind: Kind, render: Callable[[], str], is_personal: Callable[[], bool]
) -> Page | None:
    """Make a page ready; None for one that is not the same for everybody.

    It is rendered twice: with marks in place of the URLs, and for somebody who brings
    everything. What comes out differently each time, such as a nonce, or changes a button's URL
    on the way into the page, shows in that.
    """
    marks = _Marks()
    html = _render_with(marks, render)
    if is_personal():
        return None
    page = _cut(shelf, kind, html, marks)
    known = _render_with(_Somebody(), render)
    if is_personal() or page.filled(_EVERYTHING) != known.encode():
        return None
    return page


class _Marks:
    """Gives each button a mark instead of its URL: letters that no escaping changes."""

    def __init__(self) -> None:
        self._mark = f"https://button.invalid/{secrets.token_hex(12)}/"
        self._holes: list[Hole] = []

    def place(self, base: str, given: frozenset[str]) -> str:
        return self._placed(_hole(base, given))

    def place_fields(self, given: frozenset[str]) -> Markup:
        return Markup(self._placed(Hole(None, b"", given, None)))  # noqa: S704  letters

    def split(self, html: str) -> tuple[list[str], tuple[Hole, ...]]:
        """The texts between the marks, and the holes in the order of the page."""
        texts = re.split(rf"{re.escape(self._mark)}(\d+)/", html)
        return texts[::2], tuple(self._holes[int(number)] for number in texts[1::2])

    def _placed(self, hole: Hole) -> str:
        self._holes.append(hole)
        return f"{self._mark}{len(self._holes) - 1}/"


class _Somebody:
    def place(self, base: str, given: frozenset[str]) -> str:
        return with_parameters(base, without(_EVERYTHING, given), lenient=True)

    def place_fields(self, given: frozenset[str]) -> Markup:
        return hidden_fields(without(_EVERYTHING, given))


def _render_with(stand_in: Any, render: Callable[[], str]) -> str:
    g.storefront_holes = stand_in
    try:
        return render()
    finally:
        g.pop("storefront_holes")


def _cut(shelf: Shelf, kind: Kind, html: str, marks: _Marks) -> Page:
    texts, holes = marks.split(html)
    parts = [text.encode() for text in texts]
    for number, hole in enumerate(holes):
        parts[number] += hole.escaped
    return Page(shelf, tuple(parts), holes, kind)


def _hole(base: str, given: frozenset[str]) -> Hole:
    brought = without(_EVERYTHING, given)
    joint: bytes | None = b"&amp;" if "?" in base else b"?"
    sign = "&" if "?" in base else "?"
    if with_parameters(base, brought, lenient=True) != f"{base}{sign}{'&'.join(brought.values())}":
        # It has a fragment, or parameters of its own that a visitor's would replace.
        joint = None
    return Hole(base, escape(base).encode(), given, joint)


def _is_known(environ: WSGIEnvironment, etag: str, modified: str | None) -> bool:
    """Whether the client has this already."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None:
        return known == etag or parse_etags(known).contains_weak(etag.strip('"'))
    since = environ.get("HTTP_IF_MODIFIED_SINCE")
    if since is None or modified is None:
        return False
    if since == modified:
        return True
    try:
        date, limit = parse_date(since), parse_date(modified)
    except OverflowError:  # a year beyond all others
        return False
    return date is not None and limit is not None and date >= limit


def is_all_ours(app: Flask, templates: Iterable[str]) -> bool:
    """Whether the site adds nothing of its own to the pages: no template, nothing in addresses."""
    if any(app.url_default_functions.values()):
        return False
    for name in templates:
        filename = app.jinja_env.get_template(f"storefront/{name}").filename
        if filename is None or Path(filename).parent != _OURS:
            return False
    return True


def _of_pages() -> Iterable[str]:
    """What the pages of the catalogue may be made from."""
    names = (path.name for path in _OURS.glob("*.html"))
    return (name for name in names if not name.startswith(_OF_NO_PAGE))
