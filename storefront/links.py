"""A checkout link's URL, with what it takes to prefill the checkout and to tell campaigns apart.

Pure functions: nothing is sent, and nothing of Flask is needed. Polar drops most values that it
can't use without a word, and answers some with an error page; here they raise
:class:`~storefront.errors.LinkError`, which says what would be right, or are left out when the
call is ``lenient``.

Source: what Polar's server did with such URLs, 2026-11-22, and its documentation of checkout
links and checkout localization.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote, unquote_plus

from storefront.errors import LinkError
from storefront.polar.models import AttachedCustomField, CheckoutLink, Price, Product

#: The longest URL that is built, in characters: servers and proxies refuse longer ones.
MAX_URL_CHARACTERS = 8000

#: The languages of Polar's checkout page.
LOCALES = (
    *("en", "nl", "es", "fr", "sv", "de", "hu", "it"),
    *("pt", "pt-PT", "ko", "ja", "tr", "pl"),
)

Theme = Literal["light", "dark"]

#: The parameters by which campaigns are told apart.
UTM_NAMES = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
_UTM_CHARACTERS = 500

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SLUG = re.compile(r"[a-z0-9_-]{1,200}")

# Twelve digits are the most that a payment processor takes, in the weakest currencies.
_MAX_AMOUNT = 999_999_999_999

# Polar answers NUL with a 500. The others, and halves of a surrogate pair, which no URL can
# carry, have no place in any of these values.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNFIT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

# What Polar's checker of email addresses accepts, without asking the DNS. An atom has letters of
# all scripts, digits and !#$%&'*+-/=?^_`{|}~; said by what it has not, it compiles in no time.
_EMAIL_ATOM = r"[^\x00-\x20\"(),.:;<>@\[\\\]\x7f]+"
_EMAIL_LOCAL = re.compile(rf"{_EMAIL_ATOM}(\.{_EMAIL_ATOM})*")
_EMAIL_LABEL = re.compile(r"(?:xn-|(?![a-z0-9]{2}--)[a-z0-9])([a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL_RESERVED = ("arpa", "invalid", "local", "localhost", "onion", "test")
_EMAIL_CHARACTERS = 254
# Addresses that need no closer look: each passes the whole check, which is ten times as slow. No
# label can be longer than the whole.
_COMMON_EMAIL_CHARACTERS = 63
_COMMON_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+"
    rf"(?!(?i:{'|'.join(_EMAIL_RESERVED)})\Z)[A-Za-z]{{2,}}"
)

# Arguments of which any text will do.
_PLAIN = frozenset({"customer_name", "discount_code", "reference_id", *UTM_NAMES})
# Two hexadecimal digits, in either case, and the ASCII character that they stand for.
_DECODED = {form: chr(code) for code in range(128) for form in (f"{code:02X}", f"{code:02x}")}
# How each ASCII character is written in a query; all of them, since a look-up that misses costs
# more than one that finds the character itself.
_ENCODED = {code: quote(chr(code), safe="") for code in range(128)}


def checkout_url(
    link: CheckoutLink,
    *,
    product_id: str | None = None,
    customer_email: str | None = None,
    customer_name: str | None = None,
    discount_code: str | None = None,
    amount: int | None = None,
    locale: str | None = None,
    custom_field_data: Mapping[str, str | int | bool] | None = None,
    reference_id: str | None = None,
    utm_source: str | None = None,
    utm_medium: str | None = None,
    utm_campaign: str | None = None,
    utm_content: str | None = None,
    utm_term: str | None = None,
    theme: Theme | None = None,
    lenient: bool = False,
) -> str:
    """Give the link's URL with parameters for one visit.

    None and ``""`` are left out. Parameters and a fragment that the link's URL has already stay,
    except for parameters that are given anew.

    ``product_id`` preselects one of the link's products; without it the first is the chosen one.
    ``amount`` is what to pay in minor units, for a chosen product with a price that the buyer
    names. ``locale`` is one of :data:`LOCALES`, in any case and with ``-`` or ``_``; of a region
    that Polar has no translation for, the language is sent (``fr`` for ``fr-CA``). Polar obeys
    it for organizations that turned checkout localization on.

    ``custom_field_data`` maps the slugs of the chosen product's custom fields to values: text, an
    option's value, an integer, a bool, or a date such as ``2026-11-22``. Products inside a link
    as Polar sends it don't list their fields; then slugs and values can't be compared with them.

    ``reference_id`` and ``utm_…`` are kept in the checkout's metadata and the order's, unless
    the link's own metadata has the same key. ``theme`` is for the checkout page.

    ``lenient`` is for values that come from a visitor: a value that can't be used is left out,
    and nothing raises.

    :raises LinkError: for a value that Polar would drop or answer with an error, naming it in
        ``field``; and when the URL gets longer than 8,000 characters.
    """
    values = {
        "product_id": product_id,
        "customer_email": customer_email,
        "customer_name": customer_name,
        "discount_code": discount_code,
        "amount": amount,
        "locale": locale,
        "custom_field_data": custom_field_data,
        "reference_id": reference_id,
        "utm_source": utm_source,
        "utm_medium": utm_medium,
        "utm_campaign": utm_campaign,
        "utm_content": utm_content,
        "utm_term": utm_term,
        "theme": theme,
    }
    parameters = encode_parameters(link, values, lenient=lenient)
    return with_parameters(link.url, parameters, lenient=lenient)


def encode_parameters(
    link: CheckoutLink | None, values: Mapping[str, Any], *, lenient: bool = False
) -> dict[str, str]:
    """Check arguments of ``checkout_url``, and write each as it stands in a query.

    Gives ``{"utm_source": "utm_source=newsletter"}``, by the parameter's name and in the order
    of ``values``. Without a link nothing is taken that depends on one. ``lenient`` leaves out
    what is no good.

    :raises LinkError: for a value that Polar would drop or answer with an error.
    """
    encoded: dict[str, str] = {}
    for field, value in values.items():
        if value is None or value == "":
            continue
        # Most values are plain: what can be seen at a glance needs no closer look.
        if type(value) is str and value.isascii() and value.isprintable():
            if field in _PLAIN or (
                field == "customer_email"
                and len(value) <= _COMMON_EMAIL_CHARACTERS
                and _COMMON_EMAIL.fullmatch(value)
            ):
                encoded[field] = f"{field}={value.translate(_ENCODED)}"
                continue
        elif field == "custom_field_data":
            for slug, each in value.items():
                if each is not None and each != "":
                    _encode_one(encoded, link, values, (field, slug), each, lenient)
            continue
        _encode_one(encoded, link, values, (field, None), value, lenient)
    return encoded


def with_parameters(url: str, parameters: Mapping[str, str], *, lenient: bool = False) -> str:
    """Add parameters that are encoded to a link's URL, in place of those of the same name.

    ``lenient`` leaves the longest out while the URL is too long.

    :raises LinkError: when the URL gets longer than 8,000 characters.
    """
    made = _with_query(url, parameters)
    if len(made) <= MAX_URL_CHARACTERS:
        return made
    left = dict(parameters)
    while left and len(made) > MAX_URL_CHARACTERS:
        longest = max(left, key=lambda name: len(left[name]))
        if not lenient:
            raise LinkError(
                longest.partition(".")[0],
                f"the URL would have {len(made):,} characters, more than {MAX_URL_CHARACTERS:,}; "
                f"this value is the longest part of it, with {len(left[longest]):,}",
            )
        del left[longest]
        made = _with_query(url, left)
    return made


def utm_parameters(query: Mapping[str, str]) -> dict[str, str]:
    """Pick the five ``utm_…`` parameters out of a page's own query, fit for ``checkout_url``.

    Values are cut to 500 characters and lose their control characters; empty ones are left out.
    """
    found = {}
    for name in UTM_NAMES:
        value = query.get(name)
        if value:
            if not (value.isascii() and value.isprintable()):
                value = _UNFIT.sub("", value)
            if value := value[:_UTM_CHARACTERS]:
                found[name] = value
    return found


def read_query(query: str) -> dict[str, str]:
    """The parameters of a query as WSGI has it (bytes as Latin-1); of several the first counts.

    Bytes that are no UTF-8 become U+FFFD.
    """
    if not query.isascii():
        query = query.encode("latin-1").decode("utf-8", "replace")
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if name and name not in found:
            if "+" in value:
                value = value.replace("+", " ")
            found[name] = _decoded(value) if "%" in value else value
    return found


def _decoded(value: str) -> str:
    """``urllib.parse.unquote``, at a third of its cost where all is ASCII."""
    first, *rest = value.split("%")
    pieces = [first]
    for piece in rest:
        character = _DECODED.get(piece[:2])
        if character is None:
            return unquote(value)
        pieces += (character, piece[2:])
    return "".join(pieces)


def _encode_one(
    encoded: dict[str, str],
    link: CheckoutLink | None,
    values: Mapping[str, Any],
    argument: tuple[str, object],
    value: Any,
    lenient: bool,
) -> None:
    """Check one value thoroughly, and add it."""
    field, slug = argument
    try:
        text = _checked(link, values.get("product_id"), field, slug, value)
    except LinkError:
        if not lenient:
            raise
        return
    name = field if field != "custom_field_data" else f"{field}.{slug}"
    # %20 for a space and %2B for a plus: Polar reads a bare plus as a space, and drops an
    # email address that has one.
    encoded[name] = f"{quote(name, safe='')}={quote(text, safe='')}"


def _checked(
    link: CheckoutLink | None, product_id: object, field: str, slug: object, value: Any
) -> str:
    match field:
        case "customer_email":
            return _email(field, value)
        case "locale":
            return _locale(field, value)
        case "theme":
            return _theme(field, value)
        case "product_id" if link is not None:
            return _product_id(link, field, value)
        case "amount" if link is not None:
            return _amount(_chosen_product(link, product_id), field, value)
        case "custom_field_data" if link is not None:
            return _custom_field(_chosen_product(link, product_id), slug, field, value)
    if field not in _PLAIN:
        raise LinkError(field, "can't be taken without a link")
    return _text(field, value)


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Add parameters to a URL, in place of those of the same name."""
    if not parameters:
        return url
    if "?" not in url and "#" not in url:
        return f"{url}?{'&'.join(parameters.values())}"
    base, hash_, fragment = url.partition("#")
    base, _, query = base.partition("?")
    kept = [
        part
        for part in query.split("&")
        if part and unquote_plus(part.partition("=")[0]) not in parameters
    ]
    return f"{base}?{'&'.join([*kept, *parameters.values()])}{hash_}{fragment}"


def _chosen_product(link: CheckoutLink, product_id: object) -> Product | None:
    wanted = product_id.lower() if isinstance(product_id, str) else None
    for product in link.products:
        if product.id.lower() == wanted:
            return product
    return link.products[0] if link.products else None


def _text(field: str, value: object, unfit: re.Pattern[str] = _UNFIT) -> str:
    if not isinstance(value, str):
        raise LinkError(field, f"must be a string, not {type(value).__name__}")
    if found := unfit.search(value):
        raise LinkError(
            field,
            f"has the character U+{ord(found[0]):04X}, which is no text: Polar fails on some of "
            "these, and nobody can read the others",
        )
    return value


def _product_id(link: CheckoutLink, field: str, value: object) -> str:
    wanted = _text(field, value).lower()
    if not _UUID.fullmatch(wanted):
        raise LinkError(
            field, "must be a product's id, such as 4d9da0c8-624a-4ab4-b70c-408c28772d94"
        )
    if wanted not in (product.id.lower() for product in link.products):
        sold = ", ".join(f"{product.id} ({product.name})" for product in link.products[:5])
        raise LinkError(
            field,
            f"{wanted} is not on this checkout link, so Polar would choose the first product "
            f"instead. It sells {sold or 'nothing'}",
        )
    return wanted


def _email(field: str, value: object) -> str:
    """Check an address as Polar does, which drops those that it does not take.

    Source: Polar's recorded answers of 2026-11-22, and the checker it uses (email-validator 2,
    without a look at the DNS).
    """
    address = _text(field, value)
    local, at, domain = address.rpartition("@")
    if not at:
        raise LinkError(field, "is no email address: it has no @")
    if not local.isprintable() or not _EMAIL_LOCAL.fullmatch(local):
        raise LinkError(field, "is no email address: what stands before the @ can't stand there")
    try:
        labels = domain.encode("idna").decode("ascii").lower().split(".")
        for label in labels:
            if label.startswith("xn--"):
                label.encode("ascii").decode("idna")
    except UnicodeError:
        labels = []
    if (
        len(labels) < 2
        or not all(_EMAIL_LABEL.fullmatch(label) for label in labels)
        or not labels[-1][-1].isalpha()
        or len(address.encode()) > _EMAIL_CHARACTERS
    ):
        raise LinkError(
            field, "is no email address: after the @ a domain such as example.com is needed"
        )
    if labels[-1] in _EMAIL_RESERVED:
        raise LinkError(
            field, f"is at .{labels[-1]}, a domain that no mail reaches: Polar would drop it"
        )
    return address


def _amount(product: Product | None, field: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LinkError(field, "must be an int, in minor units: 1500 for 15.00")
    prices = [
        price
        for price in (product.prices if product is not None else ())
        if price.amount_type == "custom" and not price.is_archived
    ]
    if not prices:
        name = f"{product.name!r}" if product is not None else "the product"
        raise LinkError(field, f"{name} has no pay-what-you-want price; leave the amount out")
    ranges = [_amount_range(price) for price in prices]
    if not any(lowest <= value <= highest for lowest, highest in ranges):
        lowest, highest = ranges[0]
        limit = f"from {lowest} to {highest}" if highest < _MAX_AMOUNT else f"{lowest} or more"
        raise LinkError(
            field, f"must be {limit}, in minor units; Polar would fall back to its preset"
        )
    return str(value)


def _amount_range(price: Price) -> tuple[int, int]:
    # Only a minimum of 0 says that 0 is welcome; older prices may have none.
    lowest = 1 if price.minimum_amount is None else price.minimum_amount
    highest = _MAX_AMOUNT if price.maximum_amount is None else price.maximum_amount
    return lowest, min(highest, _MAX_AMOUNT)


def _locale(field: str, value: object) -> str:
    tag = _text(field, value).replace("_", "-").lower()
    known = {locale.lower(): locale for locale in LOCALES}
    found = known.get(tag) or known.get(tag.partition("-")[0])
    if found is None:
        raise LinkError(field, f"Polar's checkout page speaks {', '.join(LOCALES)}")
    return found


def _theme(field: str, value: object) -> str:
    if value not in get_args(Theme):
        raise LinkError(field, f"must be one of {', '.join(get_args(Theme))}")
    return _text(field, value)


def _custom_field(product: Product | None, slug: object, field: str, value: object) -> str:
    """Check one field's value. One that Polar refuses makes it drop all fields of the URL."""
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise LinkError(
            field, "maps slugs to values; a slug has small letters, digits, hyphens, underscores"
        )
    if not isinstance(value, (str, int)):
        raise LinkError(field, f"{slug!r} must be a string, an int or a bool")
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        if abs(value) > _MAX_AMOUNT:
            raise LinkError(field, f"{slug!r} has a number out of all bounds")
        text = str(value)
    else:
        text = _text(field, value, _UNFIT_IN_TEXT)
    if product is None or product.attached_custom_fields is None:
        return text
    fields = {attached.custom_field.slug: attached for attached in product.attached_custom_fields}
    if slug not in fields:
        has = f"it has {', '.join(map(repr, fields))}" if fields else "it has none"
        raise LinkError(field, f"{product.name!r} has no custom field {slug!r}; {has}")
    if complaint := _complaint(fields[slug], value, text):
        raise LinkError(field, f"{slug!r} {complaint}")
    return text


def _complaint(attached: AttachedCustomField, value: str | int, text: str) -> str:
    """Say what is wrong with a custom field's value; nothing when it is fine."""
    properties = attached.custom_field.properties
    match attached.custom_field.type:
        case "text":
            lowest, highest = properties.get("min_length"), properties.get("max_length")
            if not _is_within(len(text), lowest, highest):
                return f"has {len(text)} characters; {_limits(lowest, highest)} are allowed"
        case "number":
            lowest, highest = properties.get("ge"), properties.get("le")
            if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,12}", text):
                return "must be an integer"
            if not _is_within(int(text), lowest, highest):
                return f"is {text}; {_limits(lowest, highest)} is allowed"
        case "select":
            options = properties.get("options")
            values = [option.get("value") for option in options or () if isinstance(option, dict)]
            if text not in values:
                return f"must be one of {', '.join(map(str, values))}"
        case "checkbox":
            if text not in ("true", "false"):
                return "must be True or False"
            if attached.required and text == "false":
                return "has to be ticked, so it can't be False"
        case "date":
            # Polar's own bounds of a date are left to Polar, which compares them in its own zone.
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) or not _is_date(text):
                return "must be a date such as 2026-11-22"
    return ""


def _is_within(number: int, lowest: object, highest: object) -> bool:
    return (not isinstance(lowest, int) or number >= lowest) and (
        not isinstance(highest, int) or number <= highest
    )


def _limits(lowest: object, highest: object) -> str:
    if lowest is None:
        return f"{highest} at most"
    return f"{lowest} at least" if highest is None else f"{lowest} to {highest}"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
