"""Proof that a browser bought: what its cookies hold, and how much may be tried without proof.

Two cookies, both signed with the site's ``SECRET_KEY``, each for its own purpose. The buyer's
holds a random number, planted on the way to the checkout; its hash goes along as the checkout's
``reference_id``, where everybody may see it: only who has the number can show what is behind it.
The other one holds the ids of the checkouts that this browser has proved. Nothing in them says
who somebody is.
"""

from __future__ import annotations

import hmac
import re
import secrets
import struct
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from hashlib import blake2b, sha256
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from itsdangerous import BadSignature, TimestampSigner
from itsdangerous.signer import SigningAlgorithm

from storefront.polar import Checkout
from storefront.secret import Secret

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

#: How long a proof is good, in seconds: 30 days since it was last signed.
LASTS_SECONDS: Final = 30 * 86400
#: Every commitment begins so; nobody else may give us such a ``reference_id``.
PREFIX: Final = "sf_"
#: How long somebody who has shown a customer's session is taken for the customer: as long as
#: Polar does. Somebody else may be the customer of that address by then.
_CUSTOMER_SECONDS: Final = 3600
#: How old a buyer's cookie gets before it is signed anew.
_RENEW_SECONDS: Final = 86400
#: How far ahead of this machine's clock that of the one may be which signed a cookie just now.
_CLOCKS_DIFFER_SECONDS: Final = 300
_MOST_PURCHASES: Final = 10
#: Of a cookie's value; ours are far shorter.
_LONGEST: Final = 600
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{32}")
#: Standing, time, and the checkout's id.
_ENTRY: Final = struct.Struct(">cI16s")
_CUSTOMER: Final = b"c"


class Standing(Enum):
    """What a browser has proved.

    Whoever types somebody else's email address into a checkout has made that purchase, and is
    still not that customer: Polar puts the order with the customer's others.
    """

    #: It made this purchase.
    BUYER = "b"
    #: Who looks at it is the customer, with all that this customer ever bought.
    CUSTOMER = "c"


class Proof(NamedTuple):
    """What was proved of a purchase, and when, in seconds since the epoch."""

    standing: Standing
    proved_at: int


#: By the checkout's id, the latest last.
Purchases = dict[str, Proof]


class Buyer(NamedTuple):
    """What a buyer's cookie holds, if it is one of ours."""

    nonce: Secret
    #: Whether it is time to sign it anew.
    is_old: bool


class Seals:
    """Makes and reads the cookies of an app with these keys, the newest last."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        self._buyer = _signer(keys, b"storefront buyer")
        self._purchases = _signer(keys, b"storefront purchases")

    def seal_buyer(self, nonce: Secret) -> str:
        """The value of a buyer's cookie."""
        return self._buyer.sign(nonce.reveal()).decode()

    def open_buyer(self, cookie: str | None) -> Buyer | None:
        """What a buyer's cookie holds; None for one that is old, or not from here."""
        opened = _unsealed(self._buyer, cookie)
        if opened is None:
            return None
        value, age = opened
        nonce = Secret(value.decode("ascii", "replace"))
        if not _NONCE.fullmatch(nonce.reveal()):
            return None
        return Buyer(nonce, age > _RENEW_SECONDS)

    def seal_purchases(self, purchases: Purchases) -> str:
        """The value of the cookie that remembers what was proved, of the latest ten."""
        latest = list(purchases.items())[-_MOST_PURCHASES:]
        packed = b"".join(
            _ENTRY.pack(proof.standing.value.encode(), proof.proved_at, UUID(id).bytes)
            for id, proof in latest
        )
        return self._purchases.sign(urlsafe_b64encode(packed).rstrip(b"=")).decode()

    def open_purchases(self, cookie: str | None) -> Purchases:
        """What was proved before, the latest last; nothing for a cookie that is not from here."""
        opened = _unsealed(self._purchases, cookie)
        if opened is None:
            return {}
        value, now, found = opened[0], time.time(), Purchases()
        for how, proved_at, id in _ENTRY.iter_unpack(
            urlsafe_b64decode(value + b"=" * (-len(value) % 4))
        ):
            if now - proved_at < LASTS_SECONDS:
                is_customer = how == _CUSTOMER and now - proved_at < _CUSTOMER_SECONDS
                standing = Standing.CUSTOMER if is_customer else Standing.BUYER
                found[str(UUID(bytes=id))] = Proof(standing, proved_at)
        return found


def new_nonce() -> Secret:
    """A number that nobody can guess."""
    return Secret(secrets.token_urlsafe(24))


def commitment(nonce: Secret) -> str:
    """What a checkout is told instead of the number: anybody may see it."""
    return PREFIX + sha256(nonce.reveal().encode()).hexdigest()


def is_committed(checkout: Checkout, nonce: Secret) -> bool:
    """Whether the checkout was begun by the browser that has this number."""
    told = checkout.metadata.get("reference_id")
    return isinstance(told, str) and _equal(told, commitment(nonce))


def is_customer_of(checkout: Checkout, external_id: str | None) -> bool:
    """Whether the checkout is that of the signed-in customer, by the site's own id."""
    its = checkout.external_customer_id
    return bool(its and external_id) and _equal(str(its), str(external_id))


def has_email(checkout: Checkout, typed: Secret) -> bool:
    """Whether somebody typed the email address of the purchase."""
    if not checkout.customer_email or len(typed.reveal()) > _LONGEST:
        return False
    return _equal(_folded(checkout.customer_email), _folded(typed.reveal()))


class Limit:
    """So many events for each key in so many seconds; what was long ago is forgotten.

    It knows ``keys`` keys at the most: of more, it forgets those that came first.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        *,
        keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._keys, self._clock = most, seconds, keys, clock
        self._lock = threading.Lock()
        self._counts: dict[Hashable, tuple[int, float]] = {}

    def take(self, key: Hashable = None) -> bool:
        """Count one; False when there were too many, and then it is not counted."""
        now = self._clock()
        with self._lock:
            count, ends = self._counts.get(key, (0, 0.0))
            if now >= ends:
                self._counts.pop(key, None)
                count, ends = 0, now + self._seconds
            if count >= self._most:
                return False
            self._counts[key] = (count + 1, ends)
            if len(self._counts) > self._keys:
                del self._counts[next(iter(self._counts))]
            return True

    def give_back(self, key: Hashable = None) -> None:
        """Take back one that was counted: it turned out well."""
        with self._lock:
            count, ends = self._counts.get(key, (0, 0.0))
            if count:
                self._counts[key] = (count - 1, ends)


class Recent(Generic[_K, _V]):
    """Remembers values for some seconds, and at most so many of them."""

    def __init__(
        self, seconds: float, *, most: int = 1000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._lock = threading.Lock()
        self._values: dict[_K, tuple[float, _V]] = {}

    def get(self, key: _K) -> _V | None:
        """The value, or None when there is none, or it is too old."""
        found = self._values.get(key)
        return found[1] if found is not None and self._clock() < found[0] else None

    def put(self, key: _K, value: _V) -> None:
        """Remember a value from now on."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (self._clock() + self._seconds, value)
            if len(self._values) > self._most:
                del self._values[next(iter(self._values))]

    def forget(self, key: _K) -> None:
        """Forget a value, if there is one."""
        with self._lock:
            self._values.pop(key, None)

    def __contains__(self, key: _K) -> bool:
        return self.get(key) is not None


class ProofDesk:
    """What one process of an app remembers of proofs, and what it lets be tried."""

    def __init__(self) -> None:
        #: Look-ups in a minute that turned out to prove nothing: what probing may cost Polar.
        self.lookups = Limit(60, 60)
        #: The same for one client: nobody is to use up what all buyers have.
        self.probes = Limit(20, 60)
        #: Attempts with an email address: an hour for one checkout, ten minutes for one client.
        self.emails = Limit(10, 3600)
        self.clients = Limit(30, 600)
        #: Visits without proof in a minute of which the checkout is looked at later.
        self.visits = Limit(6, 60)
        self.visited: Recent[str, bool] = Recent(600)
        #: Checkouts whose sale is in the database: a page that is loaded again need not ask it.
        self.noted: Recent[str, bool] = Recent(3600, most=10_000)
        #: Ways into the portal that are opened in a minute, by whom.
        self.portals = Limit(10, 60)
        #: Polar's answers, by checkout: a page that is reloaded sooner is told the same. False is
        #: for one that there is not.
        self.checkouts: Recent[str, Checkout | bool] = Recent(2)
        self.pages: Recent[str, Any] = Recent(2)
        #: Customers' own sessions with Polar, by customer, which are good for an hour.
        self.sessions: Recent[str, Secret] = Recent(3000)
        #: What is asked once: the organization's name in Polar's addresses.
        self.slug: str | None = None
        self._seals: tuple[tuple[Any, Any], Seals] | None = None

    def seals(self, secret_key: Any, fallbacks: Any) -> Seals | None:
        """Those of the app's keys, as ``app.config`` has them; None without a key."""
        if not secret_key:
            return None
        known = self._seals
        if known is not None and known[0][0] is secret_key and known[0][1] is fallbacks:
            return known[1]
        seals = Seals([*(fallbacks or ()), secret_key])
        self._seals = ((secret_key, fallbacks), seals)
        return seals


class _Blake2(SigningAlgorithm):
    """BLAKE2 with a key, which costs a fraction of what OpenSSL takes for HMAC-SHA256."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """The signature of a value."""
        return blake2b(value, key=key, digest_size=32).digest()


def _signer(keys: Sequence[str | bytes], purpose: bytes) -> TimestampSigner:
    # The keys are derived once, and not for each signature.
    derived = [
        hmac.digest(key.encode() if isinstance(key, str) else key, purpose, "sha256")
        for key in keys
    ]
    return TimestampSigner(derived, salt=purpose, key_derivation="none", algorithm=_Blake2())


def _unsealed(signer: TimestampSigner, cookie: str | None) -> tuple[bytes, float] | None:
    """What a cookie holds, and its age in seconds; None for one that is old, or not from here."""
    if not cookie or len(cookie) > _LONGEST:
        return None
    try:
        value, signed_at = signer.unsign(cookie, return_timestamp=True)
    except BadSignature:
        return None
    age = time.time() - signed_at.timestamp()
    return (value, age) if -_CLOCKS_DIFFER_SECONDS <= age <= LASTS_SECONDS else None


def _folded(email: str) -> str:
    return email.strip().casefold()


def _equal(one: str, other: str) -> bool:
    """Compare in a time that does not tell where they differ."""
    return hmac.compare_digest(
        sha256(one.encode("utf-8", "replace")).digest(),
        sha256(other.encode("utf-8", "replace")).digest(),
    )
