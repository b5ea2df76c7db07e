"""The backbone for one window; the plain version is `adapter.BEiTAdapter.forward`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.blocks import run_block
from modelscope_vitadapter.network.cpu.folding import fold_batch_norm
from modelscope_vitadapter.network.cpu.interaction import run_extractor, run_injector
from modelscope_vitadapter.network.cpu.layout import as_tokens
from modelscope_vitadapter.network.cpu.modules import modules_of
from modelscope_vitadapter.network.cpu.resizing import resize_tokens
from modelscope_vitadapter.network.interaction import Extractor, Geometry, InteractionBlock
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule


@dataclass
class BackboneTokens:
    """What the backbone's maps are made of, before resizing, up-sampling and batch norms.

    Attributes:
        geometry: sizes of the maps.
        local: the spatial prior's stride-4 map before its last layer, `(H / 4 * W / 4, C')`.
        pyramid: tokens `(N, C)` of strides 8, 16 and 32, joined; to the latter two, what is added
            of the ViT's tokens has been added.
        vit: the ViT's stride-16 tokens `(h * w, C)` that are to be added, resized, to the maps of
            strides 4 and 8 (after the former was up-sampled from the latter); or None.
    """

    geometry: Geometry
    local: Tensor
    pyramid: Tensor
    vit: tuple[Tensor, Tensor] | None

    def release(self) -> None:
        """Gives the tokens' memory back, before the finest map needs more."""
        self.local = self.pyramid = self.local.new_empty(0)
        self.vit = None


def run_backbone(
    backbone: BEiTAdapter, image: Tensor, dtype: torch.dtype, scratch: Scratch
) -> BackboneTokens:
    """Extracts the features of one window `(1, 3, H, W)`, H and W multiples of 32."""
    geometry = Geometry.of_window(image.shape[-2], image.shape[-1], image.device)
    local, pyramid = _spatial_prior(backbone, image)
    patches, class_token = backbone.embed(image)
    tokens = torch.cat((class_token, patches), dim=1)[0]
    x = tokens[1:]
    vit = []
    blocks = modules_of(backbone.blocks, Block)
    interactions = modules_of(backbone.interactions, InteractionBlock)
    for interaction, indexes in zip(interactions, backbone.interaction_indexes, strict=True):
        run_injector(interaction.injector, x, pyramid, geometry, dtype, scratch)
        for block in blocks[indexes[0] : indexes[-1] + 1]:
            run_block(block, tokens, geometry.grid, dtype, scratch)
        extra = modules_of(interaction.extra_extractors or (), Extractor)
        for extractor in (interaction.extractor, *extra):
            run_extractor(extractor, pyramid, x, geometry, dtype, scratch)
        if backbone.add_vit_feature:
            vit.append(x.clone())
    scratch.drop("q", "k", "v", "attended", "bias", "spread", "hidden", "table")
    if not vit:
        return BackboneTokens(geometry, local, pyramid, None)
    sizes = [height * width for height, width in geometry.pyramid]
    _, *coarse = torch.split(pyramid, sizes)
    for level, tokens, shape in zip(coarse, vit[2:], geometry.pyramid[1:], strict=True):
        level.add_(resize_tokens(tokens, geometry.grid, shape))
    return BackboneTokens(geometry, local, pyramid, (vit[0], vit[1]))


def _spatial_prior(backbone: BEiTAdapter, image: Tensor) -> tuple[Tensor, Tensor]:
    """The stride-4 map without its last layer, as tokens, and the pyramid's tokens.

    The plain version is `SpatialPriorModule.forward`; batch norms are folded into convolutions.
    """
    prior: SpatialPriorModule = backbone.spm
    image = image.contiguous(memory_format=torch.channels_last)
    c1 = _run_folded(prior.stem, image)
    maps, levels = c1, []
    for convolutions, project, level in (
        (prior.conv2, prior.fc2, 0),
        (prior.conv3, prior.fc3, 1),
        (prior.conv4, prior.fc4, 2),
    ):
        maps = _run_folded(convolutions, maps)
        levels.append(as_tokens(project(maps)) + backbone.level_embed[level])
    return as_tokens(c1), torch.cat(levels)


def _run_folded(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Runs convolutions with batch norm and ReLU, and what else stands between them."""
    remaining = iter(layers)
    for layer in remaining:
        if isinstance(layer, nn.Conv2d):
            norm = next(remaining)
            assert isinstance(norm, nn.BatchNorm2d)
            weight, bias = fold_batch_norm(layer.weight, layer.bias, norm)
            x = F.conv2d(x, weight, bias, layer.stride, layer.padding)
        else:
            x = layer(x)
    return x
