"""Machines in a test: sites with folders of their own, whose requests to Polar are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cachelib.serializers import JSONSerializer
from flask import Flask
from flask_caching import Cache

from storefront import Storefront
from storefront.catalog import CatalogStore
from storefront.emulator import LocalPolar
from storefront.state import get_state


def machine(
    polar: LocalPolar, folder: Path, *, redis_url: str | None = None, **settings: Any
) -> Flask:
    """A site whose instance folder is its own; on a Redis, if that is given."""
    app = Flask("site", instance_path=str(folder))
    app.config.update(
        POLAR_SERVER=polar.url,
        POLAR_ACCESS_TOKEN=next(iter(polar.tokens)),
        TESTING=True,
        STOREFRONT_PAGE_TIMEOUT_SECONDS=20,
    )
    app.config.update(settings)
    cache = None
    if redis_url is not None:
        app.config.update(
            CACHE_TYPE="RedisCache",
            CACHE_REDIS_URL=redis_url,
            CACHE_SERIALIZER=JSONSerializer,
            CACHE_DEFAULT_TIMEOUT=0,
        )
        cache = Cache(app)
    shop = Storefront(app, cache=cache)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    return app


def store_of(app: Flask) -> CatalogStore:
    """The app's catalogue store."""
    return get_state(app).catalog


def walks(polar: LocalPolar) -> int:
    """How often the whole list of products was begun to be read."""
    return polar.requests.count("/v1/products/", method="GET")
