from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storefront.errors import LinkError
from storefront.polar import LINK_KEY, UNSET, check_link_fields
from storefront.polar.checks import check_id, check_key
from tests.contract.recordings import Recording, load

PRODUCT_ID = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
OTHER_ID = "86a42a32-be59-48d3-a0ad-6249a2f62ae9"

BODIES = [
    recording
    for recording in load()
    if recording.name.startswith(("checkout-links_create_", "checkout-links_update_"))
    and isinstance(recording.request_body, dict)
]

#: What Polar took, and is refused here all the same, with the reason.
STRICTER = {
    "create_legacy_product_id": "a link is made of products; answers of this kind are understood",
    "create_legacy_product_price_id": "a link is made of products",
    "create_organization_id_ignored": "Polar drops it without a word: the token has one",
    "create_unknown_field_ignored": "Polar drops it without a word: it is misspelt",
    "create_success_url_lower_placeholder": "the buyer would arrive without an id",
    "create_success_url_pre_encoded": "one of its two placeholders is never replaced",
    "create_metadata_50_keys": "storefront_key takes a place",
    "create_allow_discount_codes_string": "'yes' is no bool, and 'no' would look true in Python",
    "update_products_null": "Polar changes nothing, without a word",
    "update_client_secret_ignored": "Polar drops it without a word: a link keeps its address",
    "update_payment_processor": "Polar drops it without a word",
    "update_unknown_field": "Polar drops it without a word: it is misspelt",
}

#: What Polar refused, and only Polar can judge, with the reason.
LEFT_TO_POLAR = {
    "create_archived_product": "what became of the product",
    "create_unknown_and_known_product": "whether there is such a product",
    "create_unknown_product": "whether there is such a product",
    "create_draft_product": "what became of the product",
    "create_other_org_product": "whose product it is",
    "create_discount_unknown": "whether there is such a discount",
    "create_seats_below_min": "what the product's price allows",
    "create_seats_on_non_seat": "what prices the product has",
    "create_units_on_non_unit": "what prices the product has",
    "create_missing_payment_processor": "nothing: create adds it",
    "update_malformed_id": "nothing: the body is fine, and update checks the id",
    "update_unknown_product": "whether there is such a product",
}


def short_name(recording: Recording) -> str:
    return recording.name.removeprefix("checkout-links_")


def complaint(fields: Mapping[str, Any], *, creating: bool = False) -> LinkError | None:
    """What the check has to say of these fields."""
    try:
        check_link_fields(fields, creating=creating)
    except LinkError as exc:
        return exc
    return None


@pytest.mark.parametrize("recording", BODIES, ids=short_name)
def test_what_polar_takes_passes(recording: Recording) -> None:
    """A body that Polar took passes, one that it refused is refused: but for two closed lists."""
    if recording.status not in (200, 201, 422, 500):
        return  # refused for who asked, or where
    name = short_name(recording)
    is_wrong = name not in LEFT_TO_POLAR if recording.status >= 400 else name in STRICTER
    found = complaint(recording.request_body, creating=recording.method == "POST")
    assert (found is not None) == is_wrong, found


def test_the_lists_of_exceptions_are_closed() -> None:
    """Each exception is one of the recordings."""
    assert STRICTER.keys() | LEFT_TO_POLAR.keys() <= {short_name(each) for each in BODIES}


def refused(fields: Mapping[str, Any], *, creating: bool = True) -> str:
    """Check fields that are no good, and give the name of the one that is told."""
    if creating:
        fields = {"products": [PRODUCT_ID]} | dict(fields)
    with pytest.raises(LinkError) as caught:
        check_link_fields(fields, creating=creating)
    assert str(caught.value).startswith(caught.value.field + ": ")
    return caught.value.field


@pytest.mark.parametrize("creating", [True, False])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("products", []),
        ("products", PRODUCT_ID),
        ("products", None),
        ("products", 5),
        ("products", {PRODUCT_ID}),
        ("products", [PRODUCT_ID, None]),
        ("products", [PRODUCT_ID, ""]),
        ("products", [PRODUCT_ID, PRODUCT_ID.upper()]),
        ("products", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
        ("products", [PRODUCT_ID.replace("-", "")]),
        ("products", [PRODUCT_ID + "\n"]),
        ("discount_id", "SUMMER"),
        ("discount_id", 5),
        ("discount_id", ""),
        ("label", 5),
        ("label", "a\0b"),
        ("label", "two\nlines"),
        ("label", "\x9b31m"),
        ("label", "half \ud83d"),
        ("allow_discount_codes", None),
        ("allow_discount_codes", "yes"),
        ("allow_discount_codes", 1),
        ("require_billing_address", None),
        ("require_billing_address", 0),
        ("seats", 0),
        ("seats", 10_001),
        ("seats", True),
        ("seats", 2.0),
        ("seats", "2"),
        ("units", 0),
        ("units", 2**31),
        ("metadata", None),
        ("metadata", []),
        ("metadata", "a"),
        ("metadata", {"": "v"}),
        ("metadata", {"k" * 41: "v"}),
        ("metadata", {5: "v"}),
        ("metadata", {"k\0": "v"}),
        ("metadata", {"k\ud800": "v"}),
        ("metadata", {"k": ""}),
        ("metadata", {"k": "v" * 501}),
        ("metadata", {"k": "a\0b"}),
        ("metadata", {"k": "half \ud83d"}),
        ("metadata", {"k": None}),
        ("metadata", {"k": ["v"]}),
        ("metadata", {"k": b"v"}),
        ("metadata", {"k": float("nan")}),
        ("metadata", {"k": float("inf")}),
        ("metadata", {"k": -float("inf")}),
        ("metadata", {"k": 2**64}),
        ("metadata", {"k": -(2**63) - 1}),
        ("metadata", {f"k{number}": "v" for number in range(51)}),
        ("slug", "x"),
        ("product_id", PRODUCT_ID),
        ("key", "x"),
    ],
)
def test_what_can_not_be_right(field: str, value: object, creating: bool) -> None:
    """A value that Polar fails on, drops or misreads is refused by its name."""
    assert refused({field: value}, creating=creating) == field


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "thanks",
        "/thanks",
        "//shop.example.com/thanks",
        "https:",
        "https:///thanks",
        "https:shop.example.com",
        "ftp://shop.example.com/",
        "javascript:alert(1)",
        "myapp://thanks",
        " https://shop.example.com/",
        "https://shop.example.com/ ",
        "https://shop.example.com/\n",
        "https://shop.example.com/\0",
        "https://shop.example.com/\ud800",
        "https://shop.example.com\\thanks",
        "https://shop example.com/",
        "https://{CHECKOUT_ID}.example.com/",
        "https://shop%2eexample.com/",
        "https://.example.com/",
        "https://300.1.1.1/",
        "https://1.2.3/",
        "https://0x7f/",
        "https://xn--é.example.com/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://[x]@1.2/",
        "https://[::1]@/",
        "https://\u2100.example.com/",
        "https://" + "a" * 64 + ".example.com/",
        "https://[::x]/",
        "https://shop.example.com:port/",
        "https://shop.example.com:99999/",
        "https://shop.example.com/" + "a" * 2059,
        "https://shop.example.com/" + "é" * 1000,
        5,
        b"https://shop.example.com/",
    ],
)
@pytest.mark.parametrize("field", ["success_url", "return_url"])
def test_urls_that_are_none(field: str, url: object) -> None:
    """A URL that a browser could not be sent to is refused."""
    assert refused({field: url}) == field


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.com",
        "HTTPS://Shop.Example.COM/thanks",
        "http://localhost:5000/thanks?id={CHECKOUT_ID}",
        "http://127.0.0.1:5000/",
        "http://[::1]:5000/",
        "https://shop.example.com:/",
        "https://me@shop.example.com:8443/",
        "https://shop.example.com./",
        "https://a_b.example.com/",
        "https://bücher.example/danke?id={CHECKOUT_ID}",
        "https://☃.example/",
        "https://shop.example.com/th anks/{CHECKOUT_ID}/é?x=a b&y={OTHER}#{CHECKOUT_ID}",
        "https://shop.example.com/?id=%7BCHECKOUT_ID%7D",
        "https://shop.example.com/?CHECKOUT_ID={CHECKOUT_ID}",
        "https://shop.example.com/?a[checkout_id]={CHECKOUT_ID}",
        "https://shop.example.com/?a%5Bcheckout_id%5D={CHECKOUT_ID}",
        "https://shop.example.com/checkout-id/{CHECKOUT_ID}",
        "https://shop.example.com/checkout/id",
        "https://shop.example.com/?sort=checkout_id",
        "https://shop.example.com/" + "a" * 2058,
    ],
)
def test_urls_that_are_fine(url: str) -> None:
    """A URL may be of any host, and may have Polar's placeholder anywhere behind it."""
    check_link_fields({"success_url": url}, creating=False)


@pytest.mark.parametrize(
    "spelling",
    [
        "{checkout_id}",
        "{Checkout_Id}",
        "{CHECKOUT-ID}",
        "{CHECKOUT ID}",
        "{CHECKOUTID}",
        "{checkoutId}",
        "{CHECKOUT_SESSION_ID}",
        "{{CHECKOUT_ID}}",
        "{{ CHECKOUT_ID }}",
        "${CHECKOUT_ID}",
        "{CHECKOUT_ID",
        "CHECKOUT_ID}",
        "CHECKOUT_ID",
        "$CHECKOUT_ID",
        ":checkout_id",
        "<CHECKOUT_ID>",
        "[CHECKOUT_ID]",
        "(CHECKOUT_ID)",
        "%7bCHECKOUT_ID%7d",
        "%7Bcheckout_id%7D",
        "%7BCHECKOUT_ID%7d",
        "{CHECKOUT_ID%7D",
        "%257BCHECKOUT_ID%257D",
    ],
)
@pytest.mark.parametrize("where", ["thanks?id=%s", "thanks?id=%s&x=y", "%s/thanks", "thanks#id=%s"])
def test_placeholders_that_are_never_replaced(spelling: str, where: str) -> None:
    """A placeholder that Polar would leave as it is, is refused with the one that is right."""
    if where == "%s/thanks" and not any(mark in spelling for mark in "{}$:<[(%"):
        return  # a directory may have that name
    url = "https://shop.example.com/" + where.replace("%s", spelling)
    with pytest.raises(LinkError, match=r"write \{CHECKOUT_ID\}"):
        check_link_fields({"success_url": url}, creating=False)
    check_link_fields({"return_url": url}, creating=False)


@pytest.mark.parametrize(
    ("trial", "field"),
    [
        ({"trial_interval": "day"}, "trial_interval_count"),
        ({"trial_interval_count": 3}, "trial_interval"),
        ({"trial_interval": "day", "trial_interval_count": None}, "trial_interval_count"),
        ({"trial_interval": None, "trial_interval_count": 3}, "trial_interval"),
        ({"trial_interval": "hour", "trial_interval_count": 3}, "trial_interval"),
        ({"trial_interval": "", "trial_interval_count": 3}, "trial_interval"),
        ({"trial_interval": ["day"], "trial_interval_count": 3}, "trial_interval"),
        ({"trial_interval": "day", "trial_interval_count": 0}, "trial_interval_count"),
        ({"trial_interval": "day", "trial_interval_count": 1001}, "trial_interval_count"),
        ({"trial_interval": "day", "trial_interval_count": True}, "trial_interval_count"),
    ],
)
@pytest.mark.parametrize("creating", [True, False])
def test_trials_have_two_parts(trial: dict[str, object], field: str, creating: bool) -> None:
    """A trial's unit and its number go together."""
    assert refused(trial, creating=creating) == field


def test_clearing_half_a_trial() -> None:
    """Both parts of a trial are cleared together; in a new link there is nothing to clear."""
    for name, other in (
        ("trial_interval", "trial_interval_count"),
        ("trial_interval_count", "trial_interval"),
    ):
        assert refused({name: None}, creating=False) == other
        check_link_fields({"products": [PRODUCT_ID], name: None}, creating=True)
        check_link_fields(
            {name: None, other: UNSET, "label": UNSET} | {other: None}, creating=False
        )


def test_what_may_be_cleared() -> None:
    """None clears what a link can do without; what is UNSET is not looked at."""
    names = ("label", "discount_id", "success_url", "return_url", "seats", "units")
    check_link_fields(dict.fromkeys(names), creating=False)
    check_link_fields({"products": UNSET, "metadata": UNSET, "slug": UNSET}, creating=False)
    check_link_fields({}, creating=False)


def test_a_new_link() -> None:
    """A new link needs products, goes through the one processor, and leaves room for its key."""
    with pytest.raises(LinkError, match="products: is missing"):
        check_link_fields({"label": "x"}, creating=True)
    assert refused({"payment_processor": "paddle"}) == "payment_processor"
    assert refused({"payment_processor": None}) == "payment_processor"
    assert refused({"payment_processor": "stripe"}, creating=False) == "payment_processor"
    assert refused({"metadata": {LINK_KEY: "x"}}) == "metadata"
    check_link_fields({"metadata": {LINK_KEY: "x"}}, creating=False)
    pairs = {f"k{number}": "v" for number in range(50)}
    assert refused({"metadata": pairs}) == "metadata"
    check_link_fields({"metadata": pairs}, creating=False)
    del pairs["k0"]
    fields = {"products": (PRODUCT_ID, OTHER_ID.upper()), "metadata": pairs}
    check_link_fields(fields | {"payment_processor": "stripe"}, creating=True)


def test_ids_and_keys() -> None:
    """An id comes back in small letters; a key must fit into metadata."""
    assert check_id("id", PRODUCT_ID.upper()) == PRODUCT_ID
    assert check_key("é" * 500) == "é" * 500
    for key in ("", "k" * 501, "a\0", None, 5):
        with pytest.raises(LinkError, match=r"^key: "):
            check_key(key)


# --- against what Polar's OpenAPI document and its database allow ------------------------------

TEXTS = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(
    ["", "\0", "k" * 40, "k" * 41, "v" * 500, "v" * 501, "😀" * 500, "\ud83d"]
)
VALUES = (
    TEXTS
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 2, 2**64 + 1)
    | st.floats()
    | st.none()
    | st.lists(st.integers(), max_size=2)
)


def is_stored(text: str, longest: int) -> bool:
    """Tell whether Polar's model takes the text, UTF-8 can carry it and its database keep it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return 1 <= len(text) <= longest and "\0" not in text


def is_value(value: object) -> bool:
    if isinstance(value, str):
        return is_stored(value, 500)
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    # What is no finite number is written as null, which is refused.
    return isinstance(value, float) and json.dumps(value)[-1].isdigit()


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
@example({"k": 12345678901234567890})
@example({"k": True, "f": 1.5, "neg": -3})
def test_any_metadata(metadata: dict[str, Any]) -> None:
    """Metadata passes when, and only when, each pair can be sent, taken and kept; what passes
    arrives as it was."""
    is_fine = all(is_stored(key, 40) and is_value(value) for key, value in metadata.items())
    found = complaint({"metadata": metadata})
    if found is None:
        assert is_fine
        assert json.loads(msgspec.json.encode(metadata)) == metadata
    else:
        assert not is_fine
        assert found.field == "metadata"
        assert str(found).isprintable()


SCHEMES = st.sampled_from(["https://", "http://", "HTTPS://", "ftp://", "https:", "//", ""])
HOSTS = st.sampled_from(
    ["shop.example.com", "localhost:5000", "bücher.example", "1.2.3.4", "[::1]", "", "a b", "a:x"]
)
PIECES = st.sampled_from(
    [
        "/",
        "thanks",
        "?",
        "id=",
        "&",
        "#",
        "é",
        " ",
        "%20",
        "{",
        "}",
        "{CHECKOUT_ID}",
        "a" * 700,
        "%7BCHECKOUT_ID%7D",
        "%7bCHECKOUT_ID%7d",
        "{checkout_id}",
        "\n",
        "\0",
        "\\",
        "{OTHER}",
    ]
)


@given(SCHEMES, HOSTS, st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join))
def test_any_success_url(scheme: str, host: str, rest: str) -> None:
    """What passes is a whole http or https URL of a length that Polar takes, in which nothing
    that looks like a placeholder is left once the right ones are replaced."""
    url = f"{scheme}{host}{'/' if rest else ''}{rest}"
    if found := complaint({"success_url": url}):
        assert found.field == "success_url"
        return
    parts = urlsplit(url)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert 1 <= len(url.encode()) <= 2083
    assert not set(url) & {"\n", "\0", "\\"}
    arrived = url.replace("%7BCHECKOUT_ID%7D", "{CHECKOUT_ID}").replace("{CHECKOUT_ID}", "8f3c")
    assert "%7bCHECKOUT_ID%7d" not in arrived
    assert "{checkout_id}" not in arrived
    assert "{8f3c}" not in arrived


@given(st.text())
def test_any_label(label: str) -> None:
    """A label passes when it is one line of text, however long and in whatever script."""
    has_control = any(ord(each) < 32 or 127 <= ord(each) < 160 for each in label)
    assert (complaint({"label": label}) is not None) == has_control
