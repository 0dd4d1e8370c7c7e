"""What one app owns of Storefront: ``app.extensions["storefront"]``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from storefront.catalog import CatalogStore
from storefront.database import Database
from storefront.orders import (
    FulfilmentCallback,
    OrderDesk,
    Receipt,
    Reconciliation,
    RefundCallback,
)
from storefront.orders.proof import ProofDesk
from storefront.polar import Client
from storefront.settings import Settings
from storefront.texts import Texts
from storefront.work import WorkQueue

if TYPE_CHECKING:
    from storefront.embedded import EmbeddedPolar

EXTENSION_NAME = "storefront"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is signed in, as far as a checkout can be prefilled with it."""

    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    #: Your own reference for the purchase; it comes back in the receipt's metadata.
    reference_id: str | None = None
    #: A discount code that this visitor gets.
    discount_code: str | None = None
    #: The language of the checkout page, such as ``fr``.
    locale: str | None = None
    #: Your own id of a customer who is signed in, as Polar has it (``external_id``): it shows them
    #: their purchases.
    external_id: str | None = None


VisitorCallback = Callable[[], Visitor | None]
SuccessCallback = Callable[[Receipt], Any]


class Callbacks:
    """What the site registered on its ``Storefront``; shared by the apps that it serves."""

    def __init__(self) -> None:
        self.visitor: VisitorCallback | None = None
        self.success: SuccessCallback | None = None
        #: Whether that runs each time the page is loaded, not only the first.
        self.success_every_time = False
        self.order: FulfilmentCallback | None = None
        self.refund: RefundCallback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One app's settings, client, catalogue and words."""

    settings: Settings
    client: Client
    catalog: CatalogStore
    texts: Texts
    callbacks: Callbacks
    database: Database
    #: What is to be done, in the database that the orders are in: a job and what its function
    #: writes are committed together.
    work: WorkQueue
    #: What webhooks cause. The same queue, but for SQLite: see ``Database.for_short_writes``.
    inbox: WorkQueue
    #: What was sold, and what the site does about it.
    orders: OrderDesk
    reconciliation: Reconciliation
    #: When something was last said in the log that must not be said each time.
    said: dict[str, float] = field(default_factory=dict)
    #: The local Polar that runs beside the site; None unless ``POLAR_SERVER=local`` without a
    #: token.
    embedded: EmbeddedPolar | None = None
    #: When the app became a shop, in seconds since the epoch.
    started_at: float = field(default_factory=time.time)
    #: What the pages keep ready: see ``web/prepared.py``.
    prepared: dict[str, Any] = field(default_factory=dict, repr=False)
    #: What this process remembers of who bought.
    proofs: ProofDesk = field(default_factory=ProofDesk, repr=False)


def get_state(app: Flask | None = None) -> State:
    """The state of the given or the current app.

    :raises RuntimeError: when the app has none.
    """
    state = (app or current_app).extensions.get(EXTENSION_NAME)
    if not isinstance(state, State):
        raise RuntimeError(
            "This Flask app has no Storefront. Did you forget Storefront(app), or "
            "shop.init_app(app) in the application factory?"
        )
    return state
