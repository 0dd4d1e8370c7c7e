"""``Storefront``: what a site registers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import click
from flask import Blueprint, Flask, request_started
from flask_caching import Cache

from storefront.buttons import Prefill, make_button
from storefront.caching import is_shared, lock_folder, own_cache, usable_cache
from storefront.catalog import CacheTier, Catalog, CatalogStore, DatabaseTier, shop_key
from storefront.cli import Commands
from storefront.database import Database
from storefront.errors import ConfigurationError, DatabaseUnavailable, UnknownReference
from storefront.inbox import register_webhooks
from storefront.orders import FulfilmentCallback, OrderDesk, Reconciliation, RefundCallback
from storefront.polar import Client
from storefront.rendering import Helpers
from storefront.settings import Settings
from storefront.signals import OrderListeners
from storefront.state import (
    EXTENSION_NAME,
    Callbacks,
    State,
    SuccessCallback,
    VisitorCallback,
    get_state,
)
from storefront.texts import Texts
from storefront.web import create_blueprint
from storefront.web.lane import FastLane
from storefront.web.webhooks import exempt_from_csrf
from storefront.work import WorkQueue

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from storefront.embedded import EmbeddedPolar

logger = logging.getLogger("storefront")


class Storefront:
    """Turns a Flask site into a shop on Polar.

    ::

        shop = Storefront(app)
        app.register_blueprint(shop.blueprint, url_prefix="/shop")

    The first line gives the settings, the macros, the commands and the catalogue; the second
    the pages. A site that wants only buttons leaves the second out. In a factory, make
    ``shop = Storefront()`` and call ``shop.init_app(app)``; one ``Storefront`` can serve several
    apps.

    ``cache`` is a Flask-Caching ``Cache`` of the site's own, initialised and with a JSON
    serializer, that carries the catalogue between workers and machines. Without it, files in
    the instance folder do so between the workers of one machine.

    :raises ConfigurationError: when a setting is missing or wrong.
    """

    def __init__(self, app: Flask | None = None, *, cache: Cache | None = None) -> None:
        self._cache = cache
        self._callbacks = Callbacks()
        #: The pages; register it where the shop should be.
        self.blueprint: Blueprint = create_blueprint()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the settings and make the app a shop.

        :raises ConfigurationError: when a setting is missing or wrong.
        :raises RuntimeError: when the app has a Storefront already.
        """
        if EXTENSION_NAME in app.extensions:
            raise RuntimeError(
                "This Flask app has a Storefront already. Was Storefront(app) followed by "
                "init_app(app)?"
            )
        settings = Settings.from_mapping(app.config)
        cache = usable_cache(self._cache, app) if self._cache else own_cache(app, settings)
        client = Client(
            settings.server,
            settings.access_token,
            timeout=settings.sync_timeout_seconds,
            proxy_url=settings.proxy_url,
            ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None,
            rate_limit_share=settings.rate_limit_share,
        )
        texts = Texts(settings.locale)
        shop = shop_key(settings)
        database = Database(settings.database_url, Path(app.instance_path))
        short, work = database.for_short_writes(), _queue(app, settings, database)
        queue = work if short is database else _queue(app, settings, short)
        organization_id = settings.organization_id
        orders = OrderDesk(
            client,
            database,
            work,
            queue,
            self._callbacks,
            OrderListeners(),
            organization_id=organization_id,
        )
        state = State(
            settings=settings,
            client=client,
            catalog=CatalogStore(
                settings,
                client,
                texts,
                CacheTier(cache, shop, is_shared=is_shared(cache)),
                DatabaseTier(short, shop),
                lock_folder(app),
            ),
            texts=texts,
            callbacks=self._callbacks,
            database=database,
            work=work,
            inbox=queue,
            orders=orders,
            reconciliation=Reconciliation(
                client,
                database,
                work,
                orders,
                organization_id=organization_id,
                every_seconds=settings.reconcile_seconds,
            ),
            embedded=_start_embedded(settings) if settings.embedded else None,
        )
        app.extensions[EXTENSION_NAME] = state
        register_webhooks(state.inbox)
        request_started.connect(_at_first_request, app)
        app.cli.add_command(Commands())
        # Templates and static files have to be there for macros without the pages as well, and
        # behind the host's own, which override them: what a blueprint without routes does.
        app.register_blueprint(
            Blueprint("storefront_files", "storefront", template_folder="templates")
        )
        app.jinja_env.globals["storefront"] = Helpers()
        if settings.sync_on_start and not app.testing and _is_serving():
            state.catalog.warm_up()

    @property
    def catalog(self) -> Catalog:
        """The current app's catalogue.

        :raises CatalogUnavailable: when it was never read and can't be read now.
        """
        return get_state().catalog.current()

    def buy_url(self, reference: str, **prefill: Any) -> str:
        """The URL of a buy button, as the macro makes it, with the same arguments.

        :raises UnknownReference: when nothing that is for sale goes by that name.
        :raises LinkError: when a value can't go into the link (in development; in production
            it is left out and logged).
        """
        button = make_button(reference, Prefill(**prefill))
        if button.url is None:
            raise UnknownReference(reference, f"Nothing can be bought as {reference!r} now.")
        return button.url

    def visitor(self, function: VisitorCallback) -> VisitorCallback:
        """Register who is signed in: ``@shop.visitor`` over a function of no arguments.

        It returns a ``Visitor`` or None, and is asked at most once a request. Pages that carry
        what it returned are not cached.
        """
        self._callbacks.visitor = function
        return function

    def fast_lane(self, wsgi_app: WSGIApplication, *, skip_hooks: bool = False) -> WSGIApplication:
        """Answer what is the same for everybody before Flask makes a request of it.

        ::

            app.wsgi_app = shop.fast_lane(app.wsgi_app)

        Requests with a cookie, an authorization, a query of their own or another method than GET
        and HEAD go on untouched. What it answers the site's own hooks, signals and log do not
        see; so an app with ``before_request`` or ``after_request`` functions is left alone,
        unless ``skip_hooks`` says that they need not see these pages.
        """
        return FastLane(wsgi_app, skip_hooks=skip_hooks)

    def on_order(self, function: FulfilmentCallback) -> FulfilmentCallback:
        """Register what the site does when something was paid: ``@shop.on_order``.

        The function gets a ``Fulfilment``. It is called once for each order, renewals included,
        outside of any request and whether or not the buyer comes back; when it raises, it is
        called again later. What it writes through ``fulfilment.connection`` is done exactly once,
        anything else at least once.

        :raises RuntimeError: when there is one already.
        """
        if self._callbacks.order is not None:
            raise _registered_twice("on_order", self._callbacks.order)
        self._callbacks.order = function
        return function

    def on_refund(self, function: RefundCallback) -> RefundCallback:
        """Register what the site does when an order was refunded: ``@shop.on_refund``.

        The function gets a ``Refund``, as ``on_order`` gets a ``Fulfilment``: once for each amount
        that was reached, and never before the order was fulfilled.

        :raises RuntimeError: when there is one already.
        """
        if self._callbacks.refund is not None:
            raise _registered_twice("on_refund", self._callbacks.refund)
        self._callbacks.refund = function
        return function

    @overload
    def on_success(self, function: SuccessCallback, /) -> SuccessCallback:
        """As ``@shop.on_success``."""

    @overload
    def on_success(
        self, /, *, every_time: bool = False
    ) -> Callable[[SuccessCallback], SuccessCallback]:
        """As ``@shop.on_success(every_time=True)``."""

    def on_success(
        self, function: SuccessCallback | None = None, /, *, every_time: bool = False
    ) -> SuccessCallback | Callable[[SuccessCallback], SuccessCallback]:
        """Register what the site adds to the success page of a paid order.

        The function gets the ``Receipt``. It may return None, a response of its own (anything
        that a Flask view may return, but a dict), or a dict of extra values for the template.
        It never runs before the order is paid, and once for each checkout: a page that is loaded
        again goes without. With ``@shop.on_success(every_time=True)`` it runs each time. It does
        not run at all when the buyer closes the browser: what must be done belongs into
        ``on_order``.

        :raises RuntimeError: when there is one already.
        """

        def register(function: SuccessCallback) -> SuccessCallback:
            if self._callbacks.success is not None:
                raise _registered_twice("on_success", self._callbacks.success)
            self._callbacks.success = function
            self._callbacks.success_every_time = every_time
            return function

        return register if function is None else register(function)


def _registered_twice(decorator: str, function: Callable[..., object]) -> RuntimeError:
    name = getattr(function, "__qualname__", repr(function))
    return RuntimeError(
        f"@shop.{decorator} has {name} already, and takes one function: call the other one from it."
    )


def _queue(app: Flask, settings: Settings, database: Database) -> WorkQueue:
    return WorkQueue(database, shop=settings.shop, context=app.app_context, stays=not app.testing)


def _at_first_request(app: Flask, **_: object) -> None:
    """What waits until all of the site is there, and its process is the one that serves.

    A server may load the site, and fork its workers then: threads that run by that time, and what
    they are in the middle of, would be lost.
    """
    exempt_from_csrf(app)
    state = get_state(app)
    listens = state.callbacks.order or state.callbacks.refund or OrderListeners().are_there("paid")
    if state.settings.webhook_secrets or listens:
        state.inbox.wake()
        state.work.wake()
    if listens and state.settings.reconcile_seconds and not app.testing:
        # In a thread, for the visitor does not wait for the database.
        thread = threading.Thread(
            target=_start_reconciling, args=[state], name="storefront-reconcile", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the machine gives no more threads: the next request tries again
            return
    request_started.disconnect(_at_first_request, app)


def _start_reconciling(state: State) -> None:
    while True:
        try:
            return state.reconciliation.start()
        except DatabaseUnavailable as error:
            logger.warning("The orders can't be compared with Polar's yet. %s", error)
            time.sleep(state.settings.reconcile_seconds)


def _is_serving() -> bool:
    """Whether this process serves pages: not for ``flask routes``, ``flask shell`` and the like."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def _start_embedded(settings: Settings) -> EmbeddedPolar:
    try:
        from storefront.embedded import EmbeddedPolar
    except ImportError:  # Windows has no fcntl
        raise ConfigurationError(
            "POLAR_SERVER",
            "the local Polar can run beside a site on Linux and macOS only. Here, run "
            "python -m storefront.emulator, and set POLAR_ACCESS_TOKEN to 'polar_oat_local'.",
        ) from None

    return EmbeddedPolar.start(
        settings.local_port,
        token=settings.access_token.reveal(),
        seed=settings.local_seed,
    )
