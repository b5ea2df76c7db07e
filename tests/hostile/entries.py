"""What an entry of the corpus is, and the well-formed model directory that each one changes."""

import functools
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.support.configs import TINY, tiny_config
from tests.support.networks import tiny_network

CONFIG = "mmcv_config.py"
CHECKPOINT = "pytorch_model.pt"
CANARY = "canary"
"""A file of this name in a model directory tells that code of the directory ran."""

CANARY_MODULE = "canary_module"
"""A module of the model directory that makes the canary when it is imported."""

TEST_PIPELINE = """[
    dict(type="LoadImageFromFile"),
    dict(type="MultiScaleFlipAug", img_scale=(64, 64), flip=False, transforms=[
        dict(type="Resize", keep_ratio=True),
        dict(type="RandomFlip"),
        dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
        dict(type="ImageToTensor", keys=["img"]),
        dict(type="Collect", keys=["img"])])]"""

BAIT = """
CANARY = {canary!r}
import canary_module
from canary_module import anything as something
open(CANARY, "w").close()
unused = [open(CANARY, "w"), __import__("canary_module"), (lambda: open(CANARY, "w"))()]
with open(CANARY, "w") as file:
    file.write(f"{{open(CANARY)}}")
class Early(metaclass=print(open(CANARY, "w"))):
    @open
    def method(self, x=open(CANARY, "w")): pass
"""
"""What every configuration of the corpus begins with; nothing of it is needed."""


@dataclass(frozen=True)
class Entry:
    """A model directory and what is to come of it.

    Attributes:
        name: unique.
        make: changes a well-formed directory.
        error: class, or classes with | between, of the error that loading it raises; None where
            it loads.
        words: regular expression that the error's message holds.
        warns: regular expression that the log holds; None where it has to be empty.
        check: looks at the model that was loaded.
        same: whether the loaded model answers as the well-formed one.
        heavy: left to the measured run in processes of its own.
        needs: `links`, `pipes` or `permissions`, where not every system has them.
    """

    name: str
    make: Callable[[Path], None]
    error: str | None = None
    words: str = ""
    warns: str | None = None
    check: Callable[[Any], None] | None = None
    same: bool = True
    heavy: bool = False
    needs: str = ""


def config_text(directory, changes=None, *, head="", tail="", **names):
    """The tiny model's configuration as Python.

    Args:
        directory: where the canary would appear.
        changes: values by dotted paths, see `tests.support.configs.tiny_config`.
        head: put behind the bait.
        tail: put at the end.
        **names: source text of `model`, `CLASSES`, `PALETTE` and `test_pipeline`; None leaves the
            name out.
    """
    config = tiny_config(changes)
    sources = {
        "model": repr(config["model"]),
        "CLASSES": repr(config["CLASSES"]),
        "PALETTE": repr(config["PALETTE"]),
        "test_pipeline": TEST_PIPELINE,
        **names,
    }
    assignments = [f"{name} = {text}" for name, text in sources.items() if text is not None]
    bait = BAIT.format(canary=str(directory / CANARY))
    return "\n".join([bait, head, *assignments, tail, ""])


@functools.cache
def _state():
    return tiny_network().state_dict()


def tiny_state():
    """The tensors of the tiny model, by name, in a new dictionary; equal in every process."""
    return dict(_state())


@functools.cache
def _checkpoint():
    buffer = io.BytesIO()
    torch.save({"state_dict": tiny_state(), "meta": {"epoch": 3}}, buffer)
    return buffer.getvalue()


def write_whole(directory):
    """Write the well-formed directory, with code in it that never runs."""
    directory.mkdir(parents=True)
    (directory / CONFIG).write_text(config_text(directory), encoding="utf-8")
    (directory / CHECKPOINT).write_bytes(_checkpoint())
    configuration = {
        "framework": "pytorch",
        "task": "image-segmentation",
        "pipeline": {"type": "image-semantic-segmentation"},
        "model": {"type": "vitadapter-semantic-segmentation"},
    }
    (directory / "configuration.json").write_text(json.dumps(configuration), encoding="utf-8")
    write_canary_module(directory)


def make_directory(entry, directory):
    """Write an entry's directory.

    Returns:
        Why this system can't have it, or None.
    """
    if entry.needs == "permissions" and (not hasattr(os, "geteuid") or os.geteuid() == 0):
        return "permissions do not bind this user"
    if entry.needs == "pipes" and not hasattr(os, "mkfifo"):
        return "this system has no named pipes"
    write_whole(directory)
    try:
        entry.make(directory)
    except OSError as error:
        if entry.needs == "links" and sys.platform == "win32":
            return f"this system makes no symbolic links ({error})"
        raise
    return None


def write_canary_module(directory):
    """Write the module that none may import."""
    code = f"open({str(directory / CANARY)!r}, 'w').close()\ndef run(*_, **__): pass\n"
    (directory / f"{CANARY_MODULE}.py").write_text(code, encoding="utf-8")


def rewritten(**options):
    """A `make` that writes another configuration, see `config_text`."""

    def make(directory):
        text = config_text(directory, **options)
        (directory / CONFIG).write_text(text, encoding="utf-8")

    return make


def base_of(directory, **options):
    """Write the configuration as `base.py`, for entries that name it in `_base_`."""
    (directory / "base.py").write_text(config_text(directory, **options), encoding="utf-8")


ANYTHING = ""
"""`warns` of an entry of which the log may hold anything."""

CLASS_NAMES = TINY["CLASSES"]


def classes_are(names):
    """A `check` of the class names."""

    def check(model):
        assert list(names) == model.CLASSES

    return check
