"""What one local Polar is made of, and how a page or an endpoint is hung into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from werkzeug.wrappers import Request, Response

from storefront.emulator.benefits import Benefits
from storefront.emulator.checkouts import Checkouts
from storefront.emulator.customers import Customers
from storefront.emulator.orders import Orders
from storefront.emulator.refunds import Refunds
from storefront.emulator.store import Store
from storefront.emulator.subscriptions import Subscriptions
from storefront.emulator.webhooks import Webhooks


@dataclass(frozen=True)
class Services:
    """Everything a view may call. All of it is safe to use from several threads."""

    store: Store
    checkouts: Checkouts
    orders: Orders
    customers: Customers
    webhooks: Webhooks
    benefits: Benefits
    subscriptions: Subscriptions
    refunds: Refunds


View: TypeAlias = Callable[[Services, Request, Mapping[str, str]], Response]


@dataclass(frozen=True)
class Route:
    """One path of the local Polar: a werkzeug rule, its methods and the view behind it.

    The view is called with the services, the request and the values captured by the rule. An
    `errors.PolarError` it lets through is answered as the API answers it, in JSON.
    """

    rule: str
    methods: tuple[str, ...]
    view: View


def base_url(request: Request) -> str:
    """The origin the client used, without a trailing slash, such as `http://127.0.0.1:8787`."""
    return request.host_url.rstrip("/")
