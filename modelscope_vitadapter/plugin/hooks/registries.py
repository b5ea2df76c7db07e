"""Our entries in ModelScope's registries: registered, taken out, put back, given up."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from modelscope_vitadapter._boot import is_enabled
from modelscope_vitadapter.plugin.hooks.entries import ENTRIES, PIPELINE, Entry

C = TypeVar("C", bound=type)


def register(entry: Entry) -> Callable[[C], C]:
    """Class decorator: register a class of this package with ModelScope, in a built-in's place.

    Args:
        entry: Registry, group and key.

    Returns:
        ModelScope's own decorator; one that leaves the registry alone where
        `MODELSCOPE_VITADAPTER=0` switches this package off.
    """
    if not is_enabled():
        return lambda cls: cls
    registry = getattr(importlib.import_module(entry.registry_module), entry.registry)
    decorator: Callable[[C], C] = registry.register_module(
        entry.group, module_name=entry.key, force=True
    )
    return decorator


def take_out(entry: Entry) -> type | None:
    """Remove our class from its registry.

    Args:
        entry: The entry to remove.

    Returns:
        The class that was registered, or None where it was not ours or there was none.
    """
    group = _group(entry)
    registered = group.get(entry.key)
    if registered is None or not registered.__module__.startswith("modelscope_vitadapter."):
        return None
    ours: type = group.pop(entry.key)
    return ours


def put_in(entry: Entry, cls: type) -> None:
    """Register a class under an entry's key, whatever is registered there.

    Args:
        entry: The entry to fill.
        cls: The class.
    """
    _group(entry)[entry.key] = cls


def give_up() -> None:
    """Leave every registry as it would be without this package."""
    for entry in ENTRIES:
        if take_out(entry) is None or entry.builtin_module is None:
            continue
        builtin = sys.modules.get(entry.builtin_module)
        if builtin is not None:
            put_in(entry, getattr(builtin, str(entry.builtin_class)))


def builtin_pipeline_class() -> type:
    """ModelScope's own pipeline class for the pipeline type that this package takes over.

    Returns:
        `ImageSemanticSegmentationPipeline`. Our registration stays as it is.
    """
    module = importlib.import_module(str(PIPELINE.builtin_module))
    builtin: type = getattr(module, str(PIPELINE.builtin_class))
    return builtin


def _group(entry: Entry) -> dict[str, Any]:
    holder = sys.modules.get(entry.registry_module)
    if holder is None:
        return {}
    group: dict[str, Any] = getattr(holder, entry.registry).modules.setdefault(entry.group, {})
    return group
