"""The sites that gunicorn serves to the benchmarks, each made by a function named in its command.

``POLAR_SERVER`` and the rest come from the environment, as in any site.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, redirect
from flask_caching import Cache
from polar.v2026_10 import Polar as PolarSdk
from werkzeug.wrappers import Response as BaseResponse

from storefront import Storefront

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: How many bytes the bare view sends: those of the page that it is compared with.
BARE_BYTES = "BARE_BYTES"
#: And its headers, as JSON.
HEADERS = "HEADERS"


def _app() -> Flask:
    return Flask(__name__, instance_path=os.environ["INSTANCE"])


def bare() -> Flask:
    """A view that returns constant bytes, and nothing else: the most that Flask does a second."""
    app = _app()
    body = b"x" * int(os.environ.get(BARE_BYTES, "6000"))

    @app.get("/page")
    def page() -> Response:
        return Response(body, mimetype="text/html")

    @app.get("/redirect")
    def memory() -> BaseResponse:
        return redirect("https://buy.polar.sh/polar_cl_1", 302)

    return app


def nothing() -> WSGIApplication:
    """The page's own headers and as many bytes, without Flask: what the server lets through."""
    body = b"x" * int(os.environ[BARE_BYTES])
    headers = list(json.loads(os.environ[HEADERS]).items())

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return (body,)

    return application


def shop() -> Flask:
    """The shop, registered as the README says."""
    app = _app()
    storefront = Storefront(app)
    app.register_blueprint(storefront.blueprint, url_prefix="/shop")
    return app


def shop_with_lane() -> Flask:
    """The same with the fast lane."""
    app = _app()
    storefront = Storefront(app)
    app.register_blueprint(storefront.blueprint, url_prefix="/shop")
    app.wsgi_app = storefront.fast_lane(app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


def cached() -> Flask:
    """What a site of its own does: the view's response kept by Flask-Caching, in memory."""
    app = shop()
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    view: Any = app.view_functions["storefront.product"]
    kept: Any = cache.cached(timeout=300)(view)
    app.view_functions["storefront.product"] = kept
    return app


def by_sdk() -> Flask:
    """A handler that makes a checkout for each click, by Polar's SDK."""
    app = _app()
    polar = PolarSdk(os.environ["POLAR_ACCESS_TOKEN"], base_url=os.environ["POLAR_SERVER"])
    product = os.environ["PRODUCT_ID"]

    @app.get("/buy")
    def buy() -> BaseResponse:
        checkout = polar.checkouts.create(
            products=[product],
            success_url="https://shop.example.com/success?checkout_id={CHECKOUT_ID}",
        )
        return redirect(checkout.url, 303)

    return app


def environment(url: str, token: str, instance: str, **further: str) -> Mapping[str, str]:
    """What the sites are told."""
    return {"POLAR_SERVER": url, "POLAR_ACCESS_TOKEN": token, "INSTANCE": instance, **further}
