"""What the names in a checkpoint stand for: pure functions, names in, names out.

Two tables hold the rules: the prefixes that training wrappers put before every name, and the
entries that training leaves behind and that no network for inference reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.validation import shown

Value = TypeVar("Value")

WRAPPER_PREFIXES = ("module.", "model.", "_orig_mod.")
"""Put before every name by DataParallel, by ModelScope's model classes and by `torch.compile`."""

STATE_DICT_ENTRIES = ("state_dict", "model", "module")
"""Top-level entries under which trainers store the state dict, the preferred one first."""

LEFT_OVER_PATTERNS = (
    r"(.+\.)?relative_position_index",  # computed from the window size
    r"backbone\.rel_pos_bias\..+",  # shared bias, of a config that has none
    r"decode_head\.conv_seg\..+",  # mmseg's own classifier, which Mask2Former replaces
    r"auxiliary_head\..+",  # used in training only
    r"decode_head\.(loss_|criterion).*",  # class weights of the loss
    r"ema_.+",  # mmcv's moving average keeps a second copy of all weights beside the first
)
"""Full names (prefixes taken off) that are left unread unless the network has that name itself."""

OPTIONAL_PATTERNS = (r"(.+\.)?num_batches_tracked",)
"""Names of the network that old checkpoints lack; they start at zero."""

_PREFIXES = re.compile(f"(?:{'|'.join(map(re.escape, WRAPPER_PREFIXES))})+")
_LEFT_OVER = re.compile("|".join(LEFT_OVER_PATTERNS))
_OPTIONAL = re.compile("|".join(OPTIONAL_PATTERNS))


def hub_name(name: str) -> str:
    """Take all wrapper prefixes off a name: `module.model.backbone.x` becomes `backbone.x`."""
    prefixes = _PREFIXES.match(name)
    return name[prefixes.end() :] if prefixes else name


def is_left_over(name: str) -> bool:
    """Whether a hub name is an entry that training leaves behind."""
    return _LEFT_OVER.fullmatch(name) is not None


def is_optional(name: str) -> bool:
    """Whether a network name may be absent from the checkpoint."""
    return _OPTIONAL.fullmatch(name) is not None


def hub_state_dict(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename a wrapper's state dict to the hub's names; order and values stay.

    Raises:
        CheckpointError: two names become the same.
    """
    given: dict[str, str] = {}
    for name in state:
        bare = hub_name(name)
        if bare in given:
            raise CheckpointError(
                f"Two entries of the checkpoint, {shown(given[bare])} and {shown(name)}, both "
                f"stand for {shown(bare)}; expected one. Save the weights of a single model."
            )
        given[bare] = name
    return {bare: state[name] for bare, name in given.items()}


@dataclass(frozen=True)
class NamePlan:
    """Which entries of a checkpoint go where.

    Attributes:
        used: network name to the name in the file.
        ignored: names in the file that are known left-overs.
        unexpected: other names in the file that the network has no place for.
        missing: names of the network that the file lacks and that have no default.
    """

    used: Mapping[str, str]
    ignored: tuple[str, ...]
    unexpected: tuple[str, ...]
    missing: tuple[str, ...]


def plan_names(file_names: Iterable[str], network_names: Iterable[str]) -> NamePlan:
    """Match the names in a file with the names of a network.

    Args:
        file_names: names of the state dict in the file, with or without wrapper prefixes.
        network_names: names of the network's parameters and persistent buffers, hub spelling.

    Returns:
        The plan; every file name is in exactly one of `used`, `ignored` and `unexpected`.

    Raises:
        CheckpointError: two file names stand for the same entry.
    """
    given = hub_state_dict({name: name for name in file_names})
    wanted = list(network_names)
    used = {name: given.pop(name) for name in wanted if name in given}
    return NamePlan(
        used=used,
        ignored=tuple(name for bare, name in given.items() if is_left_over(bare)),
        unexpected=tuple(name for bare, name in given.items() if not is_left_over(bare)),
        missing=tuple(name for name in wanted if name not in used and not is_optional(name)),
    )
