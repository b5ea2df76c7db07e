"""What the names in a checkpoint stand for: pure functions, names in, names out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.validation import shown

_PREFIXES = re.compile(r"^(module\.|model\.|_orig_mod\.)+")
"""Put before every name by DataParallel, by ModelScope's model classes and by `torch.compile`."""

_LEFT_OVERS = (
    r"(.+\.)?relative_position_index",  # computed from the window size
    r"backbone\.rel_pos_bias\..+",  # shared bias, of a config that has none
    r"decode_head\.conv_seg\..+",  # mmseg's own classifier, which Mask2Former replaces
    r"auxiliary_head\..+",  # used in training only
    r"decode_head\.(loss_|criterion).*",  # class weights of the loss
    r"ema_.+",  # mmcv's moving average keeps a second copy of all weights beside the first
)
"""Names (prefixes taken off) that are left unread unless the network has that name itself."""


def hub_name(name: str) -> str:
    """Take all wrapper prefixes off a name: `module.model.backbone.x` becomes `backbone.x`."""
    return _PREFIXES.sub("", name)


def is_left_over(name: str) -> bool:
    """Whether a name is of an entry that training leaves behind."""
    return re.fullmatch("|".join(_LEFT_OVERS), hub_name(name)) is not None


def is_optional(name: str) -> bool:
    """Whether old checkpoints lack a name of the network: a counter, which starts at zero."""
    return name.endswith("num_batches_tracked")


def hub_names(names: Iterable[str]) -> dict[str, str]:
    """The names of a wrapper's state dict by the hub's names; the order stays.

    Raises:
        CheckpointError: two names become the same.
    """
    given: dict[str, str] = {}
    for name in names:
        bare = hub_name(name)
        if bare in given:
            raise CheckpointError(
                f"Two entries of the checkpoint, {shown(given[bare])} and {shown(name)}, both "
                f"stand for {shown(bare)}; expected one. Save the weights of a single model."
            )
        given[bare] = name
    return given


def plan_names(file_names: Iterable[str], network_names: Iterable[str]) -> dict[str, str]:
    """Which entry of a checkpoint each name of a network is filled from, if any; errors as above.

    Names of the file may have prefixes of wrappers, those of the network are the hub's.
    """
    given = hub_names(file_names)
    return {name: given[name] for name in network_names if name in given}
