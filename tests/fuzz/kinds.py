"""What is drawn, how it is loaded, and what is known of the result."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from hypothesis.strategies import SearchStrategy

from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.config.reader import (
    NAMES,
    Unreadable,
    execute_config,
    read_config,
    unreadable_error,
)
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.network.build import build_network
from tests.fuzz import config_text, model_config
from tests.fuzz.oracle import DefectError

_SIZES = re.compile(
    "too much work|too large|elements|bits|nested too deeply|characters|a format wider|too long"
)
"""Refusals for size, which may meet any program."""


def _nothing(directory, outcome):
    """Nothing more is known."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: as it is reported.
        files: strategy of a model directory's files, content by name.
        load: loads a directory.
        check: takes the directory and the result or the error of loading it.
        names: files that a refusal may name though they are not there.
        good: files of a directory that loads after every input; none: that is not tried.
        examples: how many the short run tries.
    """

    name: str
    files: SearchStrategy
    load: Callable[[Path], object]
    check: Callable[[Path, object], None] = _nothing
    names: tuple[str, ...] = ("mmcv_config.py",)
    good: Mapping[str, bytes] = field(default_factory=dict)
    examples: int = 350


def _read(directory):
    return read_config(directory / "mmcv_config.py")


def _execute(directory):
    """What executing a config gives; None where Python doesn't get through it."""
    try:
        return execute_config(directory / "mmcv_config.py", ConfigError("compared"))
    except ConfigError:
        return None


def _same_as_executed(directory, outcome):
    executed = _execute(directory)
    if executed is None:
        return
    if isinstance(outcome, Exception):
        if not _SIZES.search(str(outcome)):
            raise DefectError("refused, and Python runs it", str(outcome))
        return
    _compare_configs(outcome, executed, strict=True)


def _never_otherwise(directory, outcome):
    if isinstance(outcome, Exception):
        return
    executed = _execute(directory)
    if executed is not None:
        _compare_configs(outcome, executed, strict=False)


def _compare_configs(found, executed, *, strict):
    for name in NAMES:
        if (name in found) != (name in executed):
            raise DefectError("a name more or less than Python has", name)
        if name in found:
            compare(found[name], executed[name], name, strict=strict)


def compare(found, expected, place, *, strict):
    """Raise where a value is another than Python's; unreadable ones may be unless `strict`."""
    if isinstance(found, Unreadable):
        if strict and not _SIZES.search(found.message):
            raise DefectError("unreadable, and Python evaluates it", str(unreadable_error(found)))
        return
    kind = dict if isinstance(expected, dict) else type(expected)
    if not isinstance(found, kind) or (kind is not dict and type(found) is not kind):
        raise DefectError("another type than Python's", f"{place}: {found!r}, {expected!r}"[:2000])
    if kind is dict:
        if found.keys() != expected.keys():
            raise DefectError(
                "other keys than Python's", f"{place}: {found!r}, {expected!r}"[:2000]
            )
        for key in found:
            compare(found[key], expected[key], f"{place}[{key!r}]", strict=strict)
    elif kind in (list, tuple):
        if len(found) != len(expected):
            raise DefectError(
                "another length than Python's", f"{place}: {found!r}, {expected!r}"[:2000]
            )
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            compare(one, other, f"{place}[{index}]", strict=strict)
    elif kind is float and math.isnan(expected):
        if not math.isnan(found):
            raise DefectError("another value than Python's", f"{place}: {found!r}, {expected!r}")
    elif found != expected:
        raise DefectError("another value than Python's", f"{place}: {found!r}, {expected!r}"[:2000])


def _build(directory):
    settings = load_model_config(directory).settings
    with torch.device("meta"):
        return build_network(settings, adapter_form=AdapterForm.BUILTIN)


_GOOD_CONFIG = {"mmcv_config.py": config_text.TINY}
KINDS = {
    kind.name: kind
    for kind in (
        Kind("config, evaluable", config_text.same_files, _read, _same_as_executed),
        Kind("config, harmless", config_text.sound_files, _read, _never_otherwise),
        Kind("config, hostile", config_text.hostile_files, _read, good=_GOOD_CONFIG),
        Kind("config, bytes", config_text.changed_files, _read, good=_GOOD_CONFIG),
        Kind("settings", model_config.settings_files, _build),
    )
}
"""All kinds by name, in the order in which they are tried."""
