"""Making a plan so: the only place from which links are changed by the dozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple, TypeVar

from storefront.errors import PolarNotFound, PolarRateLimited
from storefront.linkfile.plan import Plan
from storefront.linkfile.spec import patch
from storefront.polar import CheckoutLink, Client

#: How often, and for how long at most, one change waits for Polar's limit of requests.
_WAITS = 5
_LONGEST_WAIT_SECONDS = 120.0

T = TypeVar("T")


class Step(NamedTuple):
    """One change that was made."""

    action: Literal["create", "update", "delete"]
    name: str
    #: As it is now; a deleted link as it was.
    link: CheckoutLink


def carry_out(
    client: Client,
    plan: Plan,
    *,
    on_wait: Callable[[float], None] = lambda seconds: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Make a plan so, one change after another, giving each when it is made.

    What is new comes before what is deleted, so that an interruption leaves too much rather than
    too little. A new link has its name in its metadata from the first moment: after an
    interruption at any point, a new plan goes on from there. When Polar's limit of requests is
    reached, ``on_wait`` is told the seconds, and they are waited.

    :raises PolarError: for a change that could not be made; those before it stay made.
    """

    def patiently(call: Callable[[], T]) -> T:
        for _ in range(_WAITS):
            try:
                return call()
            except PolarRateLimited as error:  # nothing was done, so it can be asked again
                if error.retry_after > _LONGEST_WAIT_SECONDS:
                    raise
                on_wait(error.retry_after)
                sleep(error.retry_after)
        return call()

    links = client.checkout_links
    for create in plan.creates:
        values = create.spec.values()
        made = patiently(lambda: links.create(**values))  # noqa: B023  called at once
        yield Step("create", create.name, made)
    for update in plan.updates:
        link, changed = update.link, patch(update.link, update.spec)
        now = patiently(lambda: links.update(link.id, **changed))  # noqa: B023
        yield Step("update", update.name, now)
    for delete in plan.deletes:
        with suppress(PolarNotFound):  # it is gone, which is what was wanted
            patiently(lambda: links.delete(delete.link.id))  # noqa: B023
        yield Step("delete", delete.name, delete.link)
