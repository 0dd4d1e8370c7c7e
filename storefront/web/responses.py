"""Our pages' answers: what may be cached, what may run, and from where the bytes come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response, current_app, g, make_response, render_template, request
from flask.globals import request_ctx

from storefront.buttons import brought_along, current_visitor, page_is_personal, tell_local_polar
from storefront.catalog import Catalog
from storefront.memo import Memo
from storefront.state import State, get_state
from storefront.web.lane import TICKET, FastLane
from storefront.web.policy import protection, public_caching
from storefront.web.prepared import (
    PRIVATE,
    Answer,
    Kind,
    Page,
    Place,
    Shelf,
    is_all_ours,
    passing_shelf,
    prepare,
    shelf_of,
)

#: Seconds that a template's first rendering is waited for.
_FIRST_SECONDS: Final = 1.0


class _FirstTimes:
    """Which templates have been rendered in this process, and whose turn it is with a new one."""

    def __init__(self) -> None:
        self.rendered: set[str] = set()
        self.turn = threading.RLock()


def render(template: str, **context: Any) -> str:
    """The template, rendered.

    Its first time is one thread's. A new process may be asked by many at once, and if each of them
    compiled the template and all that it includes, all would wait for a second or two.
    """
    state = get_state()
    first: _FirstTimes = state.prepared.setdefault("first_times", _FirstTimes())
    if template not in first.rendered and first.turn.acquire(timeout=_FIRST_SECONDS):
        try:
            if template not in first.rendered:
                html = render_template(template, **context)
                first.rendered.add(template)
                return html
        finally:
            first.turn.release()
    html = render_template(template, **context)
    first.rendered.add(template)  # also where it was waited for in vain: that is not done twice
    return html


class ReadyResponse(Response):
    """An answer that is ready for the WSGI server; once touched, a response like any other.

    Making a response costs more than all else that a prepared page needs; most are never looked
    into on their way out.
    """

    def __init__(self, answer: Answer) -> None:
        self.__dict__["_answer"] = answer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The answer as it is, unless somebody changed it."""
        answer: Answer | None = self.__dict__.get("_answer")
        if answer is None:
            return super().__call__(environ, start_response)
        status, headers, body = answer
        start_response(status, headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" else body

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not there: at first, that is everything of a usual response.
        if "_answer" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._unfold()
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_answer" in self.__dict__:
            self._unfold()
        super().__setattr__(name, value)

    def _unfold(self) -> None:
        status, headers, body = self.__dict__.pop("_answer")
        super().__init__(body, status, headers)


class OpenResponse(ReadyResponse):
    """An answer for everybody, which caches keep and other sites show: no cookie goes with it.

    A session that is renewed with each request would otherwise reach whoever a cache answers.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The answer, without what the site's session or functions would have planted."""
        if "_answer" not in self.__dict__:
            self.headers.remove("Set-Cookie")
        return super().__call__(environ, start_response)


def public_response(
    state: State,
    catalog: Catalog,
    content_type: str,
    make: Callable[[], bytes],
    *,
    query: str = "",
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """What a machine reads: the same for everybody, so that no visitor is asked and none is told.

    ``make`` gives the body. It may depend on the catalogue, on the address up to its query, and on
    ``query``: what of this request's query decides the body, checked and always written the same
    way. What it gives is kept until the catalogue changes, and sent with ``Cache-Control: public``,
    ETag and ``Last-Modified``, compressed for whoever takes that. ``headers`` are added, to the
    304s as well.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    environ = request.environ
    shelf = shelf_of(state, catalog, app) or passing_shelf(state, catalog)
    if "bodies_for_everybody" not in state.prepared:
        always = state.settings.prepared_pages == "always"
        state.prepared["bodies_for_everybody"] = always or is_all_ours(app, ())
    for_everybody: bool = state.prepared["bodies_for_everybody"]
    place = shelf.place(environ, query, for_everybody=for_everybody)
    page = shelf.others.get(place) if place is not None else None
    if page is None or not page.is_fresh():
        kind = shelf.kind_of(
            content_type,
            [("X-Content-Type-Options", "nosniff"), *headers],
            for_everybody=for_everybody,
            is_open=True,
        )
        page = Page(shelf, (make(),), (), kind)
        if place is not None:
            shelf.others.put(place, page, page.weight)
    shelf.tick()
    _tell_lane(state, page, query, environ)
    return OpenResponse(page.answer(environ))


def ready_page(
    state: State, catalog: Catalog, query: str = "", *, card: bool = False
) -> Response | None:
    """This request's page, if it is ready.

    ``query`` is what of the request's query decides the page: ``page=2``. ``card`` is for one that
    other sites show.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    shelf = shelf_of(state, catalog, app)
    if shelf is None:
        return None
    environ = request.environ
    kind, pages = _of_kind(shelf, card=card)
    place = shelf.place(environ, query, for_everybody=kind.for_everybody)
    page = pages.get(place) if place is not None else None
    if page is None or not page.is_fresh():
        return None
    return _from_page(state, page, query, environ)


def shown_page(
    state: State,
    catalog: Catalog,
    template: str,
    query: str | None = "",
    *,
    card: bool = False,
    **context: Any,
) -> Response:
    """A page of the catalogue: prepared where it can be, else rendered for this request.

    It is cacheable with an ETag, unless it carries a visitor's data. Without a ``query``, as for
    what a visitor searches, it is not kept here.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    rendering = _Rendering(template, context)
    shelf = shelf_of(state, catalog, app) if query is not None else None
    if shelf is None or query is None:
        kind, _ = _of_kind(passing_shelf(state, catalog), card=card)
        return _rendered(state, kind, rendering)
    kind, pages = _of_kind(shelf, card=card)
    place = shelf.place(request.environ, query, for_everybody=kind.for_everybody)
    if (
        place is not None
        and not shelf.unfit.get(place)
        and (kind.for_everybody or not page_is_personal())
    ):
        page = prepare(shelf, kind, rendering, rendering.is_personal)
        if page is not None:
            pages.put(place, page, page.weight)
            response = _from_page(state, page, query, request.environ)
            if response is not None:
                return response
        else:
            shelf.unfit.put(place, True, 1)
    return _rendered(state, kind, rendering)


def private_page(template: str, status: int = 200, **context: Any) -> Response:
    """A page about one purchase: kept by nobody, told to nobody, found by no search engine."""
    return keep_private(make_response(render(template, **context), status))


def private_redirect(address: str) -> Response:
    """A redirect (303) whose target stands in one header, and nowhere else."""
    return keep_private(Response(status=303, headers={"Location": address}))


def keep_private(response: Response) -> Response:
    """The headers of a page about one purchase, on any response."""
    state = get_state()
    for name, value in protection(state, state.catalog.loaded()):
        response.headers.setdefault(name, value)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def shorten_if_known(response: Response) -> None:
    """Make it a 304 for a client that has it already, by its ETag."""
    with suppress(OverflowError):  # Werkzeug's, of a date with a year beyond all others
        response.make_conditional(request)


def _from_page(state: State, page: Page, query: str, environ: WSGIEnvironment) -> Response | None:
    """The response that a page gives this request; None where its layout has to be asked."""
    if state.embedded is not None:
        tell_local_polar(state)
    page.shelf.tick()
    sent = environ.get("QUERY_STRING", "")
    if page.kind.by_cookie or "utm_" in sent or "%" in sent:
        brought = brought_along(state)
        personal = page_is_personal()
        if personal or brought:
            if not page.kind.for_everybody:
                return None
            if personal:
                return ReadyResponse(page.answer_personal(brought))
            return _response(page.kind, page.answer_campaign(environ, brought))
    _tell_lane(state, page, query, environ)
    return _response(page.kind, page.answer(environ))


def _response(kind: Kind, answer: Answer) -> Response:
    return OpenResponse(answer) if kind.is_open else ReadyResponse(answer)


def _tell_lane(state: State, page: Page, query: str, environ: WSGIEnvironment) -> None:
    """Have the fast lane, if there is one, answer the next request that is like this one."""
    ticket: tuple[FastLane, object] | None = environ.get(TICKET)
    if ticket is not None and state.embedded is None and environ.get("QUERY_STRING", "") == query:
        lane, key = ticket
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        lane.learn(key, page, app, environ.get("HTTP_ACCEPT_LANGUAGE"))


def _of_kind(shelf: Shelf, *, card: bool) -> tuple[Kind, Memo[Place, Page]]:
    """What pages of a kind have in common, and where they are kept."""
    return (shelf.card_kind, shelf.others) if card else (shelf.kind, shelf.pages)


def _rendered(state: State, kind: Kind, rendering: _Rendering) -> Response:
    html = rendering()
    if kind.is_open:
        body = html.encode()
        sent = [("Content-Type", kind.content_type), ("Content-Length", str(len(body)))]
        response: Response = OpenResponse(("200 OK", sent, (body,)))
    else:
        response = make_response(html)
    response.headers.extend(kind.headers)
    age = max(0, int(state.catalog.age_seconds()))
    response.headers["Storefront-Catalog-Age"] = str(age)
    if page_is_personal() or rendering.read_session:
        response.headers["Cache-Control"] = PRIVATE[1]
        return response
    response.headers.set(*public_caching(state))
    if kind.by_cookie:
        response.vary.add("Cookie")
    response.add_etag()
    shorten_if_known(response)
    return response


class _Rendering:
    """Renders a page, and notices what of its visitor goes into it."""

    def __init__(self, template: str, context: dict[str, Any]) -> None:
        self._template = template
        self._context = context
        session = _session()
        before = getattr(session, "accessed", False)
        current_visitor()
        # A callback that looks who is signed in has not put anything into the page yet.
        self._by_callback = not before and getattr(session, "accessed", False)
        #: Whether the site's own templates asked the session, as a greeting in its header does.
        self.read_session = False

    def __call__(self) -> str:
        session = _session()
        if self._by_callback:
            cast(Any, session).accessed = False
        html = render(self._template, **self._context)
        self.read_session = self.read_session or bool(getattr(session, "accessed", False))
        if self._by_callback:
            cast(Any, session).accessed = True
        return html

    def is_personal(self) -> bool:
        """Whether what was rendered belongs to this visitor, buttons aside."""
        return self.read_session or bool(g.get("storefront_personal", False))


def _session() -> object:
    """The session, which must not be asked for by ``flask.session``: that counts as reading it."""
    context = vars(request_ctx._get_current_object())  # type: ignore[attr-defined]
    session: object = context.get("_session", context.get("session"))
    return session
