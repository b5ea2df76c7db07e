"""The weights of what no checkpoint gives."""

import math

import torch
from torch import nn

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former

BEIT_STD, BEIT_WIDTH = 0.02, 1024
"""BEiT-L's standard deviation of weights, and the width that it goes with."""

LEANING = 4.0
"""Logit by which a query that starts fresh leans to its class."""


@torch.no_grad()
def set_fresh_weights(network: EncoderDecoderMask2Former) -> None:
    """Fills a network as BEiT, ViT-Adapter and Mask2Former are filled before training.

    Backbone: linear layers and tokens from a normal distribution of 0.02, cut at two deviations,
    and blocks' output layers divided by sqrt(2 * depth) (BEiT, arXiv 2106.08254). That is for
    layers of 1024 inputs or more; narrower ones have as much more as keeps what they give alive.
    Convolutions from a normal distribution of sqrt(2 / fan out) (ViT-Adapter). Deformable
    attentions as in Deformable DETR (arXiv 2010.04159). Transformer layers of the head: Xavier
    uniform. Scales (`gamma`) and norms stay as they were built. Not from a paper: query k leans to
    class k from the beginning, which spares the matching a long search.

    Args:
        network: as it was built, with memory; drawn from PyTorch's global generator.
    """
    _fill_backbone(network.backbone)
    _fill_head(network.decode_head)
    for module in network.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            module.reset_parameters()


def _fill_backbone(backbone: BEiTAdapter) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            std = BEIT_STD * max(1.0, math.sqrt(BEIT_WIDTH / module.in_features))
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    for name, parameter in backbone.named_parameters():
        if name.endswith(".bias"):
            nn.init.zeros_(parameter)
        elif name.startswith("blocks.") and name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            parameter.div_(math.sqrt(2.0 * (int(name.split(".")[1]) + 1)))
    nn.init.trunc_normal_(backbone.cls_token, std=BEIT_STD)
    nn.init.normal_(backbone.level_embed)


def _fill_head(head: Mask2FormerHead) -> None:
    decoder = head.pixel_decoder
    for part in (head.transformer_decoder, decoder.encoder):
        for parameter in part.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
    for name, parameter in decoder.named_parameters():
        if ".conv." in name and name.endswith(".bias"):
            nn.init.zeros_(parameter)
        elif ".conv." in name and name.startswith("input_convs"):
            nn.init.xavier_uniform_(parameter)
        elif ".conv." in name:
            nn.init.kaiming_uniform_(parameter, a=1)
    queries, width = head.query_feat.weight.shape
    classes = head.cls_embed.out_features - 1
    if queries >= classes:  # the classifier answers k to query k as it enters the decoder
        normed = head.transformer_decoder.post_norm(head.query_feat.weight[:classes])
        head.cls_embed.weight[:classes] = LEANING / width * normed
        nn.init.zeros_(head.cls_embed.weight[classes:])
        nn.init.zeros_(head.cls_embed.bias)
