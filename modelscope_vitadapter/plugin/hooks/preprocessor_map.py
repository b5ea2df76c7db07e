"""Names our preprocessor for model directories whose `configuration.json` names none."""

from __future__ import annotations

import sys
from types import ModuleType

from modelscope_vitadapter.plugin.hooks.entries import MODEL_TYPE, PREPROCESSOR_TYPE, TASK


def change(base: ModuleType) -> None:
    """Add our model type to the map that `Preprocessor.from_pretrained` falls back to.

    Args:
        base: `modelscope.preprocessors.base`.
    """
    base.PREPROCESSOR_MAP.setdefault((MODEL_TYPE, TASK), PREPROCESSOR_TYPE)


def undo() -> None:
    """Take our model type out of that map again, where it was added."""
    base = sys.modules.get("modelscope.preprocessors.base")
    if base is not None and base.PREPROCESSOR_MAP.get((MODEL_TYPE, TASK)) == PREPROCESSOR_TYPE:
        del base.PREPROCESSOR_MAP[(MODEL_TYPE, TASK)]
