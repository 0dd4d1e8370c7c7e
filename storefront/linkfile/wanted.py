"""From the file to the links that should be there, in one environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storefront.errors import UnknownReference
from storefront.linkfile.document import SITE, Entry, Given, LinkFile
from storefront.linkfile.plan import Wanted
from storefront.linkfile.spec import NAME_KEY, LinkSpec

#: From a reference to an id; raises UnknownReference.
Resolve = Callable[[str], str]


def wanted_links(
    file: LinkFile,
    environment: str,
    *,
    product: Resolve,
    discount: Resolve,
    success_url: Callable[[], str],
) -> tuple[Wanted, ...]:
    """The links that the file wants in that environment, with products and discounts by id.

    ``success_url`` gives the site's, where the file says ``site``; a ValueError of it says why
    not.

    :raises LinkFileError: for a reference that leads nowhere, naming the line.
    """

    def resolved(given: Given, what: str, resolve: Resolve, reference: str) -> str:
        try:
            return resolve(reference)
        except UnknownReference as error:
            raise file.error(given.line, f"{what}: {error}") from None

    def want(entry: Entry) -> Wanted:
        given = {**entry.values, **entry.environments.get(environment, {})}
        values: dict[str, Any] = {
            name: each.value
            for name, each in given.items()
            if name not in ("products", "discount", "trial", "adopt", "metadata")
        }
        listed = given["products"]
        products = [resolved(listed, "products", product, name) for name in listed.value]
        if len(set(products)) < len(products):
            raise file.error(listed.line, "products: two of the names are the same product")
        values["products"] = tuple(products)
        if "discount" in given and given["discount"].value is not None:
            each = given["discount"]
            values["discount_id"] = resolved(each, "discount", discount, each.value)
        if "trial" in given and given["trial"].value is not None:
            values["trial_interval"], values["trial_interval_count"] = given["trial"].value
        if values.get("success_url") == SITE:
            try:
                values["success_url"] = success_url()
            except ValueError as error:
                raise file.error(given["success_url"].line, f"success_url: {error}") from None
        metadata = given["metadata"].value if "metadata" in given else {}
        values["metadata"] = {**metadata, NAME_KEY: entry.name}
        adopt = given["adopt"].value if "adopt" in given else None
        return Wanted(entry.name, LinkSpec(**values), adopt, entry.line)

    return tuple(
        want(entry) for entry in file.entries if entry.only is None or environment in entry.only
    )
