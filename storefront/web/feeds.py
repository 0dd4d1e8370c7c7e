"""The catalogue in the formats of others: sitemaps, Atom, and Google's feed of products.

Pure functions: from products and their addresses to bytes of XML. A serializer writes it, so that
no name ends an element; characters that XML can't have are left out.

Source: sitemaps.org 0.9, and Google's extension for images, 1.1; RFC 4287 (Atom); RSS 2.0, with
Google's product data specification as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import escape

from storefront.catalog import CatalogProduct
from storefront.catalog.description import plain_text
from storefront.catalog.pricing import reduced_amount
from storefront.polar.models import Price
from storefront.texts import Texts, exact_amount
from storefront.web.metadata import Site, lasting_discount_of, main_price, running_discount_of

#: Of one sitemap at most, and of a sitemap of ours. A small one is made in a moment.
MOST_URLS: Final = 50_000
URLS_PER_SITEMAP: Final = 5_000
#: Products that are looked at for one of Google's feeds.
PRODUCTS_PER_FEED: Final = 1_000
#: Entries of the Atom feed.
MOST_ENTRIES: Final = 50

_SITEMAP: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
_IMAGE: Final = "http://www.google.com/schemas/sitemap-image/1.1"
_ATOM: Final = "http://www.w3.org/2005/Atom"
_GOOGLE: Final = "http://base.google.com/ns/1.0"
#: What an address in a sitemap may be, and how many pictures a page has there.
_LOC_CHARACTERS: Final = 2048
_MOST_IMAGES: Final = 1000
_TITLE_CHARACTERS: Final = 150
_DESCRIPTION_CHARACTERS: Final = 5000
_MOST_FURTHER_PICTURES: Final = 10
#: What XML can't hold, however it is written.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Listing(NamedTuple):
    """A page in a sitemap: its address, when it was changed, and its pictures' addresses."""

    url: str
    changed_at: datetime | None
    pictures: tuple[str, ...] = ()


def make_sitemap(listings: Iterable[Listing]) -> bytes:
    """A sitemap of up to ``MOST_URLS`` pages."""
    root = Element("urlset", {"xmlns": _SITEMAP, "xmlns:image": _IMAGE})
    for listing in listings:
        url = SubElement(root, "url")
        _add(url, "loc", listing.url)
        if listing.changed_at is not None:
            _add(url, "lastmod", _moment(listing.changed_at))
        addresses = map(_plain, listing.pictures)
        fitting = (each for each in addresses if len(each) <= _LOC_CHARACTERS)
        for _, picture in zip(range(_MOST_IMAGES), fitting, strict=False):
            _add(SubElement(url, "image:image"), "image:loc", picture)
    return _document(root)


def make_sitemap_index(urls: Iterable[str], changed_at: datetime) -> bytes:
    """The list of the sitemaps that together have all pages."""
    root = Element("sitemapindex", {"xmlns": _SITEMAP})
    for url in urls:
        sitemap = SubElement(root, "sitemap")
        _add(sitemap, "loc", url)
        _add(sitemap, "lastmod", _moment(changed_at))
    return _document(root)


def make_atom_feed(
    products: Iterable[tuple[CatalogProduct, str]], site: Site, changed_at: datetime
) -> bytes:
    """The newest products, each with its address; ``changed_at`` for those that have no time."""
    dated = [
        (product.source.created_at or product.source.modified_at or changed_at, product, url)
        for product, url in products
    ]
    dated.sort(key=lambda each: each[0], reverse=True)
    entries = [(created, product, url) for created, product, url in dated[:MOST_ENTRIES]]
    root = Element("feed", {"xmlns": _ATOM, "xml:lang": site.texts.language})
    # The same by http and https, and another one's at another address.
    _add(root, "id", uuid5(NAMESPACE_URL, _without_scheme(site.catalog_url)).urn)
    _add(root, "title", site.title)
    times = [product.source.modified_at or created for created, product, _ in entries]
    _add(root, "updated", _moment(max(times, default=changed_at)))
    _add(SubElement(root, "author"), "name", site.title)
    SubElement(root, "link", {"rel": "self", "href": site.feed_url, "type": "application/atom+xml"})
    SubElement(root, "link", {"rel": "alternate", "href": site.catalog_url, "type": "text/html"})
    for created, product, url in entries:
        entry = SubElement(root, "entry")
        _add(entry, "id", _urn(product.id, url))
        _add(entry, "title", product.name)
        _add(entry, "published", _moment(created))
        _add(entry, "updated", _moment(product.source.modified_at or created))
        SubElement(entry, "link", {"rel": "alternate", "href": url, "type": "text/html"})
        if product.summary:
            _add(entry, "summary", product.summary)
        # Addresses in a description may be relative ones.
        content = _add(entry, "content", _content(product))
        content.attrib.update({"type": "html", "xml:base": url})
    return _document(root)


def make_google_feed(products: Iterable[tuple[CatalogProduct, str]], site: Site) -> bytes:
    """Those of the products that Google takes, each with its address."""
    root = Element("rss", {"version": "2.0", "xmlns:g": _GOOGLE})
    channel = SubElement(root, "channel")
    _add(channel, "title", site.title)
    _add(channel, "link", site.catalog_url)
    _add(channel, "description", site.title)
    for product, url in products:
        price = google_price(product)
        if price is not None:
            _add_item(channel, product, price, url, site)
    return _document(root)


def fit_for_xml(text: str) -> str:
    """The text without what XML can't hold."""
    return _NOT_XML.sub("", text)


def google_price(product: CatalogProduct) -> Price | None:
    """The price that Google can show; None for what its feed must not have.

    It takes one amount that is paid before: once, or for software for whole years. It takes
    nothing free, no amount that the buyer chooses or that depends on use or quantity, nothing
    without a picture, and nothing that can't be bought.
    """
    price = main_price(product)
    if price is None or price.amount_type != "fixed" or not price.price_amount:
        return None
    if not product.offers or not product.pictures or _years(product, price) is None:
        return None
    discount = running_discount_of(product)
    if discount is not None and not reduced_amount(
        price.price_amount, price.price_currency.lower(), discount
    ):
        # Free, or what it comes to is not known here: what the page says would be another price.
        return None
    return price


def _add_item(
    channel: Element, product: CatalogProduct, price: Price, url: str, site: Site
) -> None:
    assert price.price_amount is not None, "a fixed price has one"
    currency = price.price_currency.lower()
    item = SubElement(channel, "item")
    # What RSS has a name for goes by that, which Google knows as well.
    _add(item, "g:id", product.id)
    _add(item, "title", _title(product, _years(product, price) or 0, site.texts))
    said = plain_text(product.description, _DESCRIPTION_CHARACTERS)
    _add(item, "description", said or product.name)
    _add(item, "link", url)
    for place, picture in enumerate(product.pictures[: 1 + _MOST_FURTHER_PICTURES]):
        _add(item, "g:additional_image_link" if place else "g:image_link", _plain(picture.url))
    _add(item, "g:price", _price(price.price_amount, currency))
    discount = lasting_discount_of(product, price)
    reduced = reduced_amount(price.price_amount, currency, discount) if discount else None
    if reduced is not None and reduced != price.price_amount:
        _add(item, "g:sale_price", _price(reduced, currency))
    _add(item, "g:availability", "in_stock")
    _add(item, "g:condition", "new")
    if site.name:
        _add(item, "g:brand", site.name)
    # What is sold here has no number of a maker's, such as a GTIN.
    _add(item, "g:identifier_exists", "no")


def _years(product: CatalogProduct, price: Price) -> int | None:
    """For how many years it is paid: 0 for what is paid once; None where that is no whole year."""
    interval = product.source.recurring_interval or price.recurring_interval
    if not interval:
        return 0
    months = {"month": 1, "year": 12}.get(interval, 0)
    years, rest = divmod(months * (product.source.recurring_interval_count or 1), 12)
    return years if years and not rest else None


def _title(product: CatalogProduct, years: int, texts: Texts) -> str:
    """The name; of a subscription with that word and its time, as Google wants it."""
    if not years:
        return product.name[:_TITLE_CHARACTERS]
    duration = texts.duration("year", years)

    def titled(name: str) -> str:
        return texts("{name} ({duration} subscription)", name=name, duration=duration)

    return titled(product.name[: _TITLE_CHARACTERS - len(titled(""))])


def _content(product: CatalogProduct) -> str:
    """A product as HTML: what it costs, what it looks like, what it is."""
    picture = ""
    if product.pictures:
        url, alt = product.pictures[0]
        picture = f'<p><img src="{escape(url)}" alt="{escape(alt)}"></p>\n'
    return f"{picture}<p>{escape(product.pricing.headline)}</p>\n{product.description}"


def _price(amount: int, currency: str) -> str:
    return f"{exact_amount(amount, currency)} {currency.upper()}"


def _urn(product_id: str, url: str) -> str:
    try:
        return UUID(product_id).urn
    except ValueError:
        return uuid5(NAMESPACE_URL, _without_scheme(url)).urn


def _plain(url: str) -> str:
    """A picture's address as these formats want it, without a letter that is not of ASCII."""
    return quote(url, safe="%!#$&'()*+,/:;=?@[]~")


def _without_scheme(url: str) -> str:
    return urlsplit(url)._replace(scheme="").geturl()


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _add(parent: Element, tag: str, text: str) -> Element:
    element = SubElement(parent, tag)
    element.text = fit_for_xml(text)
    return element


def _document(root: Element) -> bytes:
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document
