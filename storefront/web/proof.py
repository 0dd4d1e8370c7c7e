"""Which purchases a visitor may see: the cookies, and what Polar is asked because of them."""

from __future__ import annotations

import logging
import re
import time
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

from flask import current_app, request
from werkzeug.wrappers import Response as BaseResponse

from storefront.buttons import current_visitor
from storefront.errors import DatabaseUnavailable, PolarUnauthorized, PolarUnavailable
from storefront.orders import read_checkout
from storefront.orders.proof import (
    LASTS_SECONDS,
    PREFIX,
    Proof,
    Purchases,
    Seals,
    Standing,
    commitment,
    has_email,
    is_committed,
    is_customer_of,
    new_nonce,
)
from storefront.polar import Checkout
from storefront.secret import Secret
from storefront.state import State

logger = logging.getLogger("storefront")

BUYER_COOKIE: Final = "storefront_buyer"
PURCHASES_COOKIE: Final = "storefront_purchases"
#: Parsing all of a visitor's cookies costs more than the rest of a click on "buy".
_BUYER: Final = re.compile(rf"(?:^|;)\s*{BUYER_COOKIE}=([^;\s]+)")
#: Shortest time that Polar is given, in seconds, and that the database is.
_LEAST: Final = 0.05
_LEAST_TO_NOTE: Final = 0.2


class Proven(NamedTuple):
    """A purchase that the visitor may see."""

    checkout: Checkout
    standing: Standing
    #: Whether the proof is to be kept in a cookie.
    is_new: bool


class Deadline:
    """When a page has to be there."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; never less than what a call needs to fail in order."""
        return max(self._ends - time.monotonic(), _LEAST)

    def left_to_note(self) -> float:
        """The same for writing something down, for which Polar may have left no time."""
        return max(self._ends - time.monotonic(), _LEAST_TO_NOTE)

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._ends


def seals_of(state: State) -> Seals | None:
    """The signatures of the app's cookies; None, and an error in the log, without a key."""
    config = current_app.config
    seals = state.proofs.seals(config["SECRET_KEY"], config.get("SECRET_KEY_FALLBACKS"))
    if seals is None and "SECRET_KEY" not in state.said:
        state.said["SECRET_KEY"] = time.monotonic()
        logger.error(
            "SECRET_KEY is not set: buyers can't prove that they bought, and the success page "
            "shows no order to them. Set it to a long random value that all processes share."
        )
    return seals


def plant_buyer(state: State, tail: str) -> tuple[str | None, tuple[str, ...]]:
    """What a checkout is to be told of this browser, and the cookie to plant, if any.

    ``tail`` is what stands behind the shop's own prefix in the address.
    """
    seals = seals_of(state)
    if seals is None:
        return None, ()
    sent = _BUYER.search(request.environ.get("HTTP_COOKIE", ""))
    buyer = seals.open_buyer(sent[1]) if sent else None
    nonce = buyer.nonce if buyer else new_nonce()
    if buyer and not buyer.is_old:
        return commitment(nonce), ()
    return commitment(nonce), (_cookie(BUYER_COOKIE, seals.seal_buyer(nonce), tail),)


def is_ours(reference_id: str) -> bool:
    """Whether it looks like what only we tell a checkout: nobody may say it in our place."""
    return reference_id.startswith(PREFIX)


def remember(state: State, response: BaseResponse, proven: Proven, tail: str) -> None:
    """Keep a new proof in the visitor's cookie."""
    seals = seals_of(state)
    if not proven.is_new or seals is None:
        return
    purchases = seals.open_purchases(request.cookies.get(PURCHASES_COOKIE))
    proof = Proof(proven.standing, int(time.time()))
    before = purchases.pop(proven.checkout.id, proof)
    purchases[proven.checkout.id] = proof if proof.standing is Standing.CUSTOMER else before
    sealed = seals.seal_purchases(purchases)
    response.headers.add("Set-Cookie", _cookie(PURCHASES_COOKIE, sealed, tail))


def known_purchases(state: State) -> Purchases:
    """What this browser has proved before, the latest last."""
    sent = request.cookies.get(PURCHASES_COOKIE)
    seals = seals_of(state) if sent else None
    return seals.open_purchases(sent) if seals else {}


def by_browser(state: State, checkout_id: str, deadline: Deadline) -> Proven | None:
    """The purchase, where a cookie or who is signed in proves it.

    Without anything that might prove it nobody is asked.

    :raises PolarError: when Polar does not say.
    """
    known = known_purchases(state).get(checkout_id)
    if known is not None:
        checkout = _look_up(state, checkout_id, deadline)
        return Proven(checkout, known.standing, is_new=False) if checkout else None
    sent = request.cookies.get(BUYER_COOKIE)
    seals = seals_of(state) if sent else None
    buyer = seals.open_buyer(sent) if seals else None
    external_id = current_visitor().external_id
    if buyer is None and not external_id:
        return None
    if not (is_known := checkout_id in state.proofs.checkouts) and not _may_look_up(state):
        return None
    found = None
    try:
        checkout = _look_up(state, checkout_id, deadline)
    except PolarUnavailable as error:
        if not (is_known or error.sent):
            _was_worth_it(state)
        raise
    if checkout and is_customer_of(checkout, external_id):
        # It lasts as long as they are signed in.
        found = Proven(checkout, Standing.CUSTOMER, is_new=False)
    elif checkout and buyer and is_committed(checkout, buyer.nonce):
        found = Proven(checkout, Standing.BUYER, is_new=True)
    if found and not is_known:
        _was_worth_it(state)
    return found


def by_session(
    state: State, checkout_id: str, session: Secret, deadline: Deadline
) -> Proven | None:
    """The purchase, where the session that Polar appended to the address is its customer's.

    :raises PolarError: when Polar does not say.
    """
    if seals_of(state) is None or not _may_look_up(state):
        return None
    portal = state.client.customer_portal
    try:
        customer_id = portal.customer_id(session, timeout=deadline.left())
    except PolarUnauthorized:
        return None
    checkout = _look_up(state, checkout_id, deadline)
    if checkout is None or checkout.customer_id != customer_id:
        return None
    _was_worth_it(state)
    state.proofs.sessions.put(customer_id, session)
    return Proven(checkout, Standing.CUSTOMER, is_new=True)


def may_try_email(state: State, checkout_id: str | None) -> bool:
    """Count an attempt with an email address; False when there were too many.

    They are counted for ids of nothing as well: who tries learns nothing from it.
    """
    proofs, client = state.proofs, _client()
    if not (proofs.clients.take(client) and proofs.lookups.take()):
        return False
    # Last, and so for no more checkouts an hour than it remembers: nobody can have one forgotten.
    if proofs.emails.take(checkout_id):
        return True
    proofs.lookups.give_back()
    return False


def by_email(state: State, checkout_id: str, typed: Secret, deadline: Deadline) -> Proven | None:
    """The purchase, where somebody typed its email address.

    :raises PolarError: when Polar does not say.
    """
    try:
        checkout = _look_up(state, checkout_id, deadline)
    except PolarUnavailable as error:
        if not error.sent:
            _forget_attempt(state, checkout_id)
        raise
    if checkout is None or not has_email(checkout, typed):
        return None
    _forget_attempt(state, checkout_id)
    return Proven(checkout, Standing.BUYER, is_new=True)


def _forget_attempt(state: State, checkout_id: str) -> None:
    """Take back an attempt that was counted: it was right, or Polar was not asked."""
    state.proofs.clients.give_back(_client())
    state.proofs.emails.give_back(checkout_id)
    state.proofs.lookups.give_back()


def note_visit(
    state: State, checkout_id: str, deadline: Deadline, *, is_proven: bool = False
) -> None:
    """Have a checkout looked at later, so that a sale is not lost because nobody proved it.

    Of visits without proof only a few a minute are followed up.
    """
    proofs = state.proofs
    if checkout_id in proofs.visited or not (is_proven or proofs.visits.take()):
        return
    proofs.visited.put(checkout_id, True)
    try:
        state.database.within(deadline.left_to_note(), lambda: state.orders.saw_visit(checkout_id))
    except DatabaseUnavailable as error:
        # The page that asks again by itself is to have it noted then.
        proofs.visited.forget(checkout_id)
        logger.warning("A checkout can't be noted to be looked at. %s", error)


def checkout_id_in_address() -> str | None:
    """The id in the address, if it is a UUID; ``{CHECKOUT_ID}`` left unreplaced is not."""
    try:
        return str(UUID(request.args.get("checkout_id", "")))
    except ValueError:
        return None


def _look_up(state: State, checkout_id: str, deadline: Deadline) -> Checkout | None:
    recent = state.proofs.checkouts
    found = recent.get(checkout_id)
    if found is None:
        # False stands for what there is not, which is remembered as well.
        found = read_checkout(state.client, checkout_id, timeout=deadline.left()) or False
        recent.put(checkout_id, found)
    return found if isinstance(found, Checkout) else None


def _may_look_up(state: State) -> bool:
    """Count a look-up that may prove nothing; False when there were too many."""
    proofs, client = state.proofs, _client()
    if not proofs.probes.take(client):
        return False
    if proofs.lookups.take():
        return True
    proofs.probes.give_back(client)
    return False


def _was_worth_it(state: State) -> None:
    """Take back a look-up that was counted: it proved something, or Polar was not asked."""
    state.proofs.lookups.give_back()
    state.proofs.probes.give_back(_client())


def _client() -> str:
    """Who counts as one client: an address; of IPv6 its network, all of which one customer has."""
    told = request.remote_addr or ""
    try:
        address = ip_address(told)
    except ValueError:  # a socket's, or what a proxy made up
        return told
    if isinstance(address, IPv4Address):
        return told
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


@lru_cache(maxsize=100)
def _quoted(path: str) -> str:
    return quote(path, safe="/")


def _cookie(name: str, value: str, tail: str) -> str:
    """A value for ``Set-Cookie``, for the pages of the shop and no others."""
    whole = request.path
    path = _quoted(request.root_path + whole[: len(whole) - len(tail)])
    secure = "; Secure" if request.environ["wsgi.url_scheme"] == "https" else ""
    return f"{name}={value}; Max-Age={LASTS_SECONDS}; Path={path}{secure}; HttpOnly; SameSite=Lax"
