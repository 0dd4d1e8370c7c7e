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
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, get_args
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

from storefront.errors import LinkError
from storefront.polar.models import AttachedCustomField, CheckoutLink, CustomField, Price, Product

#: The longest URL that is built, in characters: servers and proxies refuse longer ones.
MAX_URL_CHARACTERS = 8000

#: The languages of Polar's checkout page.
LOCALES = (
    *("en", "nl", "es", "fr", "sv", "de", "hu", "it"),
    *("pt", "pt-PT", "ko", "ja", "tr", "pl"),
)

Theme = Literal["light", "dark"]

_UTM_NAMES = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
_UTM_CHARACTERS = 500

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SLUG = re.compile(r"[a-z0-9_-]+", re.IGNORECASE)

# Polar answers NUL with a 500. The others, and halves of a surrogate pair, which no URL can
# carry, have no place in any of these values.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNFIT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

# What Polar's checker of email addresses accepts, without asking the DNS.
_EMAIL_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_EMAIL_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_EMAIL_RESERVED = ("arpa", "invalid", "local", "localhost", "onion", "test")
_EMAIL_CHARACTERS = 254


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
    builder = _Builder(link, lenient=lenient)
    builder.add("product_id", product_id, builder.product_id)
    builder.add("customer_email", customer_email, _email)
    builder.add("customer_name", customer_name, _text)
    builder.add("discount_code", discount_code, _text)
    builder.add("amount", amount, builder.amount)
    builder.add("locale", locale, _locale)
    for slug, value in (custom_field_data or {}).items():
        builder.add_custom_field(slug, value)
    builder.add("reference_id", reference_id, _text)
    builder.add("utm_source", utm_source, _text)
    builder.add("utm_medium", utm_medium, _text)
    builder.add("utm_campaign", utm_campaign, _text)
    builder.add("utm_content", utm_content, _text)
    builder.add("utm_term", utm_term, _text)
    builder.add("theme", theme, _theme)
    return builder.url()


def utm_parameters(query: Mapping[str, str]) -> dict[str, str]:
    """Pick the five ``utm_…`` parameters out of a page's own query, fit for ``checkout_url``.

    Values are cut to 500 characters and lose their control characters; empty ones are left out.
    """
    found = {}
    for name in _UTM_NAMES:
        value = _UNFIT.sub("", query.get(name) or "")[:_UTM_CHARACTERS]
        if value:
            found[name] = value
    return found
