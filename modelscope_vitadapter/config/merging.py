"""Merges a file's names into those of its `_base_` files, as mmcv 1.x does."""

from __future__ import annotations

from typing import Any

from modelscope_vitadapter.config.limits import Budget
from modelscope_vitadapter.config.source import refusal
from modelscope_vitadapter.config.unreadable import Unreadable

DELETE_KEY = "_delete_"


def merge(
    child: dict[Any, Any], base: dict[Any, Any], *, place: str, budget: Budget
) -> dict[Any, Any]:
    """Merge recursively: dicts into dicts, anything else replaces (mmcv 1.7, `Config.fromfile`).

    A child's dict with a true `_delete_` replaces the base's. As in mmcv, the key stays in a dict
    that the base doesn't have, and index keys for lists aren't understood.

    Args:
        child: Values of the file; not changed.
        base: Values of its base files; not changed.
        place: The file, for messages.
        budget: Pays for each entry.

    Returns:
        A new dict. What can't be merged is `Unreadable` in it: a dict into something else, or into
        an `Unreadable`.
    """
    budget.spend(len(child) + len(base))
    merged = dict(base)
    for key, value in child.items():
        if not isinstance(value, dict) or key not in base:
            merged[key] = value
            continue
        deletes = value.get(DELETE_KEY, False)
        entries = {name: entry for name, entry in value.items() if name != DELETE_KEY}
        old = base[key]
        if isinstance(deletes, Unreadable):
            merged[key] = deletes
        elif deletes:
            merged[key] = entries
        elif isinstance(old, dict):
            merged[key] = merge(entries, old, place=place, budget=budget)
        elif isinstance(old, Unreadable):
            merged[key] = old
        else:
            shown = repr(key[:100]) if isinstance(key, str) else "an entry"
            problem = f"{shown} is a dict, but a {type(old).__name__} in the _base_ file"
            remedy = f"Add {DELETE_KEY}=True to the dict to replace the base's value."
            merged[key] = Unreadable(str(refusal(place, problem, remedy)))
    return merged
