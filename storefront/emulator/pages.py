"""The pages a customer sees: the checkout, its confirmation and the portal.

They work as plain HTML, without a script: each button sends the whole form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from werkzeug.wrappers import Request, Response

from storefront.emulator.checkout_form import (
    confirmation,
    custom_fields,
    filled_in,
    in_order,
    missing,
    take,
)
from storefront.emulator.checkout_summary import summarize
from storefront.emulator.embedding import Message, is_embedded, is_framed
from storefront.emulator.errors import CheckoutNotOpenError, NotFoundError
from storefront.emulator.invoices import show_invoice
from storefront.emulator.pages_html import asset, ended, go_to, page, safe_link, with_error_pages
from storefront.emulator.pricing import (
    is_payment_form_required,
    maximum_seats,
    maximum_units,
    minimum_seats,
    minimum_units,
)
from storefront.emulator.records import Body, Checkout
from storefront.emulator.services import Route, Services, base_url
from storefront.emulator.shapes import address_modes, success_url
from storefront.emulator.wording import countries, money, tiers_in_words, unit_noun

#: How long Polar's page waits for a payment to settle. Source: its measured behaviour, 2026-11-22.
_PATIENCE_SECONDS = 15.0
_READ = ("GET", "HEAD")
_TOKEN = "customer_session_token"  # noqa: S105


def routes() -> list[Route]:
    """The hosted pages: `/`, `/checkout/<secret>` and its confirmation, the portal, assets."""
    return [
        Route("/", _READ, with_error_pages(show_index)),
        Route("/checkout/<secret>", ("GET", "HEAD", "POST"), with_error_pages(checkout)),
        Route("/checkout/<secret>/confirmation", _READ, with_error_pages(show_confirmation)),
        Route("/portal", ("GET", "HEAD", "POST"), with_error_pages(show_portal)),
        Route("/<organization>/portal", ("GET", "HEAD", "POST"), with_error_pages(show_portal)),
        Route("/assets/invoices/<id>.pdf", _READ, with_error_pages(show_invoice)),
        Route("/assets/<path:name>", _READ, asset),
    ]


def show_index(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """What this server is, and what one can do with it."""
    store = services.store
    with store.lock:
        links = [(link, store.link_products(link)) for link in store.live_links()]
        codes = [discount for discount in store.discounts.values() if discount["code"]]
        return page(
            services, request, "index.html", links=links, codes=codes, currency=store.currency
        )


def checkout(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """The checkout itself, and every button on it."""
    found = services.checkouts.get_by_secret(values["secret"])
    if found.status != "open":
        return _go_on(services, request, found)
    if request.method != "POST":
        return _show(services, request, found, filled_in(found))
    try:
        return _answer(services, request, found)
    except CheckoutNotOpenError:
        # Sent twice: the other one was faster.
        return _go_on(services, request, found)


def _answer(services: Services, request: Request, found: Checkout) -> Response:
    form, secret = request.form.to_dict(), found.client_secret
    if form.get("action") == "remove-discount":
        services.checkouts.update(secret, {"discount_code": ""})
        form["discount_code"] = ""
    errors = take(services, found, form)
    if form.get("action") != "pay":
        if errors:
            return _show(services, request, found, form, errors)
        return go_to(f"{_own_url(request)}#summary")
    errors = in_order(missing(found, form) | errors)
    if errors:
        return _show(services, request, found, form, errors)
    # Nobody pays more, or for something else, than the page has told them; an amount of their
    # own they have told the page.
    if summarize(found).fingerprint != form.get("shown") and found.price["amount_type"] != "custom":
        return _show(services, request, found, filled_in(found), notice=True)
    services.checkouts.confirm(secret, confirmation(found, form))
    if is_framed(request, found):
        return _wait(services, request, found, tells=Message("confirmed", can_close=False))
    settled = services.checkouts.wait_until_settled(secret, timeout=_PATIENCE_SECONDS)
    return _go_on(services, request, settled)


def _show(
    services: Services,
    request: Request,
    found: Checkout,
    values: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    *,
    notice: bool = False,
) -> Response:
    store = services.store
    with store.lock:
        address = {**(found.customer_billing_address or {}), "country": values.get("country")}
        needs_card = is_payment_form_required(found)
        summary = summarize(found)
        return page(
            services,
            request,
            "checkout.html",
            status=422 if errors else 200,
            of=found,
            tells=Message("loaded"),
            checkout=found,
            products=[store.products[product_id] for product_id in found.product_ids],
            summary=summary,
            tiers=tiers_in_words(found.price),
            quantity=_quantity(found),
            amount_hint=_amount_hint(found),
            custom_fields=custom_fields(found),
            values={**filled_in(found), **values},
            errors=errors or {},
            declined=None if errors else found.decline_reason,
            notice=notice,
            needs_card=needs_card,
            needs_country=needs_card or found.require_billing_address,
            modes=address_modes(replace(found, customer_billing_address=address)),
            countries=countries(values.get("country", "")),
            return_url=safe_link(found.return_url),
            action=_own_url(request),
        )


def _quantity(found: Checkout) -> Body | None:
    """The field that says how many, where the link has not said so already."""
    price = found.price
    if found.seats is not None and found.min_seats is None:
        least, most = minimum_seats(price), maximum_seats(price)
        return {"name": "seats", "label": "Seats", "least": least, "most": most}
    if found.units is not None and found.min_units is None:
        label = unit_noun(price, 2).capitalize()
        least, most = minimum_units(price), maximum_units(price)
        return {"name": "units", "label": label, "least": least, "most": most}
    return None


def _amount_hint(found: Checkout) -> str:
    """What a buyer may pay who names the amount."""
    price, currency = found.price, found.currency
    if price["amount_type"] != "custom":
        return ""
    least, most = price["minimum_amount"] or 0, price["maximum_amount"]
    words = f"At least {money(least, currency)}" if least else "Nothing is fine too"
    return words if most is None else f"{words}, at most {money(most, currency)}"


def _query(request: Request) -> str:
    return request.query_string.decode("latin-1")


def _own_url(request: Request) -> str:
    query = _query(request)
    return f"{request.path}?{query}" if query else request.path


def _go_on(services: Services, request: Request, found: Checkout) -> Response:
    """Where a checkout leads that is not open, or that has just come back declined."""
    if found.status == "succeeded":
        return _succeed(services, request, found)
    if found.status == "open":
        return go_to(_own_url(request))
    if found.status != "confirmed":
        return ended(services, request, found, status=410)
    if request.method == "POST":
        return go_to(_own_url(request))
    return _wait(services, request, found)


def _wait(
    services: Services, request: Request, found: Checkout, *, tells: Message | None = None
) -> Response:
    response = page(services, request, "waiting.html", of=found, tells=tells)
    # The address is named so that a page that came of a form is not a form sent again.
    response.headers["Refresh"] = f"1; url={_own_url(request)}"
    return response


def _succeed(services: Services, request: Request, found: Checkout) -> Response:
    """The purchase is made: on to where it leads, which in a frame is for the page around to do."""
    url = _with_token(success_url(found, base_url(request)), found)
    if not is_embedded(request, found) or (
        request.method == "POST" and not is_framed(request, found)
    ):
        return go_to(url)
    if found.success_url is None:
        return go_to(f"{url}?{_query(request)}")
    tells = Message("success", success_url=url, redirect=True)
    return page(services, request, "paid.html", of=found, tells=tells, success_url=safe_link(url))


def _with_token(url: str, found: Checkout) -> str:
    """The success URL with what lets a new customer see their order."""
    token = found.customer_session_token
    if token is None or found.success_url is None:
        return url
    address, hash_sign, fragment = url.partition("#")
    separator = "&" if urlsplit(address).query else "?"
    return f"{address.rstrip('?')}{separator}customer_session_token={token}{hash_sign}{fragment}"


def show_confirmation(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """Polar's own thanks, for checkouts that lead nowhere else."""
    found = services.checkouts.get_by_secret(values["secret"])
    if found.status != "succeeded":
        return go_to(_own_url(request).replace("/confirmation", "", 1))
    store = services.store
    with store.lock:
        order = next(o for o in store.orders.values() if o["checkout_id"] == found.id)
        return page(
            services,
            request,
            "confirmation.html",
            of=found,
            tells=Message("success", success_url=request.url),
            checkout=found,
            order=order,
            summary=summarize(found),
            return_url=safe_link(found.return_url),
        )


def show_portal(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """A customer's own orders, for whoever holds a session of theirs; others can sign in."""
    store = services.store
    if values.get("organization", store.organization["slug"]) != store.organization["slug"]:
        raise NotFoundError
    if _TOKEN not in request.args:
        return _sign_in(services, request)
    services.checkouts.settle_due()
    with store.lock:
        session = services.customers.session(request.args.get(_TOKEN, ""))
        if session is None:
            return page(services, request, "portal_closed.html", status=401)
        orders = services.orders.of_customer(session.customer_id)
        address = f"{base_url(request)}/v1/customer-portal/downloadables"
        return page(
            services,
            request,
            "portal.html",
            customer=services.customers.get(session.customer_id),
            orders=orders[::-1],
            granted={order["id"]: _granted(services, order, address) for order in orders},
            products=store.products,
            subscriptions=store.subscriptions,
            return_url=safe_link(session.return_url),
        )


def _sign_in(services: Services, request: Request) -> Response:
    """Ask for an email address, then for the code that was sent to it, as Polar's portal does.

    Nothing tells whether the address is a customer's.
    """
    values, errors = {"email": request.form.get("email", "").strip(), "code": ""}, {}
    if request.method == "POST" and request.form.get("action") == "enter":
        session = services.customers.enter_code(values["email"], request.form.get("code", ""))
        if session is not None:
            query = urlencode({_TOKEN: session.token})
            return go_to(f"{base_url(request)}{request.path}?{query}")
        errors["code"] = "This is not the code, or it is over."
    elif values["email"]:
        services.customers.send_code(values["email"])
    return page(
        services,
        request,
        "portal_sign_in.html",
        status=422 if errors else 200,
        asked=bool(values["email"]),
        values=values,
        errors=errors,
    )


def _granted(services: Services, order: Body, address: str) -> list[Body]:
    """What an order, or the subscription that it is of, has brought, for the eye."""
    store, benefits = services.store, services.benefits
    shown = []
    for grant in benefits.of_customer(order["customer_id"]):
        if grant["subscription_id"] != order["subscription_id"] or (
            grant["order_id"] not in {None, order["id"]}
        ):
            continue
        benefit = store.benefit(grant["benefit_id"])
        key = store.license_keys.get(grant["properties"].get("license_key_id", ""))
        files = [benefits.file(file_id) for file_id in grant["properties"].get("files", ())]
        problem = grant["error"]
        note = problem["message"] if problem else benefit["properties"].get("note")
        shown.append(
            {
                "description": benefit["description"],
                "key": key and key["key"],
                "note": note,
                "files": [
                    (file["name"], f"{address}/{benefits.download_token(file)[0]}")
                    for file in files
                ],
            }
        )
    return shown
