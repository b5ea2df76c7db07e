"""Layer-wise learning rates and weight decay (BEiT, arXiv 2106.08254, appendix)."""

from collections.abc import Iterable
from typing import Any

from torch import nn

FIRST_LAYER = ("backbone.cls_token", "backbone.mask_token", "backbone.pos_embed")
"""Names of single parameters that belong to the first layer, beside the patch embedding."""

PREDICTORS = ("mask_embed", "cls_embed", "level_embed", "query_embed", "query_feat")
"""Parts of the head that the authors' code puts into the first layer."""


def layer_of(name: str, depth: int, *, decay_predictors: bool = False) -> int:
    """Which layer a parameter belongs to.

    Args:
        name: of the parameter in the network (`backbone.blocks.3.attn.qkv.weight`).
        depth: number of BEiT blocks.
        decay_predictors: see `Recipe`.

    Returns:
        0 for the patch embedding and tokens, i + 1 for block i, depth + 1 for everything else.
    """
    if name in FIRST_LAYER or name.startswith("backbone.patch_embed."):
        return 0
    parts = name.split(".")
    if name.startswith("backbone.blocks."):
        return int(parts[2]) + 1
    if decay_predictors and parts[0] == "decode_head" and parts[1] in PREDICTORS:
        return 0
    return depth + 1


def parameter_groups(
    network: nn.Module,
    *,
    depth: int,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float,
    decay_predictors: bool = False,
) -> list[dict[str, Any]]:
    """Groups of parameters that need gradients, for an optimiser.

    Args:
        network: with the hub's names.
        depth: number of BEiT blocks.
        learning_rate: of the last layer.
        weight_decay: of parameters with two axes or more; vectors and biases have none.
        layer_decay: the rate of layer i is `learning_rate * layer_decay ** (depth + 1 - i)`.
        decay_predictors: see `Recipe`.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `name`, in order of layers.
    """
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in _trained(network.named_parameters()):
        layer = layer_of(name, depth, decay_predictors=decay_predictors)
        decays = parameter.ndim > 1 and not name.endswith(".bias")
        group = groups.setdefault(
            (layer, decays),
            {
                "params": [],
                "lr": learning_rate * layer_decay ** (depth + 1 - layer),
                "weight_decay": weight_decay if decays else 0.0,
                "name": f"layer {layer}" + ("" if decays else ", no decay"),
            },
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _trained(
    parameters: Iterable[tuple[str, nn.Parameter]],
) -> Iterable[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in parameters if parameter.requires_grad)
