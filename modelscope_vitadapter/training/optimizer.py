"""What is trained of a network, and how fast: rates by layer are BEiT's (arXiv 2106.08254)."""

from typing import Any

import torch
from torch import nn

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.interaction import Extractor, Injector
from modelscope_vitadapter.network.seeded_dropout import DropPath
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.training.train_config import FREEZE_CHOICES, TrainConfig

FIRST_LAYER = ("backbone.cls_token", "backbone.patch_embed.")
"""What names of the first layer begin with."""

PREDICTORS = ("mask_embed", "cls_embed", "level_embed", "query_embed", "query_feat")
"""Parts of the head that the authors' code puts into the first layer."""

logger = get_logger()


def arrange_network(
    network: EncoderDecoderMask2Former, config: TrainConfig, *, freeze: str = "nothing"
) -> None:
    """Sets stochastic depth and computed activations, and takes gradients from frozen parameters.

    In place; `freeze` is one of `train_config.FREEZE_CHOICES`, here and below.
    """
    backbone = network.backbone
    if config.drop_path is not None:
        blocks = [module for module in backbone.blocks if isinstance(module, Block)]
        rates = torch.linspace(0, config.drop_path, len(blocks)).tolist()
        for block, rate in zip(blocks, rates, strict=True):
            block.drop_path.probability = rate
        for module in backbone.interactions.modules():
            if isinstance(module, DropPath):
                module.probability = config.drop_path
    if config.checkpoint_activations is not None:
        for module in network.modules():
            if isinstance(module, Block | Injector | Extractor):
                module.with_cp = config.checkpoint_activations
    for name, parameter in network.named_parameters():
        if is_frozen(name, freeze):
            parameter.requires_grad_(False)
    total = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    logger.info("%d of %d parameters are trained", trained, total)


def is_frozen(name: str, freeze: str) -> bool:
    """Whether a parameter or module of the network, by name, stays as it is."""
    return f"{name}.".startswith(FREEZE_CHOICES[freeze])


def train_unfrozen(network: nn.Module, freeze: str) -> None:
    """Puts the network into training mode, its frozen parts, norms too, into evaluation mode."""
    network.train()
    for name, module in network.named_modules():
        if is_frozen(name, freeze):
            module.training = False


def layer_of(name: str, depth: int, *, decay_predictors: bool = False) -> int:
    """The layer of a parameter of a network with `depth` BEiT blocks, by its name.

    0 for the patch embedding and tokens, i + 1 for block i, depth + 1 for everything else, but for
    the predictors (see `TrainConfig`).
    """
    parts = name.split(".")
    if name.startswith("backbone.blocks."):
        return int(parts[2]) + 1
    predicts = decay_predictors and parts[0] == "decode_head" and parts[1] in PREDICTORS
    return 0 if predicts or name.startswith(FIRST_LAYER) else depth + 1


def parameter_groups(network: nn.Module, depth: int, config: TrainConfig) -> list[dict[str, Any]]:
    """Groups of the parameters that need gradients, with `params`, `lr` and `weight_decay`.

    The rate of layer i is `learning_rate * layer_decay ** (depth + 1 - i)`; parameters with one
    axis, and biases, have no weight decay.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            layer = layer_of(name, depth, decay_predictors=config.decay_predictors)
            decays = parameter.ndim > 1 and not name.endswith(".bias")
            groups.setdefault((layer, decays), []).append(parameter)
    return [
        {
            "params": groups[layer, decays],
            "lr": config.learning_rate * config.layer_decay ** (depth + 1 - layer),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for layer, decays in sorted(groups)
    ]


def rate_factor(step: int, config: TrainConfig, max_iters: int) -> float:
    """The rate of a step, counted from 0, as a share of the highest; 0 at `max_iters`.

    As mmcv's `poly` policy with linear warm-up: the warm-up multiplies the decayed rate.
    """
    decayed: float = max(1.0 - step / max_iters, 0.0) ** config.power
    warmup = config.warmup(max_iters)
    if step >= warmup:
        return decayed
    return decayed * (1.0 - (1.0 - step / warmup) * (1.0 - config.warmup_ratio))
