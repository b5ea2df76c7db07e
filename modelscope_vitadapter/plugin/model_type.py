"""What `configuration.json` says of this package's models, and which models are this package's."""

import json
from pathlib import Path
from typing import Any

from modelscope_vitadapter.plugin.hooks.entries import (
    MODEL_TYPE,
    PIPELINE_TYPE,
    PREPROCESSOR_TYPE,
    TASK,
)

CONFIGURATION_FILE = "configuration.json"


def default_configuration() -> dict[str, Any]:
    """The content of `configuration.json` of a model that brings none of its own."""
    return {
        "framework": "pytorch",
        "task": TASK,
        "model": {"type": MODEL_TYPE},
        "preprocessor": {"type": PREPROCESSOR_TYPE},
        "pipeline": {"type": PIPELINE_TYPE},
    }


def is_vitadapter(model: Any, own_class: type) -> bool:
    """Whether a model is to be run by this package's pipeline.

    Args:
        model: a model directory, a model object, or a list with one of them.
        own_class: this package's model class.

    Returns:
        False for directories whose `configuration.json` names another type, and for objects of
        another class.
    """
    if isinstance(model, list) and len(model) == 1:
        model = model[0]
    if isinstance(model, str | Path):
        return directory_type(Path(model)) in (None, MODEL_TYPE)
    return isinstance(model, own_class)


def directory_type(model_dir: Path) -> str | None:
    """The model type that a directory's `configuration.json` names; None where it names none."""
    path = model_dir / CONFIGURATION_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    section = content.get("model") if isinstance(content, dict) else None
    if not isinstance(section, dict):
        return None
    found = section.get("type", section.get("model_type"))
    return found if isinstance(found, str) else None
