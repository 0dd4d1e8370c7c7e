"""From what there is to what should be: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from storefront.linkfile.spec import Change, LinkSpec, differences
from storefront.polar import CheckoutLink


@dataclass(frozen=True, slots=True)
class Wanted:
    """A link that should be there, known by its name in the metadata of the one that is."""

    name: str
    spec: LinkSpec
    #: The id of a link that becomes this one, where none has the name yet.
    adopt: str | None = None
    #: The line of the file that says so; 0 where none does.
    line: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    """A link to be made."""

    name: str
    spec: LinkSpec
    line: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """A link to be changed, or one that is as it should be, when ``changes`` is empty."""

    name: str
    link: CheckoutLink
    spec: LinkSpec
    changes: tuple[Change, ...]
    line: int = 0
    #: Whether it was nobody's before, or had another name.
    adopts: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """A link to be deleted."""

    name: str
    link: CheckoutLink


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What has to be done, in this order; nothing of it is done yet."""

    creates: tuple[Create, ...] = ()
    updates: tuple[Update, ...] = ()
    deletes: tuple[Delete, ...] = ()
    unchanged: tuple[Update, ...] = ()
    #: Managed links that are not wanted any more, or not twice; ``prune`` makes them deletes.
    left: tuple[Delete, ...] = ()
    #: How many links are nobody's, and are left alone.
    unmanaged: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.creates or self.updates or self.deletes)


class AdoptionError(ValueError):
    """A link can't become what it is wanted to be. ``line`` is the file's."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def make_plan(
    wanted: Sequence[Wanted], links: Sequence[CheckoutLink], *, marker: str, prune: bool = False
) -> Plan:
    """Compare. Links whose metadata has no ``marker``, and that nobody adopts, are left alone.

    Of several links with one name the oldest is it.

    :raises AdoptionError: when a link should be adopted that another name has.
    """
    managed: dict[str, list[CheckoutLink]] = {}
    for link in sorted(links, key=_age):
        if marker in link.metadata:
            managed.setdefault(str(link.metadata[marker]), []).append(link)
    names = {each.name for each in wanted}
    by_id = {link.id: link for link in links}
    creates: list[Create] = []
    updates: list[Update] = []
    unchanged: list[Update] = []
    taken: set[str] = set()
    _refuse_shared_adoption(wanted, managed)
    for each in wanted:
        found = managed[each.name][0] if each.name in managed else None
        adopts = False
        if found is None and each.adopt is not None and each.adopt.lower() in by_id:
            found, adopts = by_id[each.adopt.lower()], True
            other = found.metadata.get(marker)
            if other is not None and str(other) in names:
                raise AdoptionError(
                    each.line, f"{each.name!r} can't adopt {found.id}: that is {str(other)!r}"
                )
        if found is None:
            creates.append(Create(each.name, each.spec, each.line))
            continue
        taken.add(found.id)
        changes = differences(LinkSpec.of(found), each.spec)
        update = Update(each.name, found, each.spec, changes, each.line, adopts)
        (updates if changes else unchanged).append(update)
    left = [
        Delete(name, link)
        for name, group in managed.items()
        for link in group
        if link.id not in taken
    ]
    touched = len(taken) + len(left)
    plan = Plan(
        creates=tuple(creates),
        updates=tuple(updates),
        unchanged=tuple(unchanged),
        left=tuple(left),
        unmanaged=len(links) - touched,
    )
    return replace(plan, deletes=plan.left, left=()) if prune else plan


def _refuse_shared_adoption(
    wanted: Sequence[Wanted], managed: dict[str, list[CheckoutLink]]
) -> None:
    adopters = [each for each in wanted if each.adopt and each.name not in managed]
    counts = Counter((each.adopt or "").lower() for each in adopters)
    for each in adopters:
        if counts[(each.adopt or "").lower()] > 1:
            raise AdoptionError(each.line, f"the link {each.adopt} is adopted twice")


def _age(link: CheckoutLink) -> tuple[str, str]:
    return (link.created_at.isoformat() if link.created_at else "", link.id)
