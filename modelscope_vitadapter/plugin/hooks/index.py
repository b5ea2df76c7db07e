"""Points ModelScope's index of registered classes at this package.

ModelScope imports the module that its index names for a class before it looks into the registry,
and keeps a copy of the index on disk. So the index itself stays as it is, and what is handed out
is a copy with our entries laid over it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from modelscope_vitadapter.plugin.hooks import preprocessor_map, registries
from modelscope_vitadapter.plugin.hooks.entries import ENTRIES, FURTHER_ENTRIES
from modelscope_vitadapter.plugin.hooks.guard import attempt, warn_once

Index = dict[str, Any]
Signature = tuple[str, str, str]

PURPOSE = "pointing ModelScope's index at this package"


def change(import_utils: ModuleType) -> None:
    """Have `LazyImportModule` answer with our modules for the types that are ours.

    Args:
        import_utils: `modelscope.utils.import_utils`.
    """
    lazy = import_utils.LazyImportModule
    if hasattr(lazy, "_vitadapter_redirection"):
        return
    redirection = Redirection(lazy.get_ast_index, lazy.import_module)
    lazy._vitadapter_redirection = redirection
    lazy.get_ast_index = staticmethod(redirection.get_ast_index)
    lazy.import_module = staticmethod(redirection.import_module)


class Redirection:
    """Stands before ModelScope's `get_ast_index` and `import_module` and falls back to them."""

    def __init__(self, get_ast_index: Any, import_module: Any) -> None:
        self._original_get_ast_index = get_ast_index
        self._original_import_module = import_module
        self._signatures = {entry.signature for entry in ENTRIES}
        self._further = {entry.signature: entry.module for entry in FURTHER_ENTRIES}
        self._plain: Index | None = None
        self._overlaid: Index = {}
        self._failed = False

    def get_ast_index(self) -> Index:
        """ModelScope's index with our entries laid over it.

        Returns:
            One and the same object as long as ModelScope's index is the same, since ModelScope
            adds to it.
        """
        plain: Index = self._original_get_ast_index()
        if self._failed:
            return plain
        if self._plain is not plain:
            overlaid = attempt(PURPOSE, lambda: overlay(plain), None)
            if overlaid is None:
                self._failed = True
                return plain
            self._plain, self._overlaid = plain, overlaid
        return self._overlaid

    def import_module(self, signature: Signature) -> None:
        """Import the module that registers a class: ours where the class is ours.

        Where one of our modules cannot be imported, all of our entries are given up.

        Args:
            signature: Registry, group and key.
        """
        if signature in self._further:
            importlib.import_module(self._further[signature])
            return
        if signature in self._signatures and not self._failed:
            try:
                for entry in ENTRIES:
                    importlib.import_module(entry.module)
                return
            except Exception as error:
                self._failed = True
                warn_once("importing its classes", error)
                attempt("giving up its registrations", registries.give_up, None)
                attempt("giving up its preprocessor", preprocessor_map.undo, None)
        self._original_import_module(signature)


def overlay(plain: Index) -> Index:
    """A copy of ModelScope's index in which our types lead to our modules.

    Args:
        plain: What ModelScope's `load_index` returned; it is not changed.

    Returns:
        The copy. Our modules have no list of required packages in it, so nothing is checked
        before they are imported.
    """
    entries = {
        entry.signature: {"filepath": "", "imports": [], "module": entry.module}
        for entry in (*ENTRIES, *FURTHER_ENTRIES)
    }
    return {**plain, "index": {**plain["index"], **entries}}
