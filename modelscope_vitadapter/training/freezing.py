"""Which parts of the network are trained."""

from enum import Enum

from torch import nn


class Freeze(str, Enum):
    """What stays as it is.

    `NOTHING`; `BEIT`, the ViT's own parameters, so that adapter and head are trained; `BACKBONE`,
    ViT and adapter, so that only the head is trained.
    """

    NOTHING = "nothing"
    BEIT = "beit"
    BACKBONE = "backbone"


BEIT_PARTS = ("cls_token", "pos_embed", "patch_embed", "pos_drop", "rel_pos_bias", "blocks")
"""Attributes of the backbone that BEiT has without an adapter."""


def parse_freeze(value: object) -> Freeze:
    """Reads the option.

    Raises:
        ValueError: for any other value.
    """
    if value is None:
        return Freeze.NOTHING
    try:
        return Freeze(value)
    except ValueError:
        choices = ", ".join(repr(choice.value) for choice in Freeze)
        raise ValueError(f"freeze is {value!r}: expected one of {choices}") from None


def is_frozen(name: str, freeze: Freeze) -> bool:
    """Whether a parameter or module of the network, by name, stays as it is."""
    parts = name.split(".")
    if freeze is Freeze.NOTHING or parts[0] != "backbone":
        return False
    return freeze is Freeze.BACKBONE or (len(parts) > 1 and parts[1] in BEIT_PARTS)


def freeze_parameters(network: nn.Module, freeze: Freeze) -> None:
    """Takes gradients from the frozen parameters, and gives them to no other."""
    for name, parameter in network.named_parameters():
        if is_frozen(name, freeze):
            parameter.requires_grad_(False)


def train_unfrozen(network: nn.Module, freeze: Freeze) -> None:
    """Puts the network into training mode, its frozen parts into evaluation mode.

    Norms of frozen parts keep their statistics, and nothing is dropped in them.
    """
    network.train()
    for name, module in network.named_modules():
        if name and is_frozen(name, freeze):
            module.training = False
