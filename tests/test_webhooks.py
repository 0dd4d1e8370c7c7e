"""Webhooks are Polar's or nobody's, are kept before they are answered, and are acted on once."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from flask import Flask
from flask_wtf import CSRFProtect
from hypothesis import given
from hypothesis import strategies as st
from polar.webhooks import PolarWebhookVerificationError, validate_event
from standardwebhooks import Webhook as StandardWebhook

from storefront import Storefront, get_state, signals
from storefront.database.tables import webhooks
from storefront.emulator import LocalPolar, Store, Webhook
from storefront.errors import InvalidSignature
from storefront.polar.webhooks import MAX_BODY, Event, verify
from storefront.secret import Secret
from tests.conftest import SiteMaker
from tests.contract.recordings import REFERENCE_STORE, Recording, load
from tests.faults.acknowledging import acknowledged
from tests.faults.hostile import hostile_webhooks
from tests.webhook_posts import SECRET, STANDARD_SECRET, body, signed

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DELIVERIES = [r for r in load() if "webhook" in r.name and r.secret is not None]


def check(content: bytes, headers: dict[str, str], *secrets: str, now: datetime = NOW) -> Event:
    """Verify with these secrets."""
    return verify(content, headers, [Secret(s) for s in secrets or (SECRET,)], now=now)


@pytest.mark.parametrize("recording", DELIVERIES, ids=lambda recording: recording.name)
def test_recorded_deliveries_are_polars(recording: Recording) -> None:
    """What the service sent verifies, byte for byte as it came."""
    content = json.dumps(recording.request_body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = recording.request_headers
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    event = check(content, headers, recording.secret or "", now=at)
    assert event.id == headers["webhook-id"]
    assert event.type == recording.request_body["type"]
    assert event.data == recording.request_body["data"]
    assert event.timestamp == datetime.fromisoformat(recording.request_body["timestamp"])
    assert event.body == content


def test_the_vector_of_standard_webhooks() -> None:
    """The example that Standard Webhooks publishes: its key is what the secret encodes."""
    content = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    at = datetime.fromtimestamp(1614265330, UTC)
    # The signature is right; what it signs is no webhook of Polar's.
    with pytest.raises(InvalidSignature, match="no type"):
        check(content, headers, STANDARD_SECRET, now=at)
    with pytest.raises(InvalidSignature, match="No signature"):
        check(content, {**headers, "webhook-id": "msg_x"}, STANDARD_SECRET, now=at)


def test_standardwebhooks_signs_what_we_verify() -> None:
    """A webhook signed by the package of Standard Webhooks is taken."""
    content = body()
    at = datetime.now(UTC)
    signature = StandardWebhook(STANDARD_SECRET).sign("msg_1", at, content.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }
    assert check(content, headers, STANDARD_SECRET, now=at).id == "msg_1"
    StandardWebhook(STANDARD_SECRET).verify(content, headers)


@pytest.mark.parametrize("style", ["utf8", "standard"])
def test_both_kinds_of_key_are_taken(style: Any) -> None:
    """The secret itself is the key, or what it encodes."""
    content = body("order.refunded", amount=5)
    headers = signed(content, secret=STANDARD_SECRET, style=style, at=NOW.timestamp())
    event = check(content, headers, STANDARD_SECRET)
    assert (event.type, event.data) == ("order.refunded", {"id": "x", "amount": 5})
    assert event.timestamp == datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)


def test_one_secret_may_replace_another() -> None:
    """Any of several secrets will do, and so will any of several signatures."""
    content = body()
    headers = signed(content, at=NOW.timestamp())
    assert check(content, headers, "whsec_new", SECRET)
    two = {**headers, "webhook-signature": f"v1,AAAA v2,x {headers['webhook-signature']}"}
    assert check(content, two, "whsec_new", SECRET)
    with pytest.raises(InvalidSignature):
        check(content, headers, "whsec_new", "whsec_")


def test_many_signatures_cost_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key signs a body once, however many signatures a stranger's header names."""
    sign, calls = hmac.new, []

    def counted(key: bytes, *rest: Any) -> hmac.HMAC:
        calls.append(key)
        return sign(key, *rest)

    headers = signed(body(), at=NOW.timestamp()) | {"webhook-signature": "v1, " * 1000}
    monkeypatch.setattr("storefront.polar.webhooks.hmac.new", counted)
    with pytest.raises(InvalidSignature):
        check(body(), headers, "whsec_one", "whsec_two")
    assert len(calls) == len(set(calls)) <= 4


def test_no_secret_signs_nothing() -> None:
    """An empty secret, or one that encodes nothing, is no key."""
    content = body()
    for key in (b"", b"whsec_"):
        headers = signed(content, secret=key.decode(), at=NOW.timestamp())
        with pytest.raises(InvalidSignature):
            check(content, headers, "")
    with pytest.raises(InvalidSignature):
        verify(content, headers, [], now=NOW)
    empty = signed(content, secret="whsec_", style="standard", at=NOW.timestamp())
    with pytest.raises(InvalidSignature):
        check(content, empty, "whsec_")


@pytest.mark.parametrize(
    ("seconds", "taken"), [(300, True), (-300, True), (301, False), (-301, False)]
)
def test_five_minutes_are_near_enough(seconds: int, taken: bool) -> None:
    """A webhook of another time is refused, as one that somebody kept and sends again."""
    content = body()
    headers = signed(content, at=NOW.timestamp() + seconds)
    if taken:
        assert check(content, headers)
    else:
        with pytest.raises(InvalidSignature, match="clock"):
            check(content, headers)


_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)


@given(
    content=st.binary(max_size=60),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "webhook-id": _TEXT | st.just("evt"),
            "webhook-timestamp": _TEXT | st.just("1795334400"),
            "webhook-signature": _TEXT | st.builds("v1,{}".format, _TEXT),
        },
    ),
)
def test_nothing_else_is_raised(content: bytes, headers: dict[str, str]) -> None:
    """Whatever comes in, what is wrong with it is one error."""
    with pytest.raises(InvalidSignature):
        check(content, headers, SECRET, STANDARD_SECRET)


@given(content=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_a_signed_oddity_is_one_error(content: Any) -> None:
    """JSON that is signed and is no event is refused as well."""
    encoded = json.dumps(content).encode()
    with pytest.raises(InvalidSignature):
        check(encoded, signed(encoded, at=NOW.timestamp()))


def test_an_event_shows_nobodys_data() -> None:
    """Printed, as in a traceback, it has the type and no more of its contents."""
    content = body(email="jane@example.com")
    event = check(content, signed(content, at=NOW.timestamp()))
    assert "jane" not in repr(event)
    assert "order.paid" in repr(event)


def test_hostile_webhooks(tmp_path: Path) -> None:
    """S5, small: nothing forged is taken, nothing fails, and only what was taken is kept."""
    figure = hostile_webhooks(tmp_path, headers=3_000, bodies=1_000)
    assert figure.kept, str(figure)


@pytest.fixture
def shop(reference_polar: LocalPolar, make_site: SiteMaker) -> Iterator[Flask]:
    """A site with a webhook secret."""
    app = make_site(reference_polar, POLAR_WEBHOOK_SECRET=[STANDARD_SECRET, SECRET])
    yield app
    finish(app)


def finish(app: Flask) -> None:
    """Wait until everything is done."""
    state = get_state(app)
    eventually(lambda: not state.inbox.waiting())
    # A connection that a thread still has would not be closed with the others.
    eventually(lambda: state.inbox._watcher is None and state.work._watcher is None)
    state.database.for_short_writes().close()
    state.database.close()


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)


def post(app: Flask, content: bytes, headers: dict[str, str] | None = None, **options: Any) -> int:
    """Send it; gives the status."""
    headers = signed(content) if headers is None else headers
    path = options.pop("path", "/shop/webhooks")
    return app.test_client().post(path, data=content, headers=headers, **options).status_code


def kept(app: Flask) -> int:
    """How many webhooks are remembered."""
    with get_state(app).database.for_short_writes().reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(webhooks)) or 0


@contextmanager
def heard(signal: Any) -> Iterator[list[dict[str, Any]]]:
    """What a signal says meanwhile."""
    said: list[dict[str, Any]] = []

    def listen(sender: Flask, **values: Any) -> None:
        assert isinstance(sender, Flask)
        said.append(values)

    with signal.connected_to(listen):
        yield said


def test_a_webhook_is_kept_and_told_of_once(shop: Flask) -> None:
    """It is answered with 202, told of with the signal, and sent again is nothing new."""
    content = body("something.new", name="x")
    headers = signed(content)
    with heard(signals.webhook_received) as said:
        for _ in range(3):
            assert post(shop, content, headers) == 202
        eventually(lambda: len(said) == 1)
        finish(shop)
    assert (said[0]["event"].type, said[0]["event"].data["name"]) == ("something.new", "x")
    assert said[0]["event"].id == headers["webhook-id"]
    assert kept(shop) == 1


def test_what_says_who_bought_goes_with_the_work(shop: Flask, tmp_path: Path) -> None:
    """Once it is done, nothing of the body is in the database's files, not even deleted."""
    for _ in range(20):
        assert post(shop, body(email="jane@example.com", text="x" * 5000)) == 202
    finish(shop)
    files = list((tmp_path / "instance").glob("*.db*"))
    assert files
    for file in files:
        assert b"jane@example.com" not in file.read_bytes(), file


def test_what_nobody_signed_is_refused_and_not_kept(shop: Flask, caplog: Any) -> None:
    """403, and one line in the log, however often."""
    content = body()
    for _ in range(5):
        assert post(shop, content, signed(content, secret="whsec_other")) == 403
    assert post(shop, content, {}) == 403
    assert kept(shop) == 0
    refused = [r for r in caplog.records if "refused" in r.message]
    assert len(refused) == 2
    assert SECRET not in caplog.text


def test_a_long_body_is_not_read(shop: Flask) -> None:
    """413 beyond a megabyte, whether its length is told or not; a megabyte is taken."""
    base = body(x="")
    whole = body(x="y" * (MAX_BODY - len(base)))
    assert len(whole) == MAX_BODY
    assert post(shop, whole) == 202
    assert post(shop, whole + b" ") == 413
    environ = {"wsgi.input_terminated": True}
    assert post(shop, whole + b" ", content_length=None, environ_overrides=environ) == 413
    assert shop.test_client().get("/shop/webhooks").status_code == 405


def test_without_a_secret_all_are_refused(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: Any
) -> None:
    """503, so that Polar keeps them, and one error in the log that says what to set."""
    app = make_site(reference_polar)
    for _ in range(5):
        assert post(app, body()) == 503
    (said,) = [r for r in caplog.records if "webhook" in r.message]
    assert (said.levelname, "POLAR_WEBHOOK_SECRET" in said.message) == ("ERROR", True)


def test_what_cant_be_kept_is_not_acknowledged(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: Any
) -> None:
    """503 while the database is away, so that Polar sends it again."""
    url = "postgresql://maria:geheim@127.0.0.1:1/shop"
    app = make_site(reference_polar, POLAR_WEBHOOK_SECRET=SECRET, STOREFRONT_DATABASE_URL=url)
    assert post(app, body()) == 503
    assert "Polar will send it again" in caplog.text
    assert "geheim" not in caplog.text


def test_webhooks_are_forgotten_after_ninety_days(shop: Flask) -> None:
    """The id of an old one is gone with the next that comes."""
    database = get_state(shop).database.for_short_writes()
    assert post(shop, body()) == 202
    finish(shop)
    for days, left in ((89, 2), (91, 1)):
        with database.writing() as connection:
            old = datetime.now(UTC) - timedelta(days=days)
            connection.execute(webhooks.update().values(received_at=old))
        assert post(shop, body()) == 202
        finish(shop)
        assert kept(shop) == left


def test_a_receiver_that_raises_keeps_nobody_from_hearing(shop: Flask, caplog: Any) -> None:
    """It is logged, without what it was about; the others are called; nothing is done again."""
    calls: list[str] = []

    def fail(sender: Flask, **_: Any) -> None:
        calls.append("fail")
        raise ValueError("no such customer: jane@example.com")

    with signals.checkout_updated.connected_to(fail), heard(signals.checkout_updated) as said:
        assert post(shop, body("checkout.updated")) == 202
        eventually(lambda: len(said) == 1)
        finish(shop)
    assert calls == ["fail"]
    assert "ValueError" in caplog.text
    assert "jane" not in caplog.text


def test_subscriptions_are_told_of_with_their_type(shop: Flask) -> None:
    """One signal for all that happens to a subscription."""
    with heard(signals.subscription_updated) as said:
        assert post(shop, body("subscription.canceled")) == 202
        eventually(lambda: len(said) == 1)
    assert said[0]["type"] == "subscription.canceled"


def test_a_slow_receiver_stops_nothing_but_receivers(
    reference_polar: LocalPolar, shop: Flask
) -> None:
    """While more webhooks than are told of at once are being told of, the catalogue is read."""
    let_go = threading.Event()

    def wait(sender: Flask, **_: Any) -> None:
        assert let_go.wait(30)

    catalog = get_state(shop).catalog
    catalog.sync()
    with shop.app_context():
        product_id = catalog.current().listed[0].id
    reference_polar.store.products[product_id]["name"] = "Another name"
    with signals.subscription_updated.connected_to(wait):
        for _ in range(10):
            assert post(shop, body("subscription.updated")) == 202
        assert post(shop, body("product.updated", id=product_id)) == 202
        with shop.app_context():
            eventually(lambda: catalog.current().find(product_id).product.name == "Another name")
        let_go.set()
        finish(shop)


def test_a_receiver_has_the_app_and_no_request(shop: Flask) -> None:
    """Receivers run in an app context, on a thread of their own."""
    from flask import current_app, has_request_context

    seen: list[Any] = []

    def look(sender: Flask, **_: Any) -> None:
        seen.append((current_app.name, has_request_context(), sender is shop))

    with signals.webhook_received.connected_to(look):
        assert post(shop, body()) == 202
        eventually(lambda: bool(seen))
    assert seen == [("site", False, True)]


def test_a_changed_product_is_in_the_catalogue_at_once(
    reference_polar: LocalPolar, shop: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten webhooks of one product read it again, together, long before its time."""
    # As long as ten of them may take on a machine with a slow disk.
    monkeypatch.setattr("storefront.inbox._GATHER_SECONDS", 3.0)
    catalog = get_state(shop).catalog
    catalog.sync()
    with shop.app_context():
        product_id = catalog.current().listed[0].id
    reference_polar.store.products[product_id]["name"] = "Another name"
    with heard(signals.product_updated) as said:
        for _ in range(10):
            assert post(shop, body("product.updated", id=product_id)) == 202
        eventually(lambda: bool(said))
        finish(shop)
    assert len(said) <= 3
    assert said[0]["product_id"] == product_id
    with shop.app_context():
        assert catalog.current().find(product_id).product.name == "Another name"


@pytest.mark.parametrize("protect_first", [True, False])
def test_the_sites_csrf_protection_lets_webhooks_pass(
    reference_polar: LocalPolar, tmp_path: Path, protect_first: bool
) -> None:
    """With Flask-WTF before or after the shop, this address needs no token, and all others do."""
    app = Flask("site", instance_path=str(tmp_path / "instance"))
    app.config.update(
        SECRET_KEY="x",
        TESTING=True,
        POLAR_SERVER=reference_polar.url,
        POLAR_ACCESS_TOKEN=next(iter(reference_polar.tokens)),
        POLAR_WEBHOOK_SECRET=SECRET,
    )
    shop, csrf = Storefront(), CSRFProtect()
    if protect_first:
        csrf.init_app(app)
    shop.init_app(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    if not protect_first:
        csrf.init_app(app)
    app.add_url_rule("/own", "own", lambda: "done", methods=["POST"])
    assert post(app, body()) == 202
    assert post(app, b"", path="/own") == 400
    assert csrf._exempt_blueprints == set()
    assert "storefront.web.webhooks.webhooks" in csrf._exempt_views
    assert all(name.startswith("storefront.web.") for name in csrf._exempt_views)
    finish(app)


def test_the_sdk_verifies_what_we_verify() -> None:
    """The official SDK and we agree on what the local Polar signs, and on what nobody signed."""
    seed = json.loads(REFERENCE_STORE.read_text(encoding="utf-8"))
    sent: list[tuple[dict[str, str], bytes]] = []
    with LocalPolar(Store(seed), webhook=Webhook("http://127.0.0.1:9/", SECRET)) as polar:

        def note(url: str, headers: Any, content: bytes) -> tuple[int, None]:
            sent.append((dict(headers), content))
            return 202, None

        polar.webhooks.post = note
        product_id = next(iter(polar.store.products))
        requests.patch(
            f"{polar.url}/v1/products/{product_id}",
            json={"name": "Another name"},
            headers=polar.headers,
            timeout=10,
        )
        assert polar.webhooks.wait_until_idle(timeout=10)
    ((headers, content),) = sent
    kinds: Any = frozenset({"product.updated"})
    assert validate_event(content, headers, SECRET, kinds, dict)["type"] == "product.updated"
    assert check(content, headers, now=datetime.now(UTC)).type == "product.updated"
    told = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1,{'B' if told[3] == 'A' else 'A'}{told[4:]}"
    with pytest.raises(PolarWebhookVerificationError):
        validate_event(content, headers, SECRET, kinds, dict)
    with pytest.raises(InvalidSignature):
        check(content, headers, now=datetime.now(UTC))


def assert_acknowledged(folder: Path, **options: Any) -> None:
    """Measured up to three times: what else the machine does in one of them is not the shop's."""
    figures: list[str] = []
    for number in range(3):
        figure = acknowledged(folder / str(number), seconds=4, **options)
        if figure.kept:
            return
        figures.append(str(figure))
    raise AssertionError(figures)


@pytest.mark.alone
def test_a_webhook_does_not_wait_for_the_sites_functions(tmp_path: Path) -> None:
    """R8, small: fifty a second are kept and answered while functions sleep half a minute."""
    assert_acknowledged(tmp_path)


@pytest.mark.alone
@pytest.mark.postgresql
def test_nor_with_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """R8, small, over PostgreSQL."""
    assert_acknowledged(tmp_path, url=postgres_url)
