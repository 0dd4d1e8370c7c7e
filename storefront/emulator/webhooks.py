"""Webhook deliveries: what is sent where, how often it is tried, and what came of it.

Deliveries are made one after another by a thread that starts with the first event. What fails is
tried again later, with the same id and body and a new timestamp and signature; meanwhile others
overtake it.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from storefront.emulator.errors import NotFoundError
from storefront.emulator.events import EVENTS
from storefront.emulator.records import Body, iso
from storefront.emulator.signatures import KeyStyle, sign, signing_key
from storefront.emulator.store import Show, Store, new_id

#: Seconds from one try to the next; the first three as recorded, 2026-11-22, the rest such that
#: the tenth and last falls within the half hour that the service gives.
RETRY_AFTER: Final = (7.4, 10.3, 19.4, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0)

_TIMEOUT: Final = 10.0
_FAILURES_TO_SWITCH_OFF: Final = 10
_POLL: Final = 0.05
_MORE: Final = (
    "For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status"
)

#: What came back: the status, and where a redirect wanted to go.
Answer: TypeAlias = tuple[int, str | None]
#: Sends one delivery: URL, headers, body. Raises `OSError` or `HTTPException` where none came back.
Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], Answer]


@dataclass(frozen=True)
class Webhook:
    """An endpoint to deliver to.

    :raises ValueError: `key` is `standard`, and the secret is none of Standard Webhooks.
    """

    url: str
    secret: str
    #: What it is told of.
    events: tuple[str, ...] = EVENTS
    #: How the signing key is made of the secret.
    key: KeyStyle = "utf8"
    #: The version of the API that deliveries say they are written in. Source: required by the
    #: official SDK of October 2026; the recorded service, of August 2026, did not send it.
    api_version: str = "2026-10"
    #: Seconds from one try to the next; after the last an event is given up.
    retry_after: tuple[float, ...] = RETRY_AFTER

    def __post_init__(self) -> None:
        signing_key(self.secret, self.key)


@dataclass(frozen=True, order=True)
class _Due:
    """A try that is to be made, by `time.monotonic()`."""

    at: float
    #: Tells tries of the same moment apart: first come, first served.
    number: int
    event_id: str
    endpoint_id: str
    tries_before: int


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send a delivery over the network; an answer has 10 seconds, and no redirect is followed.

    :raises OSError: nothing came back, or not in time.
    :raises HTTPException: what came back is no HTTP.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location")
    finally:
        connection.close()


class Webhooks:
    """The deliveries of a store."""

    def __init__(
        self, store: Store, *, tick: Callable[[], None] = lambda: None, post: Post = post
    ) -> None:
        """`tick` is called now and then while there are endpoints, so that what is due happens,
        and is told of, though nobody asks."""
        self._store = store
        self._tick = tick
        #: How a delivery is sent.
        self.post = post
        #: The origin that the addresses in a delivery have.
        self.base_url = "http://127.0.0.1"
        self._settings: dict[str, Webhook] = {}
        self._failures: dict[str, int] = {}
        self._events: dict[str, Body] = {}
        self._deliveries: list[Body] = []
        self._queue: list[_Due] = []
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._busy = False
        store.listeners.append(self._on_event)

    def add(self, webhook: Webhook, *, name: str | None = None, kind: str = "raw") -> Body:
        """Deliver to an endpoint from now on; gives it as the API shows it."""
        with self._store.lock:
            endpoint: Body = {
                "created_at": iso(self._store.now()),
                "modified_at": None,
                "id": new_id(),
                "url": webhook.url,
                "name": name,
                "format": kind,
                "secret": webhook.secret,
                "organization_id": self._store.organization["id"],
                "events": list(webhook.events),
                "enabled": True,
                "api_version": webhook.api_version,
            }
            self._store.webhook_endpoints[endpoint["id"]] = endpoint
            self._settings[endpoint["id"]] = webhook
        self._start()
        return endpoint

    def keep(self, webhook: Webhook) -> None:
        """Deliver to an endpoint of that address, with that secret, whether or not it is new."""
        with self._store.lock:
            for id, endpoint in self._store.webhook_endpoints.items():
                if endpoint["url"] == webhook.url:
                    endpoint.update(secret=webhook.secret, enabled=True)
                    self._settings[id] = webhook
                    return
            self.add(webhook)

    def remove_all(self) -> None:
        """Deliver nothing any more, until there is an endpoint again."""
        with self._store.lock:
            self._store.webhook_endpoints.clear()

    def all(self) -> list[Body]:
        """Every try that was made, as the API shows it, the newest first."""
        with self._store.lock:
            return [
                {
                    **{key: value for key, value in delivery.items() if key != "endpoint_id"},
                    "webhook_event": self._events[delivery["webhook_event"]],
                }
                for delivery in reversed(self._deliveries)
            ]

    def of_endpoint(self, endpoint_id: str) -> frozenset[str]:
        """The ids of the tries that went to an endpoint."""
        with self._store.lock:
            made = self._deliveries
            return frozenset(item["id"] for item in made if item["endpoint_id"] == endpoint_id)

    def redeliver(self, event_id: str) -> None:
        """Try an event once more, at every endpoint that is told of its kind.

        :raises NotFoundError: no such event.
        """
        with self._store.lock:
            event = self._events.get(event_id)
            if event is None:
                raise NotFoundError
            for endpoint in self._listening(event["type"]):
                self._enqueue(event_id, endpoint["id"], 0, after=0)

    def wait_until_idle(self, *, timeout: float) -> bool:
        """Wait until nothing is left to be tried now; False when the time ran out.

        Tries put off after a failure are not waited for.
        """
        give_up = time.monotonic() + timeout
        while time.monotonic() < give_up:
            with self._wake:
                due = bool(self._queue) and self._queue[0].at <= time.monotonic()
                if not due and not self._busy:
                    return True
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        """Deliver nothing any more."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _listening(self, event: str) -> list[Body]:
        endpoints = self._store.webhook_endpoints.values()
        return [item for item in endpoints if item["enabled"] and event in item["events"]]

    def _on_event(self, event: str, show: Show) -> None:
        with self._store.lock:
            listening = self._listening(event)
            if not listening:
                return
            moment = iso(self._store.now())
            payload = {
                "type": event,
                "timestamp": moment,
                "data": show(self.base_url),
                "api_version": listening[0]["api_version"],
            }
            event_id = new_id()
            self._events[event_id] = {
                "created_at": moment,
                "modified_at": None,
                "id": event_id,
                "last_http_code": None,
                "succeeded": None,
                "skipped": False,
                "payload": json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
                "type": event,
                "is_archived": False,
            }
            for endpoint in listening:
                self._enqueue(event_id, endpoint["id"], 0, after=0)
        self._start()

    def _enqueue(self, event_id: str, endpoint_id: str, tries_before: int, *, after: float) -> None:
        at = time.monotonic() + after
        with self._wake:
            number = next(self._numbers)
            heapq.heappush(self._queue, _Due(at, number, event_id, endpoint_id, tries_before))
            self._wake.notify()

    def _start(self) -> None:
        with self._wake:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(
                    target=self._run, name="local-polar-webhooks", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                if self._stopped:
                    return
                wait = self._queue[0].at - time.monotonic() if self._queue else _POLL
                if wait > 0:
                    self._wake.wait(min(wait, _POLL))
                due = None
                if self._queue and self._queue[0].at <= time.monotonic():
                    due = heapq.heappop(self._queue)
                    self._busy = True
            self._tick()
            if due is not None:
                self._try(due)

    def _try(self, due: _Due) -> None:
        with self._store.lock:
            endpoint = self._store.webhook_endpoints.get(due.endpoint_id)
            if endpoint is None or not endpoint["enabled"]:
                return
            # The secret may have been replaced since.
            style = self._settings[due.endpoint_id].key
            key, url = signing_key(endpoint["secret"], style), endpoint["url"]
            body = self._events[due.event_id]["payload"].encode()
            timestamp = str(int(self._store.now().timestamp()))
        headers = {
            "Accept": "*/*",
            "user-agent": "polar.sh webhooks",
            "content-type": "application/json",
            "webhook-id": due.event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(key, due.event_id, timestamp, body),
        }
        try:
            status, location = self.post(url, headers, body)
        except (OSError, HTTPException) as error:
            self._note(due, None, str(error) or type(error).__name__)
        else:
            self._note(due, status, _complaint(status, url, location))

    def _note(self, due: _Due, status: int | None, complaint: str | None) -> None:
        """Remember what came of a try, and arrange the next one."""
        succeeded = complaint is None
        retry_after = self._settings[due.endpoint_id].retry_after
        with self._store.lock:
            moment = iso(self._store.now())
            event = self._events[due.event_id]
            event.update(modified_at=moment, last_http_code=status)
            is_last = due.tries_before >= len(retry_after)
            if succeeded or is_last:
                event["succeeded"] = succeeded
                self._count(due.endpoint_id, succeeded=succeeded)
            self._deliveries.append(
                {
                    "created_at": moment,
                    "modified_at": None,
                    "id": new_id(),
                    "succeeded": succeeded,
                    "http_code": status,
                    "response": complaint,
                    "webhook_event": due.event_id,
                    "endpoint_id": due.endpoint_id,
                }
            )
        if not succeeded and not is_last:
            after = retry_after[due.tries_before]
            self._enqueue(due.event_id, due.endpoint_id, due.tries_before + 1, after=after)

    def _count(self, endpoint_id: str, *, succeeded: bool) -> None:
        """Switch an endpoint off where one event after another had to be given up."""
        failures = 0 if succeeded else self._failures.get(endpoint_id, 0) + 1
        self._failures[endpoint_id] = failures
        endpoint = self._store.webhook_endpoints.get(endpoint_id)
        if endpoint is not None and failures >= _FAILURES_TO_SWITCH_OFF:
            endpoint["enabled"] = False


def _complaint(status: int, url: str, location: str | None) -> str | None:
    """What a try that was not accepted is noted with, in the words of the service's client."""
    if 200 <= status < 300:
        return None
    kind = {1: "Informational response", 3: "Redirect response", 4: "Client error"}
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    lines = [f"{kind.get(status // 100, 'Server error')} '{status} {phrase}' for url '{url}'"]
    if location is not None and 300 <= status < 400:
        lines.append(f"Redirect location: '{location}'")
    return "\n".join([*lines, f"{_MORE}/{status}"])
