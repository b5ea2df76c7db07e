"""Marks values as unreadable wherever they are held, when a statement may have changed them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from modelscope_vitadapter.config.dependencies import Dependencies
from modelscope_vitadapter.config.limits import Budget
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.config.values import CONTAINERS, MUTABLE


def mutable_objects(values: Iterable[Any], budget: Budget) -> dict[int, Any]:
    """All dicts, lists and sets that can be reached from values, by their identities.

    Args:
        values: Config values.
        budget: Pays for each element that is looked at.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    pending = [value for value in values if isinstance(value, CONTAINERS)]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        budget.spend(1 + len(item))
        if isinstance(item, MUTABLE):
            found[id(item)] = item
        parts = item.values() if isinstance(item, dict) else item
        pending += [part for part in parts if isinstance(part, CONTAINERS)]
    return found


def replace_objects(
    names: dict[str, Any], objects: Collection[int], mark: Unreadable, budget: Budget
) -> None:
    """Put a mark in place of objects, wherever the values of names hold them.

    Args:
        names: Values by name, changed in place.
        objects: Identities of dicts, lists and sets.
        mark: What takes their place.
        budget: Pays for each element that is looked at.
    """
    if not objects:
        return
    replaced: dict[int, Any] = {}  # tuples already rebuilt, which may be held in many places
    pending: list[dict[Any, Any] | list[Any]] = [names]
    seen: set[int] = set()

    def replacement(value: Any) -> Any:
        if id(value) in objects:
            return mark
        if not isinstance(value, tuple):
            if isinstance(value, dict | list):
                pending.append(value)
            return value
        if id(value) not in replaced:
            budget.spend(1 + len(value))
            parts = tuple(replacement(part) for part in value)
            same = all(new is old for new, old in zip(parts, value, strict=True))
            replaced[id(value)] = value if same else parts
        return replaced[id(value)]

    while pending:
        holder = pending.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        budget.spend(1 + len(holder))
        entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
        for key, value in entries:
            new = replacement(value)
            if new is not value:
                holder[key] = new


class Aliases:
    """The objects that the names of one file share.

    Args:
        names: Values by name, shared with whoever runs the file.
        dependencies: What each name may share objects with.
        budget: Pays for each element that is looked at.
    """

    def __init__(self, names: dict[str, Any], dependencies: Dependencies, budget: Budget) -> None:
        self._names = names
        self._dependencies = dependencies
        self._budget = budget

    def reachable(self, names: Iterable[str]) -> dict[int, Any]:
        """The objects that code which reads `names` can change, by their identities."""
        reached = self._dependencies.reachable(names)
        self._budget.spend(len(reached))
        return self.inside(*(self._names[name] for name in reached & self._names.keys()))

    def inside(self, *values: Any) -> dict[int, Any]:
        """The objects that are, or are inside, `values`, by their identities."""
        return mutable_objects(values, self._budget)

    def replace(self, objects: Collection[int], mark: Unreadable) -> None:
        """Put a mark in place of objects, wherever a name's value holds them."""
        replace_objects(self._names, objects, mark, self._budget)
