"""The pages: one blueprint, one file a concern."""

from flask import Blueprint

from storefront.urls import BLUEPRINT_IMPORT_NAME
from storefront.web.buy import buy
from storefront.web.codes import qr
from storefront.web.element import embed_js
from storefront.web.embed import embed, embed_accent
from storefront.web.embed_code import embed_code_page
from storefront.web.listing import product_json, products_json
from storefront.web.machines import feed, google_feed, sitemap, sitemap_part
from storefront.web.oembed import oembed
from storefront.web.pages import catalog, product
from storefront.web.portal import portal
from storefront.web.readers import for_readers
from storefront.web.success import invoice, success
from storefront.web.webhooks import webhooks


def create_blueprint() -> Blueprint:
    """The shop's pages, to be registered where the site wants them."""
    blueprint = Blueprint(
        "storefront",
        BLUEPRINT_IMPORT_NAME,
        static_folder="../static/storefront",
        # Not /static: without a prefix that is the host's own.
        static_url_path="/_storefront",
    )
    blueprint.add_url_rule("/", "catalog", catalog, methods=["GET"])
    blueprint.add_url_rule("/products/<slug>", "product", product, methods=["GET"])
    # Of two rules the one that says more goes first: no slug has a dot. A label may have a slash.
    for_readers(blueprint, "/products.json", "products_json", products_json)
    for_readers(blueprint, "/products/<path:reference>.json", "product_json", product_json)
    for_readers(blueprint, "/embed.js", "embed_js", embed_js)
    for_readers(blueprint, "/oembed", "oembed", oembed)
    for_readers(blueprint, "/qr/<path:reference>.<any(svg,png):kind>", "qr", qr)
    blueprint.add_url_rule("/sitemap.xml", "sitemap", sitemap, methods=["GET"])
    blueprint.add_url_rule(
        "/sitemap-<int:number>.xml", "sitemap_part", sitemap_part, methods=["GET"]
    )
    blueprint.add_url_rule("/feed.atom", "feed", feed, methods=["GET"])
    blueprint.add_url_rule("/feed/google.xml", "google_feed", google_feed, methods=["GET"])
    blueprint.add_url_rule(
        "/feed/google-<int:number>.xml", "google_feed", google_feed, methods=["GET"]
    )
    blueprint.add_url_rule("/embed-accent/<colour>.css", "embed_accent", embed_accent)
    # A label may have a slash in it.
    blueprint.add_url_rule("/embed/<path:reference>", "embed", embed, methods=["GET"])
    blueprint.add_url_rule("/embed-code/<path:reference>", "embed_code", embed_code_page)
    blueprint.add_url_rule("/buy/<path:reference>", "buy", buy, methods=["GET"])
    blueprint.add_url_rule("/success", "success", success, methods=["GET", "POST"])
    blueprint.add_url_rule("/success/invoice", "invoice", invoice, methods=["GET"])
    blueprint.add_url_rule("/portal", "portal", portal, methods=["GET"])
    blueprint.add_url_rule("/webhooks", "webhooks", webhooks, methods=["POST"])
    return blueprint
