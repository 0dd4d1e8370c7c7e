"""The fast lane: WSGI middleware that gives prepared pages before Flask makes a request.

It knows no app and no settings. A request that may be for a page of everybody's goes on to
Flask with a ticket in its environ; the view that answers it from a prepared page leaves the
page with the ticket, and the next such request is answered here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import time
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

from storefront.errors import CatalogUnavailable
from storefront.memo import Memo
from storefront.web.prepared import Page, Shelf

logger = logging.getLogger("storefront")

#: Where a request carries its ticket.
TICKET: Final = "storefront.fast_lane"
#: Of all pages that the lane holds, in bytes.
_LIMIT_BYTES: Final = 64_000_000
#: A request with any of these is not like everybody's, or asks for something else than the page.
_BARRED: Final = frozenset(
    {
        *("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "REMOTE_USER"),
        *("HTTP_REMOTE_USER", "HTTP_X_REMOTE_USER", "HTTP_X_FORWARDED_USER", "HTTP_X_USER"),
        *("HTTP_X_FORWARDED_EMAIL", "HTTP_X_AUTH_REQUEST_USER", "HTTP_X_AUTH_REQUEST_EMAIL"),
        *("SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "HTTP_X_API_KEY"),
        *("HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"),
        *("HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TRANSFER_ENCODING"),
        *("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"),
        *("HTTP_FORWARDED", "HTTP_X_SCRIPT_NAME", "HTTP_X_SCHEME", "HTTP_X_FORWARDED_SCHEME"),
        *("HTTP_X_ORIGINAL_URL", "HTTP_X_REWRITE_URL", "HTTP_X_FORWARDED_PATH"),
    }
)
_Key = tuple[object, ...]


class FastLane:
    """``app.wsgi_app = shop.fast_lane(app.wsgi_app)``."""

    def __init__(self, app: WSGIApplication, *, skip_hooks: bool = False) -> None:
        self._app = app
        self._skip_hooks = skip_hooks
        self._told = False
        self._known: Memo[_Key, Page] = Memo(_LIMIT_BYTES)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what is ready and the same for everybody; hand on everything else untouched."""
        method = environ["REQUEST_METHOD"]
        if (method == "GET" or method == "HEAD") and _BARRED.isdisjoint(environ):
            get = environ.get
            key = (
                environ["PATH_INFO"],
                get("HTTP_HOST"),
                get("QUERY_STRING"),
                get("SCRIPT_NAME"),
                environ["wsgi.url_scheme"],
                # What ProxyFix goes by, which may stand on either side of the lane.
                get("HTTP_X_FORWARDED_PROTO"),
                get("HTTP_X_FORWARDED_HOST"),
                get("HTTP_X_FORWARDED_PORT"),
                get("HTTP_X_FORWARDED_PREFIX"),
            )
            page = self._known.get(key) or self._known.get((key, get("HTTP_ACCEPT_LANGUAGE")))
            if page is not None:
                shelf = page.shelf
                # The store is asked once a second: that has an old catalogue read anew. Whether
                # this process has another one by now is looked at each time.
                if (
                    (shelf.loaded() is shelf.catalog and shelf.second == int(time()))
                    or self._is_current(shelf)
                ) and (page.expires is None or page.is_fresh()):
                    status, headers, body = page.answer(environ)
                    start_response(status, headers)
                    return body if method == "GET" else ()
            environ[TICKET] = (self, key)
        return self._app(environ, start_response)

    def learn(self, key: object, page: Page, app: Flask, language: str | None) -> None:
        """Take over a page that was just given to a request with that key."""
        assert isinstance(key, tuple)
        if not self._skip_hooks and (hook := _hook(app)):
            if not self._told:
                self._told = True
                logger.warning(
                    "The fast lane answers nothing: the app has %s functions, which it would "
                    "pass by. Where they need not see the shop's pages, say "
                    "shop.fast_lane(app.wsgi_app, skip_hooks=True).",
                    hook,
                )
            return
        # One that expires is made with a layout of the site's own, which may speak the visitor's
        # language.
        self._known.put(key if page.expires is None else (key, language), page, page.weight)

    def _is_current(self, shelf: Shelf) -> bool:
        try:
            if shelf.is_of(shelf.store.current()):
                shelf.tick()
                return True
        except CatalogUnavailable:
            return False
        # All pages of the last catalogue are of no use any more.
        self._known = Memo(_LIMIT_BYTES)
        return False


def _hook(app: Flask) -> str:
    """The decorator of a function of the site's that sees every request to our pages, or ''."""
    ours = {None, *app.blueprints}
    for name, functions in (
        ("before_request", app.before_request_funcs),
        ("after_request", app.after_request_funcs),
        ("url_value_preprocessor", app.url_value_preprocessors),
    ):
        if any(functions.get(scope) for scope in ours):
            return name
    return ""
