"""The pages: one blueprint, one file a concern."""

from flask import Blueprint

from storefront.urls import BLUEPRINT_IMPORT_NAME
from storefront.web.buy import buy
from storefront.web.pages import catalog, product
from storefront.web.portal import portal
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
    # A label may have a slash in it.
    blueprint.add_url_rule("/buy/<path:reference>", "buy", buy, methods=["GET"])
    blueprint.add_url_rule("/success", "success", success, methods=["GET", "POST"])
    blueprint.add_url_rule("/success/invoice", "invoice", invoice, methods=["GET"])
    blueprint.add_url_rule("/portal", "portal", portal, methods=["GET"])
    blueprint.add_url_rule("/webhooks", "webhooks", webhooks, methods=["POST"])
    return blueprint
