from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storefront import links
from storefront.errors import LinkError
from storefront.links import (
    LOCALES,
    MAX_URL_CHARACTERS,
    checkout_url,
    read_query,
    utm_parameters,
)
from storefront.polar.models import (
    AttachedCustomField,
    CheckoutLink,
    CustomField,
    Price,
    Product,
)

URL = "https://buy.polar.sh/polar_cl_x"
EBOOK = "4d9da0c8-624a-4ab4-b70c-408c28772d94"
SUPPORT = "17ce488b-94e3-4d51-a3f5-c3a68a0312f5"
ZERO = "1b9d770c-8b6a-4a41-8906-fc6687b475f6"
OTHER = "5de31958-81bf-4b61-9ec3-d1326014606b"


def field(type: str, slug: str, required: bool = False, **properties: Any) -> AttachedCustomField:
    return AttachedCustomField(
        custom_field=CustomField(type=type, slug=slug, properties=properties), required=required
    )


FIELDS = (
    field("text", "github-handle", min_length=2, max_length=39),
    field("text", "note"),
    field("select", "team_size", options=[{"value": "s", "label": "S"}, {"value": "l"}]),
    field("number", "guests", ge=1, le=8),
    field("number", "year"),
    field("checkbox", "gift"),
    field("checkbox", "terms", required=True),
    field("date", "birthday"),
    field("hologram", "new"),
)


def custom_price(minimum: int | None, maximum: int | None, currency: str = "usd") -> Price:
    return Price(
        id="p",
        amount_type="custom",
        price_currency=currency,
        minimum_amount=minimum,
        maximum_amount=maximum,
    )


LINK = CheckoutLink(
    id="link",
    url=URL,
    metadata={"utm_source": "link-own"},
    products=(
        Product(
            id=EBOOK,
            name="Ebook",
            prices=(Price(id="p", price_amount=2900),),
            attached_custom_fields=FIELDS,
        ),
        Product(id=SUPPORT, name="Support us", prices=(custom_price(500, 50_000),)),
        Product(id=ZERO, name="Any price", prices=(custom_price(0, None),)),
    ),
)


def at(url: str) -> CheckoutLink:
    return msgspec.structs.replace(LINK, url=url)


# --- the URL -----------------------------------------------------------------------------------


def test_nothing_given_is_the_links_own_url() -> None:
    """Without values, and with None and empty ones, the URL stays as it is."""
    assert checkout_url(LINK) == URL
    assert checkout_url(LINK, customer_email=None, customer_name="", utm_source="") == URL
    assert checkout_url(LINK, custom_field_data={"note": ""}) == URL


def test_everything_given() -> None:
    """Each argument is the parameter that Polar reads, written as Polar reads it back exactly."""
    url = checkout_url(
        LINK,
        product_id=SUPPORT.upper(),
        customer_email="jane+x@example.com",
        customer_name="Ján Ďuriš & <b>",
        discount_code="LAUNCH20",
        amount=2000,
        locale="fr",
        reference_id="ref/1",
        utm_source="tw",
        utm_medium="social",
        utm_campaign="a b",
        utm_content="100%",
        utm_term="😀",
        theme="dark",
    )
    assert url == (
        f"{URL}?product_id={SUPPORT}&customer_email=jane%2Bx%40example.com"
        "&customer_name=J%C3%A1n%20%C4%8Euri%C5%A1%20%26%20%3Cb%3E&discount_code=LAUNCH20"
        "&amount=2000&locale=fr&reference_id=ref%2F1&utm_source=tw&utm_medium=social"
        "&utm_campaign=a%20b&utm_content=100%25&utm_term=%F0%9F%98%80&theme=dark"
    )


@pytest.mark.parametrize(
    ("own", "url"),
    [
        (f"{URL}?a=b", f"{URL}?a=b&utm_source=x"),
        (f"{URL}?", f"{URL}?utm_source=x"),
        (f"{URL}?a=b&", f"{URL}?a=b&utm_source=x"),
        (f"{URL}#buy", f"{URL}?utm_source=x#buy"),
        (f"{URL}?a=1+2&a=%20#buy?now", f"{URL}?a=1+2&a=%20&utm_source=x#buy?now"),
        (f"{URL}?utm_source=y&a=b&utm_source=z", f"{URL}?a=b&utm_source=x"),
        (f"{URL}?utm%5Fsource=y&utm_sources=z", f"{URL}?utm_sources=z&utm_source=x"),
        (f"{URL}?utm_source", f"{URL}?utm_source=x"),
    ],
)
def test_the_links_own_query_stays(own: str, url: str) -> None:
    """What the URL has already survives as it is written, but for what is given anew."""
    assert checkout_url(at(own), utm_source="x") == url


def test_what_is_left_out_replaces_nothing() -> None:
    """A parameter of the link's own URL stays when the argument is empty or unfit."""
    own = f"{URL}?customer_email=a%40example.com"
    assert checkout_url(at(own), customer_email="") == own
    assert checkout_url(at(own), customer_email="none", lenient=True) == own


def test_metadata_of_the_link_is_no_reason_to_refuse() -> None:
    """The link's own utm_source wins at Polar; giving another one is not an error."""
    assert checkout_url(LINK, utm_source="query") == f"{URL}?utm_source=query"


def test_a_url_that_gets_too_long() -> None:
    """The longest value is named; a visitor's is left out."""
    with pytest.raises(LinkError, match=r"utm_term: the URL would have 9,\d+ char") as caught:
        checkout_url(LINK, utm_source="s" * 600, utm_term="t" * 9000)
    assert caught.value.field == "utm_term"
    url = checkout_url(LINK, utm_source="s" * 600, utm_term="t" * 9000, lenient=True)
    assert url == f"{URL}?utm_source={'s' * 600}"
    assert len(checkout_url(LINK, utm_term="t" * (MAX_URL_CHARACTERS - len(URL) - 10))) == 8000


# --- values that Polar would drop, or answer with an error -------------------------------------


def refused(field: str, told: str, link: CheckoutLink = LINK, **arguments: Any) -> None:
    """The value raises, named in ``field``, and is left out when the call is lenient."""
    with pytest.raises(LinkError) as caught:
        checkout_url(link, **arguments)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert told in str(caught.value)
    assert f"{field}=" not in checkout_url(link, **arguments, lenient=True)
    assert f"{field}." not in checkout_url(link, **arguments, lenient=True)


@pytest.mark.parametrize(
    "email",
    [
        "jane@example.com",
        "JANE@Example.COM",
        "o'hara+a/b@mail.example.co.uk",
        "a@foo.example",
        "jané@exämple.de",
        "a@xn--80ak6aa92e.com",
        "a" * 65 + "@x.com",
    ],
)
def test_emails_that_polar_takes(email: str) -> None:
    """An address goes along exactly as it was given."""
    assert parse_qsl(urlsplit(checkout_url(LINK, customer_email=email)).query) == [
        ("customer_email", email)
    ]


@pytest.mark.parametrize(
    ("email", "told"),
    [
        ("notanemail", "it has no @"),
        ("a@localhost", "a domain such as example.com is needed"),
        ("a@foo.test", "at .test, a domain that no mail reaches"),
        ("a@foo.localhost", "at .localhost"),
        ("a@foo.invalid", "at .invalid"),
        ("a@foo.local", "at .local"),
        ("a@", "a domain such as"),
        ("@example.com", "before the @"),
        ("jane x@example.com", "before the @"),
        ("a@b@example.com", "before the @"),
        (".a@example.com", "before the @"),
        ("a..b@example.com", "before the @"),
        ('"q q"@example.com', "before the @"),
        ("Jane <jane@example.com>", "before the @"),
        ("a\u200b@example.com", "before the @"),
        ("a@example.com ", "a domain such as"),
        ("a@example..com", "a domain such as"),
        ("a@example.com.", "a domain such as"),
        ("a@-example.com", "a domain such as"),
        ("a@ex_ample.com", "a domain such as"),
        ("a@ab--c.com", "a domain such as"),
        ("a@[1.2.3.4]", "a domain such as"),
        ("a@1.2.3.4", "a domain such as"),
        ("a@" + "b" * 64 + ".com", "a domain such as"),
        ("a" * 250 + "@example.com", "a domain such as"),
        ("a@example.com\n", "U+000A"),
    ],
)
def test_emails_that_polar_drops(email: str, told: str) -> None:
    """An address that Polar would drop in silence is refused."""
    refused("customer_email", told, customer_email=email)


@pytest.mark.parametrize("product_id", ["zzz", EBOOK[:-1], f"{{{EBOOK}}}", EBOOK + "\n"])
def test_a_product_id_that_is_none(product_id: str) -> None:
    """What Polar answers with a 422 is refused."""
    refused("product_id", "", product_id=product_id)


def test_a_product_that_is_not_on_the_link() -> None:
    """Polar would choose the first product without a word; the message lists those on the link."""
    refused("product_id", f"It sells {EBOOK} (Ebook), {SUPPORT} (Support us)", product_id=OTHER)
    refused("product_id", "It sells nothing", CheckoutLink(id="a", url=URL), product_id=OTHER)


@pytest.mark.parametrize(
    ("product_id", "amount"),
    [(SUPPORT, 500), (SUPPORT, 50_000), (ZERO, 0), (ZERO, 99_999_999)],
)
def test_amounts_that_polar_takes(product_id: str, amount: int) -> None:
    """Both ends of the range are in it, and 0 where the price says so."""
    url = checkout_url(LINK, product_id=product_id, amount=amount)
    assert url == f"{URL}?product_id={product_id}&amount={amount}"


@pytest.mark.parametrize(
    ("product_id", "amount", "told"),
    [
        (SUPPORT, 499, "must be from 500 to 50000, in minor units"),
        (SUPPORT, 50_001, "must be from 500 to 50000"),
        (SUPPORT, 0, "must be from 500"),
        (SUPPORT, -5, "must be from 500"),
        (SUPPORT, 15.5, "must be an int, in minor units: 1500 for 15.00"),
        (SUPPORT, "1500", "must be an int"),
        (SUPPORT, True, "must be an int"),
        (SUPPORT, float("inf"), "must be an int"),
        (ZERO, -1, "must be 0 or more"),
        pytest.param(ZERO, 10**5000, "must be 0 or more", id="huge"),
        (EBOOK, 2900, "'Ebook' has no pay-what-you-want price"),
        (None, 2900, "'Ebook' has no pay-what-you-want price"),
    ],
)
def test_amounts_that_polar_ignores(product_id: str | None, amount: Any, told: str) -> None:
    """An amount for a fixed price, or out of the range, is refused."""
    refused("amount", told, product_id=product_id, amount=amount)


def test_an_amount_of_any_currency() -> None:
    """Which currency the buyer gets is not known here: an amount that one price takes will do."""
    product = Product(id=EBOOK, prices=(custom_price(500, None), custom_price(80, 90, "jpy")))
    link = CheckoutLink(id="a", url=URL, products=(product,))
    assert checkout_url(link, amount=85) == f"{URL}?amount=85"
    refused("amount", "must be 500 or more", link, amount=91)


def test_an_amount_of_an_older_price() -> None:
    """A price without a minimum takes anything but 0; an archived one takes nothing."""
    price = custom_price(None, None)
    link = CheckoutLink(id="a", url=URL, products=(Product(id=EBOOK, prices=(price,)),))
    assert checkout_url(link, amount=1) == f"{URL}?amount=1"
    refused("amount", "must be 1 or more", link, amount=0)
    archived = Product(id=EBOOK, prices=(msgspec.structs.replace(price, is_archived=True),))
    refused(
        "amount", "no pay-what-you", CheckoutLink(id="a", url=URL, products=(archived,)), amount=1
    )
    refused("amount", "the product has no pay-what-you", CheckoutLink(id="a", url=URL), amount=1)


@pytest.mark.parametrize(
    ("locale", "sent"),
    [
        *((locale, locale) for locale in LOCALES),
        ("FR", "fr"),
        ("fr-CA", "fr"),
        ("en_GB", "en"),
        ("pt-PT", "pt-PT"),
        ("pt_pt", "pt-PT"),
        ("pt-BR", "pt"),
        ("de-Latn-DE", "de"),
    ],
)
def test_locales(locale: str, sent: str) -> None:
    """A region that Polar has no translation for falls back to its language."""
    assert checkout_url(LINK, locale=locale) == f"{URL}?locale={sent}"


@pytest.mark.parametrize("locale", ["zh", "xx-FR", "fra", "*", "fr\n", "-fr", "-"])
def test_locales_that_polar_does_not_speak(locale: str) -> None:
    """Any other locale is refused, and the message lists those there are."""
    refused("locale", "" if "\n" in locale else "en, nl, es, fr, sv", locale=locale)


@pytest.mark.parametrize("theme", ["Dark", "auto", 1, ["dark"]])
def test_themes_that_are_none(theme: Any) -> None:
    """There are two themes."""
    refused("theme", "must be one of light, dark", theme=theme)


TEXTS = ["customer_name", "discount_code", "reference_id", "utm_source", "utm_medium"]
TEXTS += ["utm_campaign", "utm_content", "utm_term"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\0b", "U+0000"),
        ("a\r\nLocation: x", "U+000D"),
        ("\x1b[31m", "U+001B"),
        ("\ud83d", "U+D83D"),
        (5, "must be a string, not int"),
        (b"a", "must be a string, not bytes"),
    ],
)
def test_texts_that_are_none(name: str, value: Any, told: str) -> None:
    """Control characters, of which Polar answers NUL with a 500, are refused everywhere."""
    refused(name, told, **{name: value})


# --- custom fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "value", "sent"),
    [
        ("github-handle", "octocat", "octocat"),
        ("github-handle", "x" * 39, "x" * 39),
        ("note", "two\r\nlines\t", "two%0D%0Alines%09"),
        ("note", 42, "42"),
        ("team_size", "l", "l"),
        ("guests", 8, "8"),
        ("guests", "1", "1"),
        ("year", -44, "-44"),
        ("gift", True, "true"),
        ("gift", False, "false"),
        ("gift", "true", "true"),
        ("terms", True, "true"),
        ("birthday", "2026-11-22", "2026-11-22"),
        ("new", "anything", "anything"),
    ],
)
def test_custom_fields_that_polar_takes(slug: str, value: str | int | bool, sent: str) -> None:
    """A value is written as its field's kind is read."""
    url = checkout_url(LINK, custom_field_data={slug: value})
    assert url == f"{URL}?custom_field_data.{slug}={sent}"


@pytest.mark.parametrize(
    ("slug", "value", "told"),
    [
        ("nope", "x", "'Ebook' has no custom field 'nope'; it has 'github-handle', 'note'"),
        ("a b", "x", "a slug has small letters"),
        ("a&b", "x", "a slug has small letters"),
        (5, "x", "a slug has small letters"),
        ("github-handle", "x" * 40, "'github-handle' has 40 characters; 2 to 39 are allowed"),
        ("github-handle", "x", "has 1 characters"),
        ("note", "a\0b", "U+0000"),
        pytest.param("note", 10**5000, "out of all bounds", id="huge"),
        ("note", 1.5, "must be a string, an int or a bool"),
        ("team_size", "zzz", "'team_size' must be one of s, l"),
        ("team_size", True, "must be one of s, l"),
        ("guests", 9, "'guests' is 9; 1 to 8 is allowed"),
        ("guests", 0, "1 to 8"),
        ("guests", "1.5", "must be an integer"),
        ("guests", True, "must be an integer"),
        ("guests", "9" * 5000, "must be an integer"),
        ("guests", "٣", "must be an integer"),
        ("gift", "maybe", "must be True or False"),
        ("terms", False, "has to be ticked"),
        ("birthday", "22.11.2026", "must be a date such as 2026-11-22"),
        ("birthday", "2026-02-30", "must be a date"),
        ("birthday", "20261122", "must be a date"),
    ],
)
def test_custom_fields_that_polar_drops(slug: Any, value: Any, told: str) -> None:
    """One such value would make Polar drop all of them, so it is refused."""
    refused("custom_field_data", told, custom_field_data={slug: value})


def test_good_fields_stay_beside_a_bad_one() -> None:
    """A lenient call leaves out the one value for which Polar would drop all."""
    data = {"team_size": "zzz", "github-handle": "octocat"}
    url = checkout_url(LINK, custom_field_data=data, lenient=True)
    assert url == f"{URL}?custom_field_data.github-handle=octocat"


def test_the_chosen_product_has_the_fields() -> None:
    """Fields are those of the product that ``product_id`` names, not of the first."""
    products = (
        msgspec.structs.replace(LINK.products[1], attached_custom_fields=()),
        LINK.products[0],
    )
    link = msgspec.structs.replace(LINK, products=products)
    refused("custom_field_data", "'note'; it has none", link, custom_field_data={"note": "x"})
    url = checkout_url(link, product_id=EBOOK, custom_field_data={"note": "x"})
    assert url == f"{URL}?product_id={EBOOK}&custom_field_data.note=x"


def test_fields_that_are_not_known() -> None:
    """Products as links carry them don't list their fields: then any slug goes along."""
    unknown = msgspec.structs.replace(LINK.products[0], attached_custom_fields=None)
    for products in ((unknown,), ()):
        link = msgspec.structs.replace(LINK, products=products)
        url = checkout_url(link, custom_field_data={"nope": "x y"})
        assert url == f"{URL}?custom_field_data.nope=x%20y"
    refused("custom_field_data", "a slug", link, custom_field_data={"A": "x"})


def test_a_field_with_odd_properties() -> None:
    """Properties of another shape than today's refuse nothing, and break nothing."""
    odd = (
        field("text", "a", max_length="9"),
        field("number", "b", ge=None, le=[1]),
        field("text", "c", max_length=1),
        field("text", "d", min_length=3),
        field("select", "e", options=["x"]),
        field("select", "f"),
    )
    product = msgspec.structs.replace(LINK.products[0], attached_custom_fields=odd)
    link = msgspec.structs.replace(LINK, products=(product,))
    assert "a=long+text" not in checkout_url(link, custom_field_data={"a": "long text", "b": 5})
    refused("custom_field_data", "1 at most", link, custom_field_data={"c": "xx"})
    refused("custom_field_data", "3 at least", link, custom_field_data={"d": "xx"})
    refused("custom_field_data", "must be one of", link, custom_field_data={"e": "x"})
    refused("custom_field_data", "must be one of", link, custom_field_data={"f": "x"})


# --- any value at all --------------------------------------------------------------------------

anything = st.one_of(
    st.none(), st.text(st.characters()), st.integers(), st.floats(), st.booleans(), st.binary()
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        name: anything | st.sampled_from([EBOOK, SUPPORT, "a@example.com", "fr", "dark", 500])
        for name in [*TEXTS, "product_id", "customer_email", "amount", "locale", "theme"]
    }
    | {
        "custom_field_data": st.dictionaries(
            st.sampled_from([each.custom_field.slug for each in FIELDS]) | st.text(), anything
        )
    },
)


@given(arguments=arguments)
@example(arguments={"customer_email": "a@\u3002"})
@example(arguments={"customer_email": "a@xn--.com"})
@example(arguments={"customer_email": "a@" + "\xe4" * 300})
def test_no_value_breaks_it(arguments: dict[str, Any]) -> None:
    """Any value is taken or refused with a LinkError, and a lenient call never raises."""
    try:
        strict = checkout_url(LINK, **arguments)
    except LinkError:
        strict = None
    lenient = checkout_url(LINK, **arguments, lenient=True)
    assert strict in (None, lenient)
    assert lenient.isascii()
    assert lenient.isprintable()
    assert " " not in lenient
    assert lenient == URL or lenient.startswith(URL + "?")
    assert len(lenient) <= MAX_URL_CHARACTERS


fit = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\x7f"),
    min_size=1,
    max_size=60,
)


@given(
    texts=st.dictionaries(st.sampled_from(TEXTS), fit, min_size=1),
    note=fit,
    own=st.lists(st.tuples(st.sampled_from("abc"), fit), max_size=3),
    fragment=st.sampled_from(["", "#x", "#a=b&c?d"]),
)
def test_values_come_back_exactly(
    texts: dict[str, Any], note: str, own: list[tuple[str, str]], fragment: str
) -> None:
    """Reading the URL's query gives what was put in, after what the URL had before."""
    link = at(f"{URL}?{urlencode(own)}{fragment}")
    url = checkout_url(link, **texts, custom_field_data={"note": note})
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert query[: len(own)] == own
    assert dict(query[len(own) :]) == texts | {"custom_field_data.note": note}
    assert url.endswith(fragment)


ORDER = (
    *("product_id", "customer_email", "customer_name", "discount_code", "amount", "locale"),
    *("custom_field_data", "reference_id", "utm_source", "utm_medium", "utm_campaign"),
    *("utm_content", "utm_term", "theme"),
)


def straightforward(link: CheckoutLink, *, lenient: bool, **arguments: Any) -> str:
    """``checkout_url`` without its short cuts: each value checked whole, and quoted."""
    pairs: dict[str, tuple[str, str]] = {}
    for field in ORDER:
        values = arguments.get(field)
        for slug, value in (
            (values or {}).items() if field == "custom_field_data" else [("", values)]
        ):
            if value is None or value == "":
                continue
            try:
                text = links._checked(link, arguments.get("product_id"), field, slug, value)
            except LinkError:
                if not lenient:
                    raise
            else:
                pairs[f"{field}.{slug}" if field == "custom_field_data" else field] = (field, text)
    base, hash_, fragment = link.url.partition("#")
    while True:
        query = [
            part
            for part in base.partition("?")[2].split("&")
            if part and unquote_plus(part.partition("=")[0]) not in pairs
        ]
        written = {n: f"{quote(n, safe='')}={quote(t, safe='')}" for n, (_, t) in pairs.items()}
        if not pairs:
            return link.url
        url = f"{base.partition('?')[0]}?{'&'.join([*query, *written.values()])}{hash_}{fragment}"
        if len(url) <= MAX_URL_CHARACTERS:
            return url
        longest = max(written, key=lambda name: len(written[name]))
        if not lenient:
            raise LinkError(pairs[longest][0], "too long")
        del pairs[longest]


emails = st.from_regex(
    r"[a-zA-Z+._-]{1,8}@[a-zA-Z0-9.-]{1,70}\.(com|TEST|local|c0|x)", fullmatch=True
)
likely = st.one_of(
    anything,
    emails,
    st.emails(),
    st.text("aé %+&=#?./\\\"'<>~_-", max_size=30),
    st.sampled_from([EBOOK, SUPPORT, "fr", "dark", 500, "x" * 3000, "jane@example.com"]),
)


@given(
    arguments=st.dictionaries(st.sampled_from([n for n in ORDER if "custom" not in n]), likely),
    fields=st.none() | st.dictionaries(st.sampled_from(["note", "gift", "A"]), likely),
    own=st.sampled_from(["", "?", "?a=b", "?utm_source=y&b", "#f", "?utm%5Fterm=1&#f?x"]),
    lenient=st.booleans(),
)
@example(arguments={"customer_email": "a@b.locaL"}, fields=None, own="", lenient=False)
def test_the_short_cuts_change_nothing(
    arguments: dict[str, Any], fields: dict[str, Any] | None, own: str, lenient: bool
) -> None:
    """Any values give the URL, or the error, that the straightforward way gives."""
    link = at(URL + own)

    def outcome(make: Any) -> str:
        try:
            return str(make(link, **arguments, custom_field_data=fields, lenient=lenient))
        except LinkError as error:
            return f"{error.field} is wrong"

    assert outcome(checkout_url) == outcome(straightforward)


# --- the page's own campaign -------------------------------------------------------------------


def test_utm_parameters_of_a_page() -> None:
    """The five are picked out of a query, whatever else is in it."""
    query = {
        "utm_source": "tw",
        "utm_medium": "",
        "utm_campaign": "a\r\n\0b",
        "utm_term": "t" * 600,
        "UTM_CONTENT": "x",
        "utm_id": "x",
        "product_id": "x",
    }
    assert utm_parameters(query) == {
        "utm_source": "tw",
        "utm_campaign": "ab",
        "utm_term": "t" * 500,
    }


@given(st.dictionaries(st.sampled_from([*TEXTS, "x"]), st.text(st.characters())))
def test_utm_parameters_fit_a_link(query: dict[str, str]) -> None:
    """What was picked out is never refused."""
    picked: Any = utm_parameters(query)
    url = checkout_url(LINK, **picked)
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == picked


@given(
    st.lists(st.tuples(st.text(st.characters()), st.text(st.characters()))).map(
        lambda pairs: urlencode(pairs, errors="replace")
    )
    | st.text(st.characters(max_codepoint=127))
    | st.text("a=&%+4é0cC;")
)
def test_a_query_is_read_as_the_library_reads_it(query: str) -> None:
    """Of a query as WSGI has it, each name has its first value, as urllib decodes it."""
    expected: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name:
            expected.setdefault(name, value)
    wsgi = query.encode().decode("latin-1")
    assert read_query(wsgi) == expected
