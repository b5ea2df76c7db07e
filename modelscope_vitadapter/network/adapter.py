"""ViT-Adapter around BEiT (arXiv 2205.08534): one window to four feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.beit import Block, PatchEmbed
from modelscope_vitadapter.network.interaction import Geometry, InteractionBlock
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule


class BEiTAdapter(nn.Module):
    """BEiT blocks that exchange features with a convolutional pyramid."""

    def __init__(
        self,
        *,
        embed_dim: int,
        patch_embed: PatchEmbed,
        blocks: Sequence[Block],
        spatial_prior: SpatialPriorModule,
        interactions: Sequence[InteractionBlock],
        interaction_indexes: Sequence[tuple[int, int]],
        add_vit_feature: bool,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.level_embed = nn.Parameter(torch.zeros(3, embed_dim))
        self.patch_embed = patch_embed
        self.blocks = nn.ModuleList(blocks)
        self.spm = spatial_prior
        self.interactions = nn.ModuleList(interactions)
        self.interaction_indexes = list(interaction_indexes)
        self.add_vit_feature = add_vit_feature
        self.up = nn.ConvTranspose2d(embed_dim, embed_dim, 2, 2)
        self.norm1 = nn.BatchNorm2d(embed_dim)
        self.norm2 = nn.BatchNorm2d(embed_dim)
        self.norm3 = nn.BatchNorm2d(embed_dim)
        self.norm4 = nn.BatchNorm2d(embed_dim)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Extracts features from one window.

        Args:
            image: `(B, 3, H, W)` float32, normalised RGB, H and W multiples of 32.

        Returns:
            Four maps `(B, C, H / s, W / s)` for the strides s = 4, 8, 16, 32.
        """
        geometry = Geometry.of_window(image.shape[-2], image.shape[-1], image.device)
        c1, c = self._pyramid(image)
        x, cls = self.embed(image)
        vit_maps = []
        stages = zip(self.interactions, self.interaction_indexes, strict=True)
        for interaction, (first, last) in stages:
            blocks = self.blocks[first : last + 1]
            x, c, cls = interaction(x, c, cls, blocks, geometry)
            vit_maps.append(_to_map(x, geometry.grid))
        c2, c3, c4 = self._split(c, geometry)
        maps = [self.up(c2) + c1, c2, c3, c4]
        if self.add_vit_feature:
            maps = _add_vit_features(maps, vit_maps)
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        return [norm(feature) for norm, feature in zip(norms, maps, strict=True)]

    def _pyramid(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The stride-4 map and the joined tokens of strides 8, 16 and 32 with level embedding."""
        c1, *tokens = self.spm(image)
        levels = [level + self.level_embed[i] for i, level in enumerate(tokens)]
        return c1, torch.cat(levels, dim=1)

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The ViT's patch tokens `(B, N, C)` and its class token `(B, 1, C)`."""
        x: Tensor = self.patch_embed(image)
        return x, self.cls_token.expand(x.shape[0], -1, -1)

    def _split(self, c: Tensor, geometry: Geometry) -> list[Tensor]:
        """The joined tokens as maps of strides 8, 16 and 32."""
        sizes = [height * width for height, width in geometry.pyramid]
        parts = torch.split(c, sizes, dim=1)
        return [_to_map(part, shape) for part, shape in zip(parts, geometry.pyramid, strict=True)]


def _to_map(tokens: Tensor, shape: tuple[int, int]) -> Tensor:
    """Tokens `(B, h * w, C)` as a map `(B, C, h, w)`, channels last: nothing is copied."""
    return tokens.transpose(1, 2).view(tokens.shape[0], -1, *shape)


def _add_vit_features(maps: Sequence[Tensor], vit_maps: Sequence[Tensor]) -> list[Tensor]:
    """Adds the four stages' stride-16 ViT maps, resized to each pyramid level."""
    resized = [
        F.interpolate(vit_map, scale_factor=scale, mode="bilinear", align_corners=False)
        if scale != 1.0
        else vit_map
        for vit_map, scale in zip(vit_maps, (4.0, 2.0, 1.0, 0.5), strict=True)
    ]
    return [feature + vit for feature, vit in zip(maps, resized, strict=True)]
