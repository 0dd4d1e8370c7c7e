"""Customers and their sessions."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from storefront.emulator.errors import NotFoundError
from storefront.emulator.events import announce_customer
from storefront.emulator.records import Body, Checkout, Session, iso
from storefront.emulator.store import Store, new_id, new_secret, new_short_id

logger = logging.getLogger("storefront.emulator")

#: How long a code for the portal can be entered, and how often it may be mistyped.
CODE_LIFETIME = timedelta(minutes=30)
_MISTAKES = 5
#: How long a customer session lets its bearer in. Source: recorded, 2026-11-22.
SESSION_LIFETIME = timedelta(hours=1)


class Customers:
    """Who bought, and what lets them see their own orders."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Codes for the portal by email address in small letters, when each is over, and how
        #: often something else was entered.
        self._codes: dict[str, tuple[str, datetime, int]] = {}

    def get(self, customer_id: str) -> Body:
        """:raises NotFoundError: no such customer."""
        try:
            return self._store.customers[customer_id]
        except KeyError:
            raise NotFoundError from None

    def by_email(self, email: str) -> Body | None:
        """The customer of that address, whatever its case."""
        with self._store.lock:
            return self._store.customer_by("email", email)

    def by_external_id(self, external_id: str) -> Body | None:
        """The customer whom the shop knows by that id."""
        with self._store.lock:
            return self._store.customer_by("external_id", external_id)

    def for_checkout(self, checkout: Checkout) -> tuple[Body, bool]:
        """The customer a checkout is for, and whether they are new.

        One who is known keeps name and address as they were.
        """
        with self._store.lock:
            email = checkout.customer_email or ""
            known = self.by_email(email)
            if known is None and checkout.customer_external_id is not None:
                known = self.by_external_id(checkout.customer_external_id)
            if known is not None:
                return known, False
            customer: Body = {
                "id": new_id(),
                "created_at": iso(self._store.now()),
                "modified_at": None,
                "metadata": checkout.customer_metadata,
                "external_id": checkout.customer_external_id,
                "email": email,
                "email_verified": False,
                "type": "individual",
                "name": checkout.customer_name,
                "billing_name": checkout.customer_billing_name,
                "billing_address": None,
                "tax_id": checkout.customer_tax_id,
                "locale": checkout.locale,
                "organization_id": self._store.organization["id"],
                "default_payment_method_id": None,
                "deleted_at": None,
                "first_user_event_at": None,
                "avatar_url": _avatar_url(email),
                "short_id": new_short_id(),
                "member_id": new_id(),
                "orders_count": 0,
            }
            self._store.add_customer(customer)
            announce_customer(self._store, "customer.created", customer)
            return customer, True

    def open_session(
        self, customer_id: str, *, prefix: str = "polar_cst_", return_url: str | None = None
    ) -> Session:
        """Let a customer in for an hour.

        :raises NotFoundError: no such customer.
        """
        with self._store.lock:
            self.get(customer_id)
            now = self._store.now()
            session = Session(
                id=new_id(),
                token=new_secret(prefix),
                customer_id=customer_id,
                created_at=now,
                expires_at=now + SESSION_LIFETIME,
                return_url=return_url,
            )
            self._store.sessions[session.token] = session
            return session

    def send_code(self, email: str) -> None:
        """Tell the log a code for the portal, in place of a mail; nobody's address gets none."""
        with self._store.lock:
            customer = self.by_email(email)
            if customer is None:
                return
            code = f"{secrets.randbelow(1_000_000):06}"
            self._codes[email.casefold()] = (code, self._store.now() + CODE_LIFETIME, 0)
        logger.warning("A code for the customer portal: %s for %s", code, customer["email"])

    def enter_code(self, email: str, code: str) -> Session | None:
        """Let in who enters the code that was sent, once; None for any other."""
        with self._store.lock:
            sent = self._codes.pop(email.casefold(), None)
            customer = self.by_email(email)
            if sent is None or customer is None or self._store.now() >= sent[1]:
                return None
            if not secrets.compare_digest(code.strip().encode(), sent[0].encode()):
                if sent[2] + 1 < _MISTAKES:
                    self._codes[email.casefold()] = (sent[0], sent[1], sent[2] + 1)
                return None
            return self.open_session(customer["id"])

    def session(self, token: str) -> Session | None:
        """The session behind a token; None if there is none or its hour is over."""
        with self._store.lock:
            session = self._store.sessions.get(token)
            return session if session and self._store.now() < session.expires_at else None


def _avatar_url(email: str) -> str:
    digest = hashlib.sha256(email.strip().lower().encode()).hexdigest()
    return f"https://www.gravatar.com/avatar/{digest}?d=404"
