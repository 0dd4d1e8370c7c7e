"""The addresses of our pages, under whatever prefix, subdomain or name the site mounted them."""

from __future__ import annotations

from typing import Any

from flask import current_app, url_for

#: The blueprint's import name: what tells it from the others, whatever it was registered as.
BLUEPRINT_IMPORT_NAME = "storefront.web"


def page_url(endpoint: str, *, external: bool = False, **values: Any) -> str | None:
    """The URL of one of our pages; None where the pages are not registered."""
    for name, blueprint in current_app.blueprints.items():
        if blueprint.import_name == BLUEPRINT_IMPORT_NAME:
            return url_for(f"{name}.{endpoint}", _external=external, **values)
    return None


def success_url() -> str | None:
    """What a checkout link's ``success_url`` has to be so that the buyer comes back to us.

    Polar replaces ``{CHECKOUT_ID}``, and only when its braces are not percent-encoded.
    """
    url = page_url("success", external=True)
    return None if url is None else f"{url}?checkout_id={{CHECKOUT_ID}}"
