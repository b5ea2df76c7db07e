"""ViT-Adapter around BEiT (arXiv 2205.08534): one window to four feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.beit import Block, PatchEmbed, SharedPositionBias
from modelscope_vitadapter.network.interaction import Geometry, InteractionBlock
from modelscope_vitadapter.network.position_bias import GridSize
from modelscope_vitadapter.network.sample_noise import Dropout
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule


def interpolate_position_embedding(embedding: Tensor, table: GridSize, grid: GridSize) -> Tensor:
    """Resizes absolute position embeddings `(1, h * w, C)` of `table` to `grid`, bicubically."""
    maps = embedding.reshape(1, table[0], table[1], -1).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=grid, mode="bicubic", align_corners=False)
    return maps.flatten(2).transpose(1, 2)


class BEiTAdapter(nn.Module):
    """BEiT blocks that exchange features with a convolutional pyramid."""

    pos_embed: nn.Parameter | None

    def __init__(
        self,
        *,
        embed_dim: int,
        patch_embed: PatchEmbed,
        blocks: Sequence[Block],
        spatial_prior: SpatialPriorModule,
        interactions: Sequence[InteractionBlock],
        interaction_indexes: Sequence[Sequence[int]],
        add_vit_feature: bool,
        position_grid: GridSize | None,
        num_positions: int,
        shared_position_bias: SharedPositionBias | None,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = None
        if position_grid is not None:
            self.pos_embed = nn.Parameter(torch.zeros(1, num_positions, embed_dim))
        self.position_grid = position_grid
        self.level_embed = nn.Parameter(torch.zeros(3, embed_dim))
        self.patch_embed = patch_embed
        self.pos_drop = Dropout(drop_rate)
        self.rel_pos_bias = shared_position_bias
        self.blocks = nn.ModuleList(blocks)
        self.spm = spatial_prior
        self.interactions = nn.ModuleList(interactions)
        self.interaction_indexes = [list(indexes) for indexes in interaction_indexes]
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
        for interaction, indexes in zip(self.interactions, self.interaction_indexes, strict=True):
            blocks = self.blocks[indexes[0] : indexes[-1] + 1]
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
        x, grid = self.patch_embed(image)
        if self.pos_embed is not None and self.position_grid is not None:
            rows, columns = self.position_grid
            laid_out = self.pos_embed[:, -rows * columns :]
            x = x + interpolate_position_embedding(laid_out, self.position_grid, grid)
        return self.pos_drop(x), self.cls_token.expand(x.shape[0], -1, -1)

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
