"""The pages that anybody can look at, by name: for what looks at all of them."""

from __future__ import annotations

PRODUCTS = (
    "northlight",
    "pro-monthly",
    "pro-for-teams",
    "quiet-software",
    "field-notes-a-zine",
    "render-credits",
    "northlight-api",
)
#: Below the shop's address, in any shop that sells the demo's products.
VIEWS = {
    "catalogue": "",
    **{f"product-{slug}": f"products/{slug}" for slug in PRODUCTS},
    "results": "?q=northlight",
    "results-by-price": "?kind=one-time&price=1000-&sort=price-desc",
    "nothing-found": "?q=lighthouse&kind=subscription&price=-2000",
    "not-found": "products/no-such-thing",
    "page-not-found": "?page=99",
    "success-neutral": "success",
    "embed-card": "embed/northlight",
    "embed-row": "embed/pro-monthly?layout=row",
    "embed-button": "embed/northlight?layout=button",
    "embed-code": "embed-code/northlight",
}
#: In one with the products of ``crowd`` besides.
LARGE_VIEWS = {
    "large-catalogue": "",
    "large-second-page": "?page=2",
    "large-results": "?q=a&kind=one-time&sort=price",
    "large-long-name": "products/almanac-for-people-who-write-software-on-trains-and-would"
    "-rather-look-out-of-the",
}
