"""What of a run's options sits in the network: what is frozen, dropped and computed twice."""

import torch
from torch import nn

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.drop_path import DropPath
from modelscope_vitadapter.network.interaction import Extractor, Injector
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.training.train_config import TrainConfig

BEIT_PARTS = ("cls_token", "pos_embed", "patch_embed", "pos_drop", "rel_pos_bias", "blocks")
"""Attributes of the backbone that BEiT has without an adapter."""

logger = get_logger()


def arrange_network(
    network: EncoderDecoderMask2Former, config: TrainConfig, *, freeze: str = "nothing"
) -> None:
    """Sets stochastic depth and computed activations, and takes gradients from frozen parameters.

    Args:
        network: what is trained; changed in place.
        config: of the run.
        freeze: one of `train_config.FREEZE`.
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
            if isinstance(module, (Block, Injector, Extractor)):
                module.with_cp = config.checkpoint_activations
    if backbone.rel_pos_bias is not None:  # no block reads it, so it has no gradient
        backbone.rel_pos_bias.requires_grad_(False)
    counts = {True: 0, False: 0}
    for name, parameter in network.named_parameters():
        if is_frozen(name, freeze):
            parameter.requires_grad_(False)
        counts[parameter.requires_grad] += parameter.numel()
    logger.info("%d of %d parameters are trained", counts[True], sum(counts.values()))


def is_frozen(name: str, freeze: str) -> bool:
    """Whether a parameter or module of the network, by name, stays as it is."""
    parts = name.split(".")
    if freeze == "nothing" or parts[0] != "backbone":
        return False
    return freeze == "backbone" or (len(parts) > 1 and parts[1] in BEIT_PARTS)


def train_unfrozen(network: nn.Module, freeze: str) -> None:
    """Puts the network into training mode, its frozen parts into evaluation mode.

    Norms of frozen parts keep their statistics, and nothing is dropped in them.
    """
    network.train()
    for name, module in network.named_modules():
        if name and is_frozen(name, freeze):
            module.training = False
