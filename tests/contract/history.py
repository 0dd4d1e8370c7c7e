"""What happened to the recorded store while nobody recorded.

Recordings refer to purchases, and to changes of the store, that are not recordings themselves.
They are made good here, each right before the first recording that knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from http.client import HTTPConnection
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from storefront.emulator import LocalPolar
from storefront.emulator.confirming import DECLINING_TOKEN
from storefront.emulator.records import Checkout
from tests.contract.unify import Unifier

FREE = "polar_cl_F8JcTS3Q1TmFWPyL1PGUpAXIRo7KfjrTqwphB3mwOOg"
FREE_WITH_SUCCESS_URL = "polar_cl_S26vI2MAp9zBP6p8EbXC31kB8Yte1YZ4sfw0P2DDjAB"
EBOOK = "polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aDa3IQbPI"
PAY_WHAT_YOU_WANT = "polar_cl_Tl4glYLTK4Zc4mORZBZyUJE5ZDnrhJUZ1DtL71oTuY1"
MONTHLY = "polar_cl_RDgF"
TRIAL = "polar_cl_4QDCsI0KYAfRJdDvQPj49Ua9EfT5CSpF4nPrJ2LbZJP"
SEATS = "polar_cl_Jmk0OhJiTU3DxRjvWm8aDvoWpBCycHhZ7PU1l0mCbOs"
FRANCE = {"country": "FR"}


class _Clock(Protocol):
    now: datetime


class History:
    """Hands that act on the local Polar as somebody acted on the recorded one."""

    def __init__(
        self, polar: LocalPolar, unifier: Unifier, clock: _Clock, reference: dict[str, Any]
    ) -> None:
        self._polar = polar
        self._unifier = unifier
        self._clock = clock
        self._reference = reference

    def open(
        self, link: str, query: dict[str, str] | None = None, *, stands_for: str | None = None
    ) -> Checkout:
        """Open a link. `stands_for` is the recorded `id client_secret` of the session."""
        whole = self._unifier.whole(link)
        parts = urlsplit(self._polar.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        target = f"/v1/checkout-links/{whole}/redirect?{urlencode(query or {})}"
        connection.request("GET", target)
        location = connection.getresponse().headers["Location"]
        connection.close()
        secret = urlsplit(location).path.rpartition("/")[2]
        return self._known(self._polar.services.checkouts.get_by_secret(secret), stands_for)

    def create(self, body: dict[str, Any]) -> Checkout:
        """Make a session with the organization's token."""
        local = json.loads(self._unifier.to_local(json.dumps(body)))
        return self._polar.services.checkouts.create(local)

    def _known(self, checkout: Checkout, stands_for: str | None) -> Checkout:
        if stands_for is not None:
            recorded_id, recorded_secret = stands_for.split()
            self._unifier.bind(recorded_id, checkout.id)
            self._unifier.bind(recorded_secret, checkout.client_secret)
        return checkout

    def confirm(self, checkout: Checkout, email: str, name: str, country: str = "FR") -> Checkout:
        """Pay, at once and for good only when `settle` says so."""
        checkout = self._polar.services.checkouts.confirm(
            checkout.client_secret,
            {
                "customer_email": email,
                "customer_name": name,
                "customer_billing_address": {"country": country},
                "confirmation_token_id": "ctoken_fake",
            },
        )
        checkout.settles_at = None
        return checkout

    def settle(self, checkout: Checkout, *, order_stands_for: str | None = None) -> None:
        """Let a payment go through."""
        self._clock.now += timedelta(milliseconds=1)
        checkout.settles_at = self._clock.now
        self._polar.services.checkouts.settle_due()
        if order_stands_for is not None:
            order = max(self._polar.store.orders.values(), key=lambda item: item["created_at"])
            self._unifier.bind(order_stands_for, order["id"])

    def settle_all(self) -> None:
        """Let every payment go through that has not, in the order in which they were made."""
        store = self._polar.store
        for checkout in [item for item in store.checkouts.values() if item.id in store.pending]:
            self.settle(checkout)

    def know_order(self, recorded_id: str, *, of_checkout: str) -> None:
        """Let a recorded order stand for the one of a recorded checkout."""
        checkout_id = self._unifier.to_local(of_checkout)
        orders = self._polar.store.orders.values()
        (order,) = [order["id"] for order in orders if order["checkout_id"] == checkout_id]
        self._unifier.bind(recorded_id, order)

    def force(self, checkout: Checkout, **values: Any) -> None:
        """Change what the service's database was changed to by hand."""
        for name, value in values.items():
            setattr(checkout, name, value)

    def change_organization(self, **values: Any) -> None:
        """Change the organization."""
        self._unifier.know(list(values.values()))
        self._polar.store.organization.update(values)

    def limit_rate(self, is_used_up: bool) -> None:
        """Use up everybody's requests, or let them have any number."""
        self._polar.rate_limit.per_minute = 0 if is_used_up else None
        self._polar.rate_limit.reset()

    def move_endpoint(self, url: str) -> None:
        """Point the webhook endpoint somewhere that the API would not take."""
        for endpoint in self._polar.store.webhook_endpoints.values():
            endpoint["url"] = url

    def put_files(self) -> None:
        """Upload the pictures of the reference store."""
        for product in self._reference["products"]:
            for media in product["medias"]:
                self._unifier.know(media)
                self._polar.store.files[media["id"]] = media

    def put_product(self, product_id: str) -> None:
        """Add a product of the reference store whose making was not recorded."""
        product = next(item for item in self._reference["products"] if item["id"] == product_id)
        self._unifier.know(product)
        self._polar.store.put_product(product)

    def put_copy_of_link(self, secret: str, **values: Any) -> None:
        """Add a checkout link that is like another but for these values."""
        link = self._polar.store.link_by_secret(self._unifier.whole(secret))
        self._unifier.know(list(values.values()))
        self._polar.store.links[values["id"]] = {**link, **values}

    def adapt(self, name: str, body: Any) -> Any:
        """What a recording sent, as the local Polar has to be sent it.

        The recorded decline was brought about at the payment processor; the local Polar is told
        by the confirmation token.
        """
        if name == "flow_declined_1_confirm":
            return {**body, "confirmation_token_id": DECLINING_TOKEN}
        return body

    def session_token(self, checkout: Checkout, stands_for: str) -> None:
        """Let a recorded session token stand for the one a checkout's customer was given."""
        token = checkout.customer_session_token
        assert token is not None
        self._unifier.bind(stands_for, token)


Happening = Callable[[History], None]


def _begin(history: History) -> None:
    history.change_organization(modified_at="2026-11-22T03:44:04.281482Z", embed_hosts=[])
    history.put_files()


def _first_purchases(history: History) -> None:
    """The shop's first buyers, while the service's worker stood still."""
    history.change_organization(
        modified_at="2026-11-22T03:56:07.532780Z", embed_hosts=["store.example.com"]
    )
    query = {"utm_source": "newsletter", "reference_id": "r-77"}
    for opened in (
        history.open(
            FREE_WITH_SUCCESS_URL,
            query,
            stands_for="85f08fec-42ff-481a-ad37-e4398f31d117 "
            "polar_c_tnz8DgATiPzVcc27ri6yGrhP5ezjjHWGRoLAO2bvGz0",
        ),
        history.open(
            FREE,
            stands_for="28fa358d-b827-4853-ac0e-e3cdbbdc3418 "
            "polar_c_e5UzmR5BfuSq7vWe7280XEJepffEBITU6WH950uxQof",
        ),
    ):
        history.confirm(opened, "jane@example.com", "Jane Doe")


def _worker_back(history: History) -> None:
    """More buyers, and then the worker that takes care of them all."""
    history.confirm(history.open(FREE), "jane@example.com", "Other Name")
    whole = history.open(EBOOK, {"discount_code": "FREE100"})
    history.confirm(whole, "bob@example.com", "Bob", "DE")
    history.confirm(
        history.open(PAY_WHAT_YOU_WANT, {"amount": "0"}), "zed@example.com", "Zed", "GB"
    )
    plan = history.create(
        {
            "products": ["8e2e5757-9771-4655-8c3e-cdeb6677019b"],
            "external_customer_id": "user-42",
            "success_url": "https://store.example.com/ok?checkout_id={CHECKOUT_ID}",
            "metadata": {"from": "api"},
        }
    )
    history.confirm(plan, "sub@example.com", "Sub")
    history.settle_all()
    history.know_order(
        "1cb0478e-6d48-4356-b22f-6af153641e95",
        of_checkout="85f08fec-42ff-481a-ad37-e4398f31d117",
    )


def _hosts_emptied(history: History) -> None:
    """The list of hosts that may embed was emptied, to be filled in anew."""
    history.change_organization(embed_hosts=[])


def _other_states(history: History) -> None:
    """Sessions that were put into their state by hand."""
    states: dict[str, dict[str, Any]] = {
        "d7db4c20-19dc-4b5d-ab35-3f39880daf23 "
        "polar_c_A5iV7wALCIMkYBb5AUNXJCeyPXmjEbOUrB4GB13D8Hq": {"status": "expired"},
        "c73ba1bb-8df2-4598-ab94-297352764dad "
        "polar_c_BSQseERz3hO7Gv3RUQDjqpri7FeRoxKxb8Cop3zTN9J": {"status": "failed"},
        "16779e37-ca9e-4611-8298-f024c386cb1b "
        "polar_c_CgpxSsheCPc3MLeNGpOVGUgKViHRqG3JIpUfz3i2yGg": {"status": "confirmed"},
        "e221b461-0e7b-4133-8acf-7f4571f53ed7 "
        "polar_c_sj7NaBtjNgHyjN9UfFLEdBJQ0qsid5WF6osE50l8DG0": {"customer_email": "o@example.com"},
    }
    for stands_for, values in states.items():
        history.force(history.open(FREE_WITH_SUCCESS_URL, stands_for=stands_for), **values)
    late = history.open(
        FREE_WITH_SUCCESS_URL,
        stands_for="af8fee3f-6f52-4611-b5e6-7e66962eec4b "
        "polar_c_UlXI6TYxKyEsklKsl2iL7WVwqSwUuW4vAtRvS00l1DN",
    )
    history.force(late, expires_at=late.created_at - timedelta(hours=1))


def _first_try(history: History) -> None:
    """A product that was archived soon, and a link with it: made once before they were recorded."""
    history.put_product("3bc685bf-32d8-40ab-8178-88625e709c5e")
    history.put_copy_of_link(
        EBOOK,
        id="79185864-5ae4-4711-aa5c-5dc5b1122750",
        client_secret="polar_cl_o47nnMOQEb5n5rn5H6coavrz5wzQ7OJNk3eYl3bMrMe",
        created_at="2026-11-22T04:05:45.679617Z",
        label=None,
    )


def _paid_sessions(history: History) -> None:
    history.open(
        EBOOK,
        {"discount_code": "LAUNCH20", "utm_source": "mail"},
        stands_for="1eff856e-06ba-46aa-a870-54fc2cd88b8b "
        "polar_c_6OZjUw0aigkzBy29d8bDj3k04MMJJxAEP7AYQ11Fppd",
    )
    others = {
        MONTHLY: "1da1bf71-8ca5-411b-8de1-71bc720fd578 "
        "polar_c_CubrQd31CQbzpA1czsNyqAyHgxBlOxwLRgygJ2GObgw",
        TRIAL: "d564ef2f-6db6-481d-b1bc-0b688417305d "
        "polar_c_3MF1EKkD6eH4QSeCTjHR6Onqsh2oaohF6m6Fw2G62hw",
        SEATS: "5769d171-8039-434a-b695-c04bc4b0f235 "
        "polar_c_PJgJgmacjYdTUtFPn3i73Bps04l7fMy2RTJZy3mEVQE",
        EBOOK: "2d6e6117-dd3b-4f56-8ce5-4aa3bed58b02 "
        "polar_c_AqUKQutuUL3GfkMvwQ1w1RqDstkajyNtrwNpo3AuT6M",
    }
    for link, stands_for in others.items():
        history.open(link, stands_for=stands_for)


_PORTAL_EMAIL = "portal1795324051@example.com"


def _portal_purchase(history: History) -> None:
    bought = history.open(
        FREE,
        {"utm_source": "portal", "reference_id": "ref-new"},
        stands_for="8415c74b-d5dc-4825-8039-4a4a1b3be4e1 "
        "polar_c_e5gonJZfG626AyJSuSE25BKizcdQkt2o6hxlU3Zev4Q",
    )
    history.confirm(bought, _PORTAL_EMAIL, "Portal new")
    history.session_token(bought, "polar_cst_fixture8ae07d1f773e")
    history.settle(bought, order_stands_for="e66fba76-9477-46d2-b43b-150d588742d0")


def _portal_second_purchase(history: History) -> None:
    again = history.open(
        FREE,
        {"utm_source": "portal", "reference_id": "ref-again"},
        stands_for="37cc1d1b-3944-47c2-981a-b3af75a503dc "
        "polar_c_yzI7QVXwCKziwaXLfZH00ttlq5yb7lBxXN9b30sxOFb",
    )
    history.confirm(again, _PORTAL_EMAIL, "Portal again")
    history.settle(again)


def _endpoint_at_home(history: History) -> None:
    history.move_endpoint("http://127.0.0.1:9099/hook")


#: What to make good, by the recording before which it happened.
BEFORE: dict[str, tuple[Happening, ...]] = {
    "webhook-endpoints_create_https_ok": (_begin,),
    "checkouts_get_confirmed_not_yet_processed": (_first_purchases,),
    "organizations_get": (_worker_back,),
    "organizations_update_embed_hosts": (_hosts_emptied,),
    "checkouts_client_confirm_expired_status": (_other_states,),
    "products_create_tmp": (_first_try,),
    "flow_paid_one_time_1_confirm": (_paid_sessions,),
    "webhook-endpoints_get": (_endpoint_at_home,),
    "portal_customers_me_session_token": (_portal_purchase,),
    "portal_orders_filter_customer": (_portal_second_purchase,),
}
