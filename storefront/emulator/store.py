"""The store in memory: the organization, what it sells, and what was bought."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

from storefront.emulator.errors import NotFoundError
from storefront.emulator.records import Body, Checkout, Session

#: An object as the API writes it where it is reached at that origin.
Show: TypeAlias = Callable[[str], Body]

_ALPHANUMERIC = (string.ascii_letters + string.digits).encode()
_TO_ALPHANUMERIC = bytes(_ALPHANUMERIC[index % 62] for index in range(256))
_UNEVEN = bytes(range(248, 256))

#: What is read of a seed's objects; a seed without it would fail only when somebody buys.
_PRODUCT_KEYS = (
    "id",
    "created_at",
    "name",
    "description",
    "visibility",
    "is_archived",
    "is_recurring",
    "recurring_interval",
    "recurring_interval_count",
    "trial_interval",
    "trial_interval_count",
    "organization_id",
    "metadata",
    "benefits",
    "medias",
    "attached_custom_fields",
)
_LINK_KEYS = (
    "id",
    "client_secret",
    "created_at",
    "label",
    "success_url",
    "return_url",
    "allow_discount_codes",
    "require_billing_address",
    "discount_id",
    "seats",
    "trial_interval",
    "trial_interval_count",
    "organization_id",
    "metadata",
)
_DISCOUNT_KEYS = (
    "id",
    "created_at",
    "name",
    "type",
    "code",
    "starts_at",
    "ends_at",
    "max_redemptions",
    "redemptions_count",
    "organization_id",
)
_BENEFIT_KEYS = ("id", "created_at", "type", "description", "organization_id")
_FIELD_KEYS = ("id", "created_at", "type", "slug", "name", "properties", "organization_id")
_PRICE_KEYS = ("id", "amount_type", "price_currency")
_FILE_KEYS = ("id", "name", "mime_type", "size", "organization_id")
_FILE_DEFAULTS: Final = {
    "storage_version": None,
    "checksum_etag": None,
    "checksum_sha256_base64": None,
    "checksum_sha256_hex": None,
    "last_modified_at": None,
    "version": None,
    "service": "downloadable",
    "is_uploaded": True,
}
#: What orders are looked up by.
_ORDERS_BY: Final = ("checkout_id", "customer_id", "subscription_id")


def _require(body: Body, keys: Iterable[str]) -> None:
    for key in keys:
        if key not in body:
            raise KeyError(key)


def system_clock() -> datetime:
    """The time, aware UTC."""
    return datetime.now(UTC)


class SeedError(ValueError):
    """A seed that is not a store. The message says what is missing, and where."""


class Store:
    """All that one local Polar knows.

    Objects are kept as the API shows them. Whoever reads or changes more than one thing holds
    `lock`, which may be taken again by the thread that has it.
    """

    def __init__(
        self, seed: Mapping[str, Any], *, clock: Callable[[], datetime] = system_clock
    ) -> None:
        """Load a seed: `{organization, products, checkout_links, discounts, custom_fields,
        benefits, files}` in the API's own shapes; all but the organization may be left out.

        :raises SeedError: it is not such a document.
        """
        self.lock = threading.RLock()
        self._clock = clock
        self._last_moment = datetime.min.replace(tzinfo=UTC)
        self.organization: Body = {}
        self.products: dict[str, Body] = {}
        #: Checkout links without their products, which stand in `product_ids`.
        self.links: dict[str, Body] = {}
        self.discounts: dict[str, Body] = {}
        self.custom_fields: dict[str, Body] = {}
        self.benefits: dict[str, Body] = {}
        self.meters: dict[str, Body] = {}
        #: Pictures that products show, and files to download.
        self.files: dict[str, Body] = {}
        self.webhook_endpoints: dict[str, Body] = {}
        #: Called with the name of each event; the store is locked meanwhile.
        self.listeners: list[Callable[[str, Show], None]] = []
        self.checkouts: dict[str, Checkout] = {}
        self.checkout_ids: dict[str, str] = {}
        #: Checkouts that were confirmed and have yet to settle.
        self.pending: set[str] = set()
        #: Added to by `add_customer`, and what follows by methods of its own.
        self.customers: dict[str, Body] = {}
        self.sessions: dict[str, Session] = {}
        self.orders: dict[str, Body] = {}
        self.subscriptions: dict[str, Body] = {}
        self.grants: dict[str, Body] = {}
        self.license_keys: dict[str, Body] = {}
        self.refunds: dict[str, Body] = {}
        #: By customer, oldest first.
        self.grants_of: dict[str, list[Body]] = {}
        self.license_keys_of: dict[str, list[Body]] = {}
        self.subscriptions_of: dict[str, list[Body]] = {}
        #: Orders by a field and what stands in it, oldest first.
        self._orders_by: dict[tuple[str, str], list[Body]] = {}
        self._customers_by: dict[tuple[str, str], Body] = {}
        #: The ids of links by their secrets, as far as they were asked for.
        self._link_ids: dict[str, str] = {}
        #: When the invoice of an order will be there, for those that were asked for.
        self.invoices: dict[str, datetime] = {}
        #: Links whose success URL follows the demo shop's address; None: this is no demo store.
        self.site_links: frozenset[str] | None = None
        self._load(seed)

    def _load(self, seed: Mapping[str, Any]) -> None:
        if not isinstance(seed, Mapping):
            raise SeedError("the seed must be a JSON object")
        organization = seed.get("organization")
        if not isinstance(organization, Mapping):
            raise SeedError("the seed must have an object under `organization`")
        for key in ("id", "name", "slug"):
            if not isinstance(organization.get(key), str):
                raise SeedError(f"organization.{key} must be a string")
        self.organization = deepcopy(dict(organization))
        puts: dict[str, Callable[[Body], None]] = {
            "files": self.put_file,
            "benefits": self.put_benefit,
            "custom_fields": self.put_custom_field,
            "discounts": self.put_discount,
            "products": self.put_product,
            "checkout_links": self.put_link,
        }
        for name, put in puts.items():
            items = seed.get(name, [])
            if not isinstance(items, list):
                raise SeedError(f"`{name}` must be a list")
            for index, item in enumerate(items):
                where = f"{name}[{index}]"
                if not isinstance(item, dict):
                    raise SeedError(f"{where} is no object")
                try:
                    put(item)
                except KeyError as error:
                    raise SeedError(f"{where} lacks {error}") from error
                except (TypeError, ValueError, ArithmeticError) as error:
                    raise SeedError(f"{where} {error}") from error

    def put_organization(self, body: Body) -> None:
        """Replace the organization."""
        self.organization = deepcopy(body)

    def put_file(self, body: Body) -> None:
        """Add a file to download, or replace the one with its id."""
        _require(body, _FILE_KEYS)
        size = int(body["size"])
        self.files[body["id"]] = {
            "path": f"downloadable/{body['name']}",
            "size_readable": f"{size} B" if size < 1000 else f"{size / 1000:.1f} KB",
            **_FILE_DEFAULTS,
            **deepcopy(body),
        }

    def put_benefit(self, body: Body) -> None:
        """Add a benefit, or replace the one with its id."""
        _require(body, _BENEFIT_KEYS)
        self.benefits[body["id"]] = deepcopy(body)

    def put_custom_field(self, body: Body) -> None:
        """Add a custom field, or replace the one with its id."""
        _require(body, _FIELD_KEYS)
        self.custom_fields[body["id"]] = deepcopy(body)

    def put_discount(self, body: Body) -> None:
        """Add a discount, or replace the one with its id."""
        _require(body, _DISCOUNT_KEYS)
        self.discounts[body["id"]] = deepcopy(body)

    def put_product(self, body: Body) -> None:
        """Add a product, or replace the one with its id.

        :raises SeedError: it has no price.
        """
        if not body["prices"]:
            raise SeedError("has no price")
        _require(body, _PRODUCT_KEYS)
        product = deepcopy(body)
        product.pop("is_deletable", None)
        for price in product["prices"]:
            _require(price, _PRICE_KEYS)
            if price.get("unit_amount") is not None:
                # The service keeps twelve decimals, whatever was sent.
                price["unit_amount"] = f"{Decimal(price['unit_amount']):.12f}"
        self.products[product["id"]] = product
        self.files.update((media["id"], media) for media in product["medias"] if "id" in media)

    def put_link(self, body: Body) -> None:
        """Add a checkout link in the API's shape, or replace the one with its id.

        :raises SeedError: it offers a product that is not in the store.
        """
        _require(body, _LINK_KEYS)
        looked_up = {"products", "product", "product_id", "product_price", "product_price_id"}
        link = {key: value for key, value in body.items() if key not in {*looked_up, "url"}}
        link["discount"] = None
        link["product_ids"] = [product["id"] for product in body["products"]]
        for product_id in link["product_ids"]:
            if product_id not in self.products:
                raise SeedError(f"offers the product {product_id}, which is not in the store")
        self.links[link["id"]] = deepcopy(link)

    def remove_link(self, link_id: str) -> None:
        """Forget a checkout link."""
        del self.links[link_id]

    def take_off_links(self, product_id: str) -> None:
        """Take a product off every link; a link that is left with none is gone."""
        for link in list(self.links.values()):
            if product_id in link["product_ids"]:
                link["product_ids"].remove(product_id)
                if not self.link_products(link):
                    self.remove_link(link["id"])

    def announce(self, event: str, show: Show) -> None:
        """Tell whoever listens that something happened. `show` gives the object it happened to,
        as the API writes it, for the origin it is asked for."""
        for listener in self.listeners:
            listener(event, show)

    @property
    def currency(self) -> str:
        """The currency prices are shown in unless something else is asked for."""
        return str(self.organization.get("default_presentment_currency", "usd"))

    def now(self) -> datetime:
        """The time, later than any given out before, so that what is newer also sorts as newer."""
        with self.lock:
            moment = max(self._clock(), self._last_moment + timedelta(microseconds=1))
            self._last_moment = moment
            return moment

    def link_products(self, link: Body) -> list[Body]:
        """What a link offers now. Archiving a product takes it off every link."""
        offered = (self.products[product_id] for product_id in link["product_ids"])
        return [product for product in offered if not product["is_archived"]]

    def live_links(self) -> list[Body]:
        """The links that still offer something; one that does not is gone."""
        products, live = self.products, []
        for link in self.links.values():
            ids = link["product_ids"]
            # The first product nearly always tells: whole catalogues are listed through this.
            if ids and (not products[ids[0]]["is_archived"] or self.link_products(link)):
                live.append(link)
        return live

    def link_by_secret(self, secret: str) -> Body:
        """:raises NotFoundError: no such link, or nothing left on it."""
        link = self.links.get(self._link_ids.get(secret, ""))
        if link is None or link["client_secret"] != secret:
            # Links come and go in several ways, so this index is filled when it lacks one.
            self._link_ids = {item["client_secret"]: item["id"] for item in self.links.values()}
            link = self.links.get(self._link_ids.get(secret, ""))
        if link is None or not self.link_products(link):
            raise NotFoundError
        return link

    def benefit(self, benefit_id: str) -> Body:
        """A benefit, also one that a seed has in its products only."""
        known = self.benefits.get(benefit_id)
        if known is None:
            attached = (b for product in self.products.values() for b in product["benefits"])
            known = next(b for b in attached if b["id"] == benefit_id)
            known = {"properties": {}, **known}
        return known

    def add_customer(self, customer: Body) -> None:
        """Keep a new customer."""
        self.customers[customer["id"]] = customer
        self._customers_by["email", customer["email"].casefold()] = customer
        if customer["external_id"] is not None:
            self._customers_by["external_id", customer["external_id"]] = customer

    def customer_by(self, name: Literal["email", "external_id"], value: str) -> Body | None:
        """The customer with that email address, whatever its case, or external id."""
        return self._customers_by.get((name, value.casefold() if name == "email" else value))

    def add_order(self, order: Body) -> None:
        """Keep a new order."""
        self.orders[order["id"]] = order
        for name in _ORDERS_BY:
            if order[name] is not None:
                self._orders_by.setdefault((name, order[name]), []).append(order)

    def orders_by(self, name: str, values: Iterable[str]) -> list[Body]:
        """The orders with one of these ids as `checkout_id`, `customer_id` or
        `subscription_id`."""
        return [order for value in values for order in self._orders_by.get((name, value), ())]

    def add_subscription(self, subscription: Body) -> None:
        """Keep a new subscription."""
        self.subscriptions[subscription["id"]] = subscription
        self.subscriptions_of.setdefault(subscription["customer_id"], []).append(subscription)

    def add_grant(self, grant: Body) -> None:
        """Keep a new grant of a benefit."""
        self.grants[grant["id"]] = grant
        self.grants_of.setdefault(grant["customer_id"], []).append(grant)

    def add_license_key(self, key: Body) -> None:
        """Keep a new license key."""
        self.license_keys[key["id"]] = key
        self.license_keys_of.setdefault(key["customer_id"], []).append(key)

    def has_invoice(self, order_id: str) -> bool:
        """Whether an order's invoice was asked for and is drawn up."""
        ready = self.invoices.get(order_id)
        return ready is not None and ready <= self.now()

    def follow_site(self, site: str) -> None:
        """Make this the demo store of a shop: links into `site` will follow its address."""
        self.site_links = frozenset(
            link["id"]
            for link in self.links.values()
            if (link["success_url"] or "").startswith(site)
        )

    def move_site(self, *, success_url: str, return_url: str | None) -> None:
        """Give the links that follow the demo shop their new URLs.

        :raises NotFoundError: this is no demo store.
        """
        with self.lock:
            if self.site_links is None:
                raise NotFoundError
            for link_id in self.site_links:
                self.links[link_id].update(success_url=success_url, return_url=return_url)


def new_id() -> str:
    """A UUID, version 4."""
    return str(uuid4())


def new_secret(prefix: str) -> str:
    """A secret as Polar mints them: the prefix and 43 letters and digits."""
    # Bytes beyond the last multiple of 62 are left out: each character is as likely as any.
    letters = b""
    while len(letters) < 43:
        letters += secrets.token_bytes(64).translate(_TO_ALPHANUMERIC, _UNEVEN)
    return prefix + letters[:43].decode()


def new_processor_id(prefix: str) -> str:
    """An id of the payment processor's: the prefix and 20 hexadecimal digits."""
    return prefix + secrets.token_hex(10)


def new_short_id() -> str:
    """The ten capitals that tell a customer's invoices apart."""
    return "".join(secrets.choice(string.ascii_uppercase) for _ in range(10))
