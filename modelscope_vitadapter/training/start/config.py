"""The configuration of a model with other classes."""

import colorsys
import copy
import pprint
from collections.abc import Mapping, Sequence
from typing import Any

from modelscope_vitadapter.config.model_config import find_test_pipeline
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.errors import ConfigError

Palette = Sequence[Sequence[int]]

NO_OBJECT_WEIGHT = 0.1
"""Weight of "no object" in the class loss (Mask2Former, arXiv 2112.01527)."""

HEADER = '''"""Written by modelscope-vitadapter for a model that was fine-tuned."""

'''


def default_palette(count: int) -> list[list[int]]:
    """Colours `[R, G, B]`, 0 to 255; neighbours differ: hues go by the golden ratio."""
    colours = []
    for number in range(count):
        hue, value = (number * 0.618034) % 1.0, 0.95 - 0.35 * (number % 3) / 2
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, value)
        colours.append([round(255 * part) for part in (red, green, blue)])
    return colours


def config_for_classes(
    config: Mapping[str, Any], classes: Sequence[str], palette: Palette | None = None
) -> dict[str, Any]:
    """A configuration of the same network for other classes.

    Args:
        config: what `read_config` gives for the model that it is taken from.
        classes: names by id.
        palette: `[R, G, B]` of each class, 0 to 255; `default_palette` if None.

    Returns:
        `CLASSES`, `PALETTE`, `model` and `data.test.pipeline`, of plain Python values. Of other
        entries of the model's configuration nothing that was read depends on.

    Raises:
        ConfigError: the configuration has no model, or not a colour for each class.
    """
    colours = default_palette(len(classes)) if palette is None else [list(c) for c in palette]
    if len(colours) != len(classes):
        raise ConfigError(
            f"the palette has {len(colours)} colours for {len(classes)} classes: expected one each"
        )
    model = _plain(config["model"])
    head = model.get("decode_head") if isinstance(model, dict) else None
    if not isinstance(head, dict):
        raise ConfigError("mmcv_config.py has no model.decode_head: it is no segmentation model's")
    head["num_things_classes"] = len(classes)
    head["num_stuff_classes"] = 0
    head.pop("num_classes", None)
    if isinstance(head.get("loss_cls"), dict):
        head["loss_cls"]["class_weight"] = [1.0] * len(classes) + [_no_object_weight(head)]
    if model.get("test_cfg") is None and config.get("test_cfg") is not None:
        model["test_cfg"] = _plain(config["test_cfg"])
    return {
        "CLASSES": list(classes),
        "PALETTE": colours,
        "model": model,
        "data": {"test": {"pipeline": _plain(find_test_pipeline(config))}},
    }


def _no_object_weight(head: Mapping[str, Any]) -> float:
    weights = head["loss_cls"].get("class_weight")
    return float(weights[-1]) if isinstance(weights, list) and weights else NO_OBJECT_WEIGHT


def config_text(config: Mapping[str, Any]) -> str:
    """The text of an `mmcv_config.py` with these values; a Python file of literals."""
    lines = (
        f"{name} = {pprint.pformat(value, width=100, compact=True, sort_dicts=False)}\n"
        for name, value in config.items()
    )
    return HEADER + "\n".join(lines)


def _plain(value: Any) -> Any:
    """A copy of dictionaries, lists and tuples; entries that could not be read are left out."""
    if isinstance(value, Mapping):
        return {
            str(key): _plain(one) for key, one in value.items() if not isinstance(one, Unreadable)
        }
    if isinstance(value, (list, tuple)):
        parts = [_plain(one) for one in value if not isinstance(one, Unreadable)]
        return tuple(parts) if isinstance(value, tuple) else parts
    return copy.deepcopy(value)
