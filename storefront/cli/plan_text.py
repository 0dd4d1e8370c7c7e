"""A plan, to be read: like a patch for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from storefront.cli.tables import details, plain
from storefront.linkfile import Change, LinkSpec, Plan, Step, differences

#: The slugs of products and the codes of discounts, by id.
Names: TypeAlias = Mapping[str, str]

_EMPTY = LinkSpec(products=())
_MADE = {"create": "+ made", "update": "~ changed", "delete": "- deleted"}


def plan_text(plan: Plan, names: Names, environment: str) -> str:
    """What is to be done, link by link, and how many of each kind."""
    parts = []
    for create in plan.creates:
        fields = differences(_EMPTY, create.spec)
        pairs = [(change.field, _written(change.field, change.new, names)) for change in fields]
        parts.append(_block(f"+ {create.name}", pairs))
    for update in plan.updates:
        title = f"~ {update.name}  ({'adopts ' if update.adopts else ''}{update.link.id})"
        pairs = [(change.field, _arrow(change, names)) for change in update.changes]
        parts.append(_block(title, pairs))
    parts += [f"- {plain(delete.name)}  ({delete.link.id})" for delete in plan.deletes]
    parts += [
        f"! {plain(left.name)}  ({left.link.id}) is not in the file; --prune deletes it"
        for left in plan.left
    ]
    parts.append(_summary(plan, environment))
    return "\n\n".join(parts)


def plan_json(plan: Plan, names: Names) -> dict[str, Any]:
    """The same for a script."""
    return {
        "create": [
            {
                "name": create.name,
                "fields": {
                    change.field: _readable(change.field, change.new, names)
                    for change in differences(_EMPTY, create.spec)
                },
            }
            for create in plan.creates
        ],
        "update": [
            {
                "name": update.name,
                "id": update.link.id,
                "adopts": update.adopts,
                "changes": {
                    change.field: {
                        "old": _readable(change.field, change.old, names),
                        "new": _readable(change.field, change.new, names),
                    }
                    for change in update.changes
                },
            }
            for update in plan.updates
        ],
        "delete": [{"name": each.name, "id": each.link.id} for each in plan.deletes],
        "unchanged": [{"name": each.name, "id": each.link.id} for each in plan.unchanged],
        "left": [{"name": each.name, "id": each.link.id} for each in plan.left],
        "unmanaged": plan.unmanaged,
    }


def step_line(step: Step) -> str:
    """A change that was made, in a line."""
    return f"{_MADE[step.action]} {plain(step.name)}  ({step.link.id})"


def _summary(plan: Plan, environment: str) -> str:
    counts = (
        f"{len(plan.creates)} to make, {len(plan.updates)} to change, "
        f"{len(plan.deletes)} to delete, {len(plan.unchanged)} as they should be"
    )
    return f"{environment}: {counts}; {plan.unmanaged} not managed by a file."


def _block(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{plain(title)}\n{details(pairs, indent='    ')}"


def _arrow(change: Change, names: Names) -> str:
    old, new = (_written(change.field, value, names) for value in (change.old, change.new))
    return f"{old} → {new}"


def _written(field: str, value: Any, names: Names) -> str:
    readable = _readable(field, value, names)
    if readable is None:
        return "(none)"
    if isinstance(readable, list):
        return ", ".join(readable)
    return json.dumps(readable, ensure_ascii=False)


def _readable(field: str, value: Any, names: Names) -> Any:
    if field == "products":
        return [names.get(id_, id_) for id_ in value]
    return names.get(value, value) if field == "discount_id" and value else value
