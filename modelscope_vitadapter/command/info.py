"""Shows what a model is, or with --system what this machine has and lacks.

Examples:
  vitadapter info tiny
  vitadapter info damo/cv_vitadapter_semantic-segmentation_cocostuff164k
  vitadapter info --system
"""

import argparse
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelscope_vitadapter.command.language import translated
from modelscope_vitadapter.version import __version__

HELP = "show what a model is, or what this machine has"

PACKAGES = ("torch", "modelscope", "mmcv-lite", "numpy", "opencv-python", "pillow", "safetensors")

OPTIONAL = {
    "rasterio": ("geo", "TIFFs of many bands, GeoTIFF"),
    "pillow_heif": ("heic", "HEIC images"),
    "pycocotools": ("coco", "COCO's compressed run lengths"),
    "tensorboard": ("training", "curves of a training run"),
    "ray": ("ray", "predict on several machines"),
    "shtab": ("completion", "completion in shells"),
}
"""Packages that may be missing: their extra, and what they are for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this subcommand."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("model", metavar="MODEL", nargs="?", help="directory, id, or tiny")
    text = "versions, devices, processor features, and what is missing"
    group.add_argument("--system", action="store_true", help=text)
    text = "execute mmcv_config.py where it can't be read as data"
    parser.add_argument("--trust-remote-code", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line for each fact."""
    facts = _system() if arguments.system else _model(arguments)
    for name, value in facts:
        sys.stdout.write(f"{translated(name)}: {value}\n")
    return 0


def _model(arguments: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    import torch

    from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
    from modelscope_vitadapter.config.model_config import load_model_config
    from modelscope_vitadapter.formats.files import hexadecimal
    from modelscope_vitadapter.network.build import build_network
    from modelscope_vitadapter.prediction.start import directory_of

    directory = directory_of(arguments.model)
    config = load_model_config(directory, trust_remote_code=arguments.trust_remote_code)
    settings = config.settings
    with torch.device("meta"):
        network = build_network(settings)
    checkpoint = find_checkpoint(directory)
    yield "model", directory
    yield "licence", licence_of(directory) or translated("not stated")
    yield "parameters", f"{sum(one.numel() for one in network.parameters()):,}"
    yield "checkpoint", f"{checkpoint.name}, {checkpoint.stat().st_size / 1e6:,.1f} MB"
    yield "window (height x width)", _size(settings.windows.crop_size)
    yield "stride", _size(settings.windows.stride)
    for number, view in enumerate(config.transform.views):
        steps = ", ".join(map(str, view.steps))
        yield f"test view {number}", f"{steps}{f', flip {view.flip}' if view.flip else ''}"
    yield "backbone", settings.backbone
    yield "head", settings.head
    used = {"model", "CLASSES", "PALETTE", "data", "test_cfg", "test_pipeline"}
    unused = sorted(set(config.config) - used)
    yield "of the config not used", ", ".join(unused) or translated("nothing")
    yield "classes", len(config.classes)
    for number, name in enumerate(config.classes):
        yield f"  {number}", f"{name} {hexadecimal(config.palette[number])}"


def _size(value: tuple[int, int] | None) -> str:
    return translated("the whole image") if value is None else f"{value[0]} x {value[1]}"


def licence_of(directory: Path) -> str | None:
    """What the head of a model's README states as its licence."""
    try:
        text = (directory / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.match(r"---\s*\n(.*?)\n---", text, flags=re.DOTALL)
    line = found and re.search(r"^licen[sc]e:\s*(.+)$", found[1], flags=re.MULTILINE)
    return line[1].strip(" '\"") if line else None


def _system() -> Iterator[tuple[str, Any]]:
    import psutil
    import torch

    from modelscope_vitadapter.devices import processor_features

    yield "modelscope-vitadapter", __version__
    yield "Python", f"{platform.python_version()}, {platform.platform()}"
    for name in PACKAGES:
        yield name, _version(name) or translated("missing")
    yield (
        "processor",
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
    )
    features = processor_features()
    yield "processor features", ", ".join(f"{name} {value}" for name, value in features.items())
    memory = psutil.virtual_memory()
    yield "memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free"
    cuda = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    yield "GPUs", ", ".join(cuda) or translated("none")
    for name, (extra, purpose) in OPTIONAL.items():
        if find_spec(name) is None:
            how = f"pip install 'modelscope-vitadapter[{extra}]'"
            yield f"{translated('missing')} ({translated(purpose)})", how


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
