"""Model directories in the hub's layout with seeded random weights, made once in a cache folder."""

import hashlib
import json
import os
import pprint
import runpy
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FULL_CONFIG = ROOT / "tests/golden/full_size_mmcv_config.py"
FULL_ENTRIES = ROOT / "tests/golden/full_size_state_dict.json"
CHECKPOINT = "pytorch_model.pt"
INDEX = "attn.relative_position_index"

CONFIGURATION = {
    "framework": "pytorch",
    "task": "image-segmentation",
    "pipeline": {"type": "image-semantic-segmentation"},
    "model": {"type": "vitadapter-semantic-segmentation"},
}

_CROP, _STRIDE, _LONG = 448, 256, 1792
_WIDTH, _DEPTH, _HEADS = 384, 8, 6
_FEATURES, _HIDDEN, _HEAD_HEADS = 256, 1024, 8
_BACKBONE = "model.backbone."
_HEAD = "model.decode_head."
_ENCODER = f"{_HEAD}pixel_decoder.encoder.transformerlayers."
_DECODER = f"{_HEAD}transformer_decoder.transformerlayers."

SMALL: Mapping[str, Any] = {
    "crop_size": (_CROP, _CROP),
    "model.test_cfg.crop_size": (_CROP, _CROP),
    "model.test_cfg.stride": (_STRIDE, _STRIDE),
    "test_pipeline.1.img_scale": (_LONG, _CROP),
    f"{_BACKBONE}img_size": _CROP,
    f"{_BACKBONE}embed_dim": _WIDTH,
    f"{_BACKBONE}depth": _DEPTH,
    f"{_BACKBONE}num_heads": _HEADS,
    f"{_BACKBONE}deform_num_heads": _HEADS,
    f"{_BACKBONE}interaction_indexes": [[0, 1], [2, 3], [4, 5], [6, 7]],
    f"{_HEAD}in_channels": [_WIDTH] * 4,
    f"{_HEAD}feat_channels": _FEATURES,
    f"{_HEAD}out_channels": _FEATURES,
    f"{_HEAD}num_queries": 100,
    f"{_HEAD}positional_encoding.num_feats": _FEATURES // 2,
    f"{_HEAD}pixel_decoder.positional_encoding.num_feats": _FEATURES // 2,
    f"{_HEAD}pixel_decoder.encoder.num_layers": 3,
    f"{_ENCODER}attn_cfgs.embed_dims": _FEATURES,
    f"{_ENCODER}attn_cfgs.num_heads": _HEAD_HEADS,
    f"{_ENCODER}ffn_cfgs.embed_dims": _FEATURES,
    f"{_ENCODER}ffn_cfgs.feedforward_channels": _HIDDEN,
    f"{_DECODER}attn_cfgs.embed_dims": _FEATURES,
    f"{_DECODER}attn_cfgs.num_heads": _HEAD_HEADS,
    f"{_DECODER}ffn_cfgs.embed_dims": _FEATURES,
    f"{_DECODER}ffn_cfgs.feedforward_channels": _HIDDEN,
    f"{_DECODER}feedforward_channels": _HIDDEN,
}
"""What the small model has otherwise than the full-size one: the same architecture at about a third
of the width and depth, with windows of a quarter of the pixels."""

SIZES = ("full", "small", "small-1000")
"""`small-1000` is the small model with 1000 classes."""

Entries = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each entry of a checkpoint by its name."""


def default_cache() -> Path:
    """The folder that this platform keeps caches in."""
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "modelscope-vitadapter"


def model_config(size: str) -> dict[str, Any]:
    """The configuration of a size, as `mmcv_config.py` defines it."""
    config = {
        key: value
        for key, value in runpy.run_path(str(FULL_CONFIG)).items()
        if not key.startswith("__")
    }
    if size != "full":
        for path, value in SMALL.items():
            _set(config, path, value)
    if size == "small-1000":
        config["CLASSES"] = [f"class {i}" for i in range(1000)]
        config["PALETTE"] = [[i % 256, i // 256, 0] for i in range(1000)]
        config["num_classes"], config["num_stuff_classes"] = 1000, 920
        _set(config, f"{_HEAD}num_stuff_classes", 920)
        _set(config, f"{_HEAD}loss_cls.class_weight", [1.0] * 1000 + [0.1])
    return config


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, key = path.split(".")
    target: Any = config
    for parent in parents:
        target = target[int(parent) if parent.isdigit() else parent]
    if key not in target:
        raise KeyError(f"{path}: the full-size configuration has no such key to change")
    target[key] = value


def config_text(size: str) -> str:
    """The text of `mmcv_config.py`."""
    if size == "full":
        return FULL_CONFIG.read_text(encoding="utf-8")
    pairs = model_config(size).items()
    return "".join(f"{key} = {pprint.pformat(value, width=100)}\n" for key, value in pairs)


def checkpoint_entries(size: str) -> Entries:
    """What the built-in model's checkpoint of a size holds, index buffers included."""
    if size == "full":
        stored = json.loads(FULL_ENTRIES.read_text(encoding="utf-8"))
        return {name: (dtype, tuple(shape)) for name, (dtype, shape) in stored.items()}
    import torch

    from modelscope_vitadapter.config.model_config import parse_model
    from modelscope_vitadapter.network.build import build_network

    config = model_config(size)
    with torch.device("meta"):
        network = build_network(parse_model(config))
    entries: Entries = {
        name: (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in network.state_dict().items()
    }
    backbone = config["model"]["backbone"]
    tokens = 1 + (backbone["img_size"] // backbone["patch_size"]) ** 2
    for block in range(backbone["depth"]):
        entries[f"backbone.blocks.{block}.{INDEX}"] = ("int64", (tokens, tokens))
    return entries


def _bytes(entries: Entries) -> int:
    import math

    widths = {"float32": 4, "int64": 8}
    return sum(widths[dtype] * math.prod(shape) for dtype, shape in entries.values())


def weight_bytes(entries: Entries) -> int:
    """Bytes of what a network needs of a checkpoint: all but the index buffers."""
    return _bytes({name: entry for name, entry in entries.items() if not name.endswith(INDEX)})


def ensure_model(size: str, cache: Path) -> Path:
    """The directory of a size's model; written where it isn't there yet.

    A directory's name holds a digest of all that it is made from; older ones of the same size are
    removed when another is written.

    Raises:
        OSError: the disk has no room, with how much is needed.
    """
    entries = checkpoint_entries(size)
    recipe = Path(__file__).with_name("random_weights.py").read_text(encoding="utf-8")
    made_from = config_text(size) + json.dumps(entries) + recipe
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    folder = cache / f"model-{size}-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    for older in cache.glob(f"model-{size}-" + "[0-9a-f]" * 12):
        shutil.rmtree(older)
    needed, free = int(1.05 * _bytes(entries)), shutil.disk_usage(cache).free
    if free < needed:
        raise OSError(
            f"{cache} has {free / 1e9:.1f} GB free, the checkpoint needs {needed / 1e9:.1f} GB: "
            "make room or give another folder with --cache"
        )
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.unfinished")
    unfinished.mkdir()
    try:
        (unfinished / "mmcv_config.py").write_text(config_text(size), encoding="utf-8")
        text = json.dumps(CONFIGURATION, indent=2) + "\n"
        (unfinished / "configuration.json").write_text(text, encoding="utf-8")
        _write_checkpoint(entries, unfinished / CHECKPOINT)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write_checkpoint(entries: Entries, path: Path) -> None:
    import math

    import torch

    from benchmarks.builtin_way import relative_position_index
    from benchmarks.random_weights import random_weight

    weights: dict[str, torch.Tensor] = {}
    for name, (dtype, shape) in entries.items():
        if name.endswith(INDEX):
            side = math.isqrt(shape[0] - 1)
            weights[name] = relative_position_index((side, side))
        elif dtype == "int64":
            weights[name] = torch.zeros(shape, dtype=torch.int64)
        else:
            weights[name] = random_weight(name, shape)
    torch.save({"state_dict": weights, "meta": {}}, path)
