"""The backbone for one window; the plain version is `adapter.BEiTAdapter.forward`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.cpu.attention import run_attention
from modelscope_vitadapter.network.cpu.bands import band_rows, bands
from modelscope_vitadapter.network.cpu.interaction import run_extractor, run_injector
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.maps import as_tokens, resize_tokens
from modelscope_vitadapter.network.interaction import Extractor, Geometry, InteractionBlock
from modelscope_vitadapter.network.position_bias import GridSize


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


def run_backbone(backbone: BEiTAdapter, image: Tensor, dtype: torch.dtype) -> BackboneTokens:
    """Extracts the features of one window `(1, 3, H, W)`, H and W multiples of 32."""
    geometry = Geometry.of_window(image.shape[-2], image.shape[-1], image.device)
    local, pyramid = spatial_prior(backbone, image)
    patches, class_token = backbone.embed(image)
    tokens = torch.cat((class_token, patches), dim=1)[0]
    x = tokens[1:]
    vit = []
    interactions = cast("Iterable[InteractionBlock]", backbone.interactions)
    for interaction, (first, last) in zip(interactions, backbone.interaction_indexes, strict=True):
        run_injector(interaction.injector, x, pyramid, geometry, dtype)
        for block in cast("Iterable[Block]", backbone.blocks[first : last + 1]):
            run_block(block, tokens, geometry.grid, dtype)
        extra = cast("Iterable[Extractor]", interaction.extra_extractors or ())
        for extractor in (interaction.extractor, *extra):
            run_extractor(extractor, pyramid, x, geometry, dtype)
        if backbone.add_vit_feature:
            vit.append(x.clone())
    if not vit:
        return BackboneTokens(geometry, local, pyramid, None)
    sizes = [height * width for height, width in geometry.pyramid]
    _, *coarse = torch.split(pyramid, sizes)
    for level, tokens, shape in zip(coarse, vit[2:], geometry.pyramid[1:], strict=True):
        level.add_(resize_tokens(tokens, geometry.grid, shape))
    return BackboneTokens(geometry, local, pyramid, (vit[0], vit[1]))


def spatial_prior(backbone: BEiTAdapter, image: Tensor) -> tuple[Tensor, Tensor]:
    """The stride-4 map without its last layer, as tokens, and the pyramid's tokens.

    The plain version is `SpatialPriorModule.forward`.
    """
    prior = backbone.spm
    image = image.contiguous(memory_format=torch.channels_last)
    c1 = prior.stem(image)
    maps, levels = c1, []
    for convolutions, project, embedding in (
        (prior.conv2, prior.fc2, backbone.level_embed[0]),
        (prior.conv3, prior.fc3, backbone.level_embed[1]),
        (prior.conv4, prior.fc4, backbone.level_embed[2]),
    ):
        maps = convolutions(maps)
        levels.append(as_tokens(project(maps)) + embedding)
    return as_tokens(c1), torch.cat(levels)


def run_block(block: Block, tokens: Tensor, grid: GridSize, dtype: torch.dtype) -> None:
    """Runs a block in place; the plain version is `Block.forward`.

    Args:
        block: the module.
        tokens: `(N, C)` float32, the class token first; overwritten.
        grid: `(h, w)`, N = 1 + h * w.
        dtype: what products are computed in; the residual stream and the norms stay float32.
    """
    attention = block.attn
    q, k, v = _project(block, tokens, dtype)
    attended = run_attention(q, k, v, attention.window_table(grid), grid)
    project = PackedLinear.of(attention.proj, dtype=dtype)
    expand = PackedLinear.of(block.mlp.fc1, dtype=dtype, activation="gelu")
    contract = PackedLinear.of(block.mlp.fc2, dtype=dtype)
    for band in bands(len(tokens), band_rows(dtype)):
        x = tokens[band]
        x.addcmul_(block.gamma_1, project(attended[band]).float())
        x.addcmul_(block.gamma_2, contract(expand(block.norm2(x))).float())


def _project(block: Block, tokens: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as `run_attention` takes them."""
    attention = block.attn
    heads, (count, width) = attention.num_heads, tokens.shape
    head_dim = width // heads
    q, k, v = (tokens.new_empty(heads, count, head_dim, dtype=dtype) for _ in range(3))
    project = PackedLinear(attention.qkv.weight, attention.qkv_bias(), dtype=dtype)
    for band in bands(count, band_rows(dtype)):
        projected = project(block.norm1(tokens[band])).view(-1, 3, heads, head_dim)
        backwards = slice(count - band.stop, count - band.start)
        q[:, band] = projected[:, 0].mul_(attention.scale).transpose(0, 1)
        k[:, backwards] = projected[:, 1].flip(0).transpose(0, 1)
        v[:, backwards] = projected[:, 2].flip(0).transpose(0, 1)
    return q, k, v
