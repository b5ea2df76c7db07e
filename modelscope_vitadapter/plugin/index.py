"""Points ModelScope's index of registered classes at this package.

ModelScope imports the module that its index names for a class before it looks into the registry,
and keeps a copy of the index on disk. So the index itself stays as it is, and what is handed out
is a copy with our entries laid over it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin import registration
from modelscope_vitadapter.plugin.registration import (
    ENTRIES,
    FURTHER_ENTRIES,
    MODEL_TYPE,
    PREPROCESSOR_TYPE,
    TASK,
)

Index = dict[str, Any]
Signature = tuple[str, str, str]
T = TypeVar("T")

PURPOSE = "pointing ModelScope's index at this package"

_reported: set[str] = set()


def warn_once(purpose: str, error: Exception) -> None:
    """Log a fault of this package as a warning, the first time it stops `purpose`.

    Args:
        purpose: What was being done, as in "pointing ModelScope's index at this package".
        error: What stopped it; its traceback is logged at debug level.
    """
    if purpose in _reported:
        return
    _reported.add(purpose)
    logger = get_logger()
    logger.warning(
        "modelscope_vitadapter failed at %s (%s: %s); ModelScope goes on without it.",
        purpose,
        type(error).__name__,
        error,
    )
    logger.debug("The failure in full:", exc_info=error)


def attempt(purpose: str, action: Callable[[], T], fallback: T) -> T:
    """Run `action`; where it fails, warn once and return `fallback`.

    A fault of this package must not reach ModelScope.

    Args:
        purpose: As `warn_once` takes it.
        action: The step to run.
        fallback: The answer with which ModelScope behaves as it does without this package.
    """
    try:
        return action()
    except Exception as error:
        warn_once(purpose, error)
        return fallback


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
                attempt("giving up its registrations", registration.give_up, None)
                attempt("giving up its preprocessor", forget_preprocessor, None)
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


def name_preprocessor(base: ModuleType) -> None:
    """Add our model type to the map that `Preprocessor.from_pretrained` falls back to.

    It names our preprocessor for model directories whose `configuration.json` names none.

    Args:
        base: `modelscope.preprocessors.base`.
    """
    base.PREPROCESSOR_MAP.setdefault((MODEL_TYPE, TASK), PREPROCESSOR_TYPE)


def forget_preprocessor() -> None:
    """Take our model type out of that map again, where it was added."""
    base = sys.modules.get("modelscope.preprocessors.base")
    if base is not None and base.PREPROCESSOR_MAP.get((MODEL_TYPE, TASK)) == PREPROCESSOR_TYPE:
        del base.PREPROCESSOR_MAP[(MODEL_TYPE, TASK)]
