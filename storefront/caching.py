"""Which Flask-Caching cache carries the catalogue. Always JSON: a planted pickle runs code."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from cachelib import BaseCache, RedisCache
from cachelib.serializers import JSONSerializer
from flask import Flask
from flask_caching import Cache
from flask_caching.backends.nullcache import NullCache

from storefront.errors import ConfigurationError
from storefront.settings import Settings

logger = logging.getLogger("storefront")


def usable_cache(cache: Cache, app: Flask) -> BaseCache:
    """The backend of the site's own cache, if it is initialised for the app and does not pickle.

    :raises ConfigurationError: when it is not.
    """
    backend: BaseCache | None = app.extensions.get("cache", {}).get(cache)
    if backend is None:
        raise ConfigurationError(
            "cache",
            "the Cache passed to Storefront is not initialised: call cache.init_app(app) first.",
        )
    serializer = getattr(backend, "serializer", None)
    if not isinstance(serializer, JSONSerializer) and not isinstance(backend, NullCache):
        raise ConfigurationError(
            "CACHE_SERIALIZER",
            f"the Cache passed to Storefront ({type(backend).__name__}) reads pickles, and "
            "who can write to the cache could then run code here. Give it "
            "CACHE_SERIALIZER = cachelib.serializers.JSONSerializer, or pass a second Cache "
            "that has it (with_jinja2_ext=False).",
        )
    return backend


def is_shared(backend: BaseCache) -> bool:
    """Whether several machines can have it, and only one of them adds an entry."""
    return isinstance(backend, RedisCache)


def lock_folder(app: Flask) -> Path:
    """Where the workers of this machine lock each other out: the instance folder, or where that
    can't be written, one for temporary files."""
    instance = Path(app.instance_path)
    nearest = next(folder for folder in (instance, *instance.parents) if folder.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return instance
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"storefront-{user}"


def own_cache(app: Flask, settings: Settings) -> BaseCache:
    """Files in the instance folder; this process's memory where that can't be written."""
    directory = settings.cache_dir or Path(app.instance_path) / "storefront-cache"
    config = {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(directory),
        "CACHE_SERIALIZER": JSONSerializer,
        "CACHE_DEFAULT_TIMEOUT": 0,
        # No entry may be pruned, and the counter that pruning keeps is pickled.
        "CACHE_THRESHOLD": 0,
        "CACHE_OPTIONS": None,
        "CACHE_ARGS": [],
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        if settings.cache_dir is not None:
            raise ConfigurationError(
                "STOREFRONT_CACHE_DIR", f"{str(directory)!r} can't be written: {error.strerror}."
            ) from None
        logger.warning(
            "The instance folder %s can't be written (%s): each worker reads the catalogue for "
            "itself. Set STOREFRONT_CACHE_DIR, or pass a cache.",
            directory.parent,
            error.strerror,
        )
        config["CACHE_TYPE"] = "SimpleCache"
    # The host's own {% cache %} tag stays the host's.
    cache = Cache(with_jinja2_ext=False, config=config)
    cache.init_app(app)
    backend: BaseCache = app.extensions["cache"][cache]
    return backend
