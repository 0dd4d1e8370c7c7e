"""Benefits: what a purchase grants its buyer, and what is taken back.

Who pays for seats is granted nothing: seats are handed out to people first, which this is not for.

Source: grants and license keys as recorded from the service, 2026-11-22; what is granted, kept and
taken back follows its open source.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from storefront.emulator.errors import NotFoundError, RefusedError
from storefront.emulator.events import announce_customer_state, announce_grant
from storefront.emulator.pricing import later
from storefront.emulator.records import Body, iso
from storefront.emulator.store import Store, new_id

#: How long the address of a download is good.
DOWNLOAD_LIFETIME: Final = timedelta(minutes=10)

#: What is granted only when the customer has said, in the portal, which account it is for.
_NEEDS_ACCOUNT: Final[Mapping[str, str]] = {
    "discord": "You need to connect your Discord account in the customer portal.",
    "github_repository": "You need to connect your GitHub account in the customer portal.",
    "slack_shared_channel": "You need to give an email address in the customer portal.",
}


class Benefits:
    """The grants of a store."""

    def __init__(self, store: Store, *, grant_seconds: float = 0.0) -> None:
        """`grant_seconds` is how long after an order its benefits are granted."""
        self._store = store
        self._grant_after = timedelta(seconds=grant_seconds)
        #: Orders whose benefits are yet to be granted, and when.
        self._due: list[tuple[datetime, Body]] = []
        self._download_key = secrets.token_bytes(32)

    def grant_for(self, order: Body) -> None:
        """Grant what an order's product brings, in a while; those of a renewal are there."""
        if order["seats"] is None:
            self._due.append((self._store.now() + self._grant_after, order))

    def grant_due(self) -> None:
        """Grant what is due."""
        with self._store.lock:
            while self._due and self._due[0][0] <= self._store.now():
                self._grant(self._due.pop(0)[1])

    def revoke(self, *, order_id: str | None = None, subscription_id: str | None = None) -> None:
        """Take back what an order, or a subscription, was granted."""
        store = self._store
        with store.lock:
            self._due = [
                (at, order)
                for at, order in self._due
                if (order["id"] if subscription_id is None else order["subscription_id"])
                != (subscription_id or order_id)
            ]
            taken = [
                grant
                for grant in store.grants.values()
                if grant["order_id"] == order_id
                and grant["subscription_id"] == subscription_id
                and not grant["is_revoked"]
            ]
            for grant in taken:
                self._take_back(grant)
            for customer_id in {grant["customer_id"] for grant in taken}:
                announce_customer_state(store, store.customers[customer_id])

    def of_customer(self, customer_id: str) -> list[Body]:
        """What a customer has, oldest first: neither what was taken back nor what is private."""
        with self._store.lock:
            return [
                grant
                for grant in self._store.grants_of.get(customer_id, ())
                if not grant["is_revoked"]
                and self._store.benefit(grant["benefit_id"]).get("visibility") != "private"
            ]

    def place_in_product(self, grant: Body) -> int:
        """Where the benefit stands among those of the product it came with."""
        store = self._store
        source: Body = (
            store.subscriptions[grant["subscription_id"]]
            if grant["subscription_id"]
            else store.orders[grant["order_id"]]
        )
        ids = [item["id"] for item in store.products[source["product_id"]]["benefits"]]
        return ids.index(grant["benefit_id"]) if grant["benefit_id"] in ids else len(ids)

    def downloads(self, customer_id: str) -> list[tuple[Body, Body]]:
        """The files a customer may download, each with the grant that it came with first.

        The newest comes first. A file that came more than once is there once.
        """
        found: dict[tuple[str, str], tuple[Body, Body]] = {}
        with self._store.lock:
            for grant in self.of_customer(customer_id):
                for file_id in grant["properties"].get("files", ()):
                    file = self.file(file_id)
                    found.setdefault((grant["benefit_id"], file_id), (grant, file))
        return list(found.values())[::-1]

    def download_token(self, file: Body) -> tuple[str, str]:
        """What lets anybody download a file for a while, and when it is over."""
        ends = self._store.now() + DOWNLOAD_LIFETIME
        told = f"{file['id']}.{int(ends.timestamp())}"
        return f"{told}.{self._signature(told)}", str(iso(ends))

    def file_behind(self, token: str) -> Body:
        """The file that a token stands for.

        :raises NotFoundError: the token is none of ours.
        :raises RefusedError: its time is over.
        """
        told, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(told).encode(), signature.encode()):
            raise NotFoundError
        file_id, _, ends = told.partition(".")
        if self._store.now().timestamp() > int(ends):
            raise RefusedError(410, "ResourceUnavailable", "The download has expired.")
        return self.file(file_id)

    def _signature(self, told: str) -> str:
        return hmac.new(self._download_key, told.encode(), hashlib.sha256).hexdigest()

    def file(self, file_id: str) -> Body:
        """A file as the API shows it; one that no seed brought is made up."""
        if file_id not in self._store.files:
            name = f"download-{file_id[:8]}.txt"
            self._store.put_file(
                {
                    "id": file_id,
                    "organization_id": self._store.organization["id"],
                    "name": name,
                    "mime_type": "text/plain",
                    "size": len(stand_in(name)),
                }
            )
        return self._store.files[file_id]

    def _grant(self, order: Body) -> None:
        store = self._store
        subscription = store.subscriptions.get(order["subscription_id"] or "")
        if order["status"] == "refunded" or (subscription and subscription["ended_at"]):
            return
        customer = store.customers[order["customer_id"]]
        # Granted to a subscription, or else to the order.
        scope = {
            "subscription_id": order["subscription_id"],
            "order_id": None if subscription else order["id"],
        }
        benefits = store.products[order["product_id"]]["benefits"]
        for attached in benefits:
            benefit = store.benefit(attached["id"])
            announce_grant(
                store, "benefit_grant.created", self._grant_one(benefit, customer, scope)
            )
        if benefits:
            announce_customer_state(store, customer)

    def _grant_one(self, benefit: Body, customer: Body, scope: Body) -> Body:
        store, kind = self._store, benefit["type"]
        granted_at, created_at = iso(store.now()), iso(store.now())
        grant: Body = {
            "created_at": created_at,
            "modified_at": None,
            "id": new_id(),
            "granted_at": granted_at,
            "is_granted": True,
            "revoked_at": None,
            "is_revoked": False,
            **scope,
            "customer_id": customer["id"],
            "member_id": customer["member_id"],
            "benefit_id": benefit["id"],
            "error": None,
            "properties": {},
        }
        if kind in _NEEDS_ACCOUNT:
            grant.update(
                granted_at=None,
                is_granted=False,
                error={
                    "message": _NEEDS_ACCOUNT[kind],
                    "type": "BenefitActionRequiredError",
                    "timestamp": granted_at,
                },
            )
        elif kind == "license_keys":
            key = self._new_key(benefit, customer)
            grant["properties"] = {
                "license_key_id": key["id"],
                "display_key": key["display_key"],
            }
            # Here the grant is saved first and filled in afterwards.
            grant["granted_at"], grant["modified_at"] = iso(store.now()), iso(store.now())
        elif kind == "downloadables":
            grant["properties"] = {"files": active_files(benefit)}
        store.add_grant(grant)
        return grant

    def _new_key(self, benefit: Body, customer: Body) -> Body:
        store, properties = self._store, benefit["properties"]
        made_at = store.now()
        prefix, value = properties.get("prefix"), new_id().upper()
        ends, activations = properties.get("expires"), properties.get("activations")
        key: Body = {
            "id": new_id(),
            "created_at": iso(made_at),
            "modified_at": None,
            "organization_id": store.organization["id"],
            "customer_id": customer["id"],
            "benefit_id": benefit["id"],
            "key": f"{prefix}-{value}" if prefix else value,
            "display_key": f"****-{value[-6:]}",
            "status": "granted",
            "limit_activations": activations["limit"] if activations else None,
            "usage": 0,
            "limit_usage": properties.get("limit_usage"),
            "validations": 0,
            "last_validated_at": None,
            "expires_at": iso(later(made_at, ends["timeframe"], ends["ttl"])) if ends else None,
        }
        store.add_license_key(key)
        return key

    def _take_back(self, grant: Body) -> None:
        store = self._store
        key = store.license_keys.get(grant["properties"].get("license_key_id", ""))
        if key is not None:
            key.update(status="revoked", modified_at=iso(store.now()))
        grant.update(
            is_granted=False,
            granted_at=None,
            is_revoked=True,
            revoked_at=iso(store.now()),
            modified_at=iso(store.now()),
        )
        announce_grant(store, "benefit_grant.revoked", grant)


def stand_in(name: str) -> bytes:
    """What the local Polar sends for a file of that name."""
    return f"{name}: a local Polar's stand-in for a file to download.\n".encode()


def active_files(benefit: Body) -> list[str]:
    """The ids of a benefit's files that are not archived."""
    properties = benefit["properties"]
    archived = properties.get("archived") or {}
    return [file_id for file_id in properties.get("files", ()) if not archived.get(file_id)]
