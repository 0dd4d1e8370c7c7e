"""The site of the proofs: a shop such as its user would write, told by its environment.

`SITE_FOLDER` is its instance folder, `SITE_REDIS` the URL of a Redis for its Flask-Caching cache,
`SITE_KILLS` a folder: a file in it, named as a point of this site, kills the process that gets
there next. Everything else is a setting of the shop's.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

from cachelib.serializers import JSONSerializer
from flask import Flask, render_template_string
from flask_caching import Cache

from storefront import CatalogUnavailable, Receipt, Storefront

HOST_PAGE = """<!doctype html><title>A page of the site</title>
{% from "storefront/macros.html" import buy_button, price, product_card %}
<p>{{ price("item-0") }} {{ buy_button("item-0", utm={"source": "host"}) }}</p>
{{ product_card("item-1") }}
"""


def kill_point(name: str) -> None:
    """Die here, as if by `kill -9`, if somebody asked for it; once for each time it was asked."""
    folder = os.environ.get("SITE_KILLS")
    if not folder:
        return
    try:
        (Path(folder) / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def create_app(**settings: Any) -> Flask:
    """The site; its settings come from the environment, and from `settings` first."""
    logging.basicConfig(
        level=logging.INFO, format="[%(process)d] %(levelname)s %(name)s: %(message)s"
    )
    app = Flask(__name__, instance_path=os.environ["SITE_FOLDER"])
    app.config["SECRET_KEY"] = "the same in all processes"
    app.config.update(settings)
    cache = None
    if os.environ.get("SITE_REDIS"):
        app.config.update(
            CACHE_TYPE="RedisCache",
            CACHE_REDIS_URL=os.environ["SITE_REDIS"],
            CACHE_SERIALIZER=JSONSerializer,
        )
        cache = Cache(app)
    shop = Storefront(cache=cache)
    shop.init_app(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    app.wsgi_app = shop.fast_lane(app.wsgi_app)  # type: ignore[method-assign, assignment]

    @shop.on_success
    def thank(receipt: Receipt) -> None:
        kill_point("on_success")

    @app.get("/")
    def host() -> Any:
        kill_point("host")
        try:
            return render_template_string(HOST_PAGE)
        except CatalogUnavailable:
            return "The shop is not there yet.", 503

    @app.get("/control")
    def control() -> str:
        """What the server and the machine cost, without the shop."""
        return "control"

    return app
