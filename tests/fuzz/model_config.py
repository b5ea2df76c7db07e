"""Strategies of configurations whose settings are valid but for a few."""

from tests.fuzz.choices import composed
from tests.support.configs import tiny_config
from tests.support.settings_table import ANSWER, NOTHING, TABLE, TRAINING

PIPELINE = [
    {"type": "LoadImageFromFile"},
    {
        "type": "MultiScaleFlipAug",
        "img_scale": (512, 128),
        "flip": False,
        "transforms": [
            {"type": "Resize", "keep_ratio": True},
            {"type": "ResizeToMultiple", "size_divisor": 32},
            {"type": "RandomFlip"},
            {"type": "Pad", "size_divisor": 32},
            {"type": "Normalize", "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0], "to_rgb": True},
            {"type": "ImageToTensor", "keys": ["img"]},
            {"type": "Collect", "keys": ["img"]},
        ],
    },
]
_VALID = [row for row in TABLE if row.effect in (ANSWER, NOTHING, TRAINING)]
_ODD = (
    *(None, True, False, 0, 1, -1, 2, 3, 5, 7, 16, 17, 64, 255, 1024, 65536, 65537, 2**20, 2**31),
    *(10**9, 2**63, 10**30, -(2**31), 0.5, -0.5, 1.5, 1e-300, 1e300, float("inf"), float("-inf")),
    *(
        float("nan"),
        -0.0,
        "",
        "a",
        "slide",
        "whole",
        "LN",
        "GN",
        "BN",
        "IN",
        "SyncBN",
        "norm",
        "ffn",
    ),
    *(
        "ReLU",
        "GELU",
        "PReLU",
        "DropPath",
        "Dropout",
        "self_attn",
        "cross_attn",
        "天",
        "\0",
        "a" * 999,
    ),
    *([], [0], [1, 1], [[0, 0]], [None], (), (1, 2), (64, 64), (1, 2, 3), [[]], ["a"] * 40),
    *({}, {"type": "GN"}, {"type": "BN"}, {"type": "LN"}, {"type": "ReLU"}, {"type": "PReLU"}),
    *({"type": None}, {1: 2}, {"a": {"b": {"c": [{}]}}}, [{"type": "FFN"}], {"num_levels": 1}),
)
_KEYS = tuple(sorted({row.key for row in TABLE} | {"type", "_delete_", "pad_val", "std", "extra"}))


def literal(value):
    """A value as the text of an expression that the reader evaluates."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{literal(item)}, " for item in value) + ")"
    if isinstance(value, float):
        if value != value:
            return "(1e999 - 1e999)"
        return repr(value).replace("inf", "1e999")
    return repr(value)


def places(value, found, path=()):
    """The paths to all entries inside a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        found.append((*path, key))
        if isinstance(entry, (dict, list)):
            places(entry, found, (*path, key))
    return found


def _inside(value, path):
    for key in path:
        value = value[key]
    return value


def _change(choices, config):
    paths = places(config, [])
    path = choices.pick(paths)
    holder, key = _inside(config, path[:-1]), path[-1]
    action = choices.below(6)
    if action == 0:
        holder[key] = choices.pick(_ODD)
    elif action == 1:
        del holder[key]
    elif action == 2 and isinstance(holder, dict):
        holder[choices.pick(_KEYS)] = choices.pick(_ODD)
    elif action == 3:
        holder[key] = _copied(_inside(config, choices.pick(paths)))
    elif action == 4 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif isinstance(holder[key], (int, float)):
        holder[key] = choices.pick(
            (holder[key] + 1, -holder[key], holder[key] * 2, str(holder[key]))
        )
    else:
        holder[key] = choices.pick(_ODD)


def _files(choices):
    changes = {}
    for _ in range(choices.below(3)):
        row = choices.pick(_VALID)
        changes |= {**row.given, **row.also, row.path: row.value}
    try:
        config = tiny_config(changes)
    except (KeyError, TypeError):  # two rows that exclude each other
        config = tiny_config()
    config = _copied(config | {"test_pipeline": PIPELINE})
    for _ in range(choices.below(4)):
        _change(choices, config)
    lines = [f"{name} = {literal(value)}" for name, value in config.items()]
    return {"mmcv_config.py": "\n".join(lines).encode() + b"\n"}


def _copied(value):
    """A copy without shared parts."""
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(entry) for entry in value)
    return value


settings_files = composed(_files)
