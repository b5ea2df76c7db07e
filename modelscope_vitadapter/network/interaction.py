"""Injectors, extractors and their interaction blocks (ViT-Adapter, arXiv 2205.08534, section 3.4).

The adapter's tokens are the maps of strides 8, 16 and 32, flattened and joined; the ViT's tokens
are one map of stride 16.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.beit import Block, layer_norm, recomputed
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    SpatialShape,
    reference_points,
)
from modelscope_vitadapter.network.seeded_dropout import DropPath


@dataclass(frozen=True)
class Geometry:
    """Map sizes and reference points of one window.

    `grid` is `(h, w)` of the stride-16 map; `pyramid` holds `(height, width)` of the maps of
    strides 8, 16 and 32; the points are `(1, N, 1, 2)`.
    """

    grid: SpatialShape
    pyramid: tuple[SpatialShape, SpatialShape, SpatialShape]
    grid_points: Tensor
    pyramid_points: Tensor

    @classmethod
    def of_window(cls, height: int, width: int, device: torch.device) -> "Geometry":
        """Describes a window of `height` x `width` pixels, multiples of 32."""
        grid = (height // 16, width // 16)
        pyramid = ((height // 8, width // 8), grid, (height // 32, width // 32))
        return cls(
            grid=grid,
            pyramid=pyramid,
            grid_points=reference_points([grid], device=device),
            pyramid_points=reference_points(pyramid, device=device),
        )


class DepthwiseConv(nn.Module):
    """One 3 x 3 depthwise convolution, shared by the three maps of the pyramid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor, pyramid: Iterable[SpatialShape]) -> Tensor:
        """Maps tokens `(B, N, C)` of the pyramid to the same shape."""
        shapes = list(pyramid)
        batch, _, channels = x.shape
        outputs = []
        for tokens, (height, width) in zip(
            torch.split(x, [h * w for h, w in shapes], dim=1), shapes, strict=True
        ):
            maps = tokens.transpose(1, 2).view(batch, channels, height, width)
            outputs.append(self.dwconv(maps).flatten(2).transpose(1, 2))
        return torch.cat(outputs, dim=1)


class ConvFFN(nn.Module):
    """Feed-forward network with a depthwise convolution between its linear layers."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.dwconv = DepthwiseConv(hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor, pyramid: Iterable[SpatialShape]) -> Tensor:
        """Maps tokens `(B, N, C)` of the pyramid to the same shape."""
        x = self.fc2(F.gelu(self.dwconv(self.fc1(x), pyramid)))
        return x


class Injector(nn.Module):
    """Brings the pyramid's detail into the ViT's tokens.

    `add_query` is whether the attention's normalised query is added to what it gives, as in the
    built-in model; `with_cp` see `recomputed`.
    """

    def __init__(
        self,
        *,
        attention: MultiScaleDeformableAttention,
        embed_dim: int,
        init_values: float,
        add_query: bool,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.query_norm = layer_norm(embed_dim)
        self.feat_norm = layer_norm(embed_dim)
        self.attn = attention
        self.gamma = nn.Parameter(torch.full((embed_dim,), init_values))
        self.add_query = add_query
        self.with_cp = with_cp

    def forward(self, x: Tensor, c: Tensor, geometry: Geometry) -> Tensor:
        """Updates the ViT's tokens `x` `(B, h * w, C)` from the pyramid `c` `(B, N, C)`."""
        return recomputed(self.with_cp, self._forward, x, c, geometry)

    def _forward(self, x: Tensor, c: Tensor, geometry: Geometry) -> Tensor:
        query = self.query_norm(x)
        attended = self.attn(query, self.feat_norm(c), geometry.grid_points, geometry.pyramid)
        if self.add_query:
            attended = attended + query
        x = x + self.gamma * attended
        return x


class Extractor(nn.Module):
    """Brings the ViT's tokens into the pyramid; `add_query` and `with_cp` as for `Injector`."""

    def __init__(
        self,
        *,
        attention: MultiScaleDeformableAttention,
        embed_dim: int,
        ffn: ConvFFN | None,
        drop_path: float,
        add_query: bool,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.query_norm = layer_norm(embed_dim)
        self.feat_norm = layer_norm(embed_dim)
        self.attn = attention
        self.ffn = ffn
        if ffn is not None:
            self.ffn_norm = layer_norm(embed_dim)
            self.drop_path = DropPath(drop_path)
        self.add_query = add_query
        self.with_cp = with_cp

    def forward(self, c: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """Updates the pyramid `c` `(B, N, C)` from the ViT's tokens `x` `(B, h * w, C)`."""
        return recomputed(self.with_cp, self._forward, c, x, geometry)

    def _forward(self, c: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        query = self.query_norm(c)
        attended = self.attn(query, self.feat_norm(x), geometry.pyramid_points, [geometry.grid])
        if self.add_query:
            attended = attended + query
        c = c + attended
        if self.ffn is not None:
            c = c + self.drop_path(self.ffn(self.ffn_norm(c), geometry.pyramid))
        return c


class InteractionBlock(nn.Module):
    """Injector, a run of ViT blocks, extractor; the last one has extra extractors."""

    def __init__(
        self, *, injector: Injector, extractor: Extractor, extra_extractors: list[Extractor]
    ) -> None:
        super().__init__()
        self.injector = injector
        self.extractor = extractor
        self.extra_extractors = nn.ModuleList(extra_extractors) if extra_extractors else None

    def forward(
        self, x: Tensor, c: Tensor, cls: Tensor, blocks: Iterable[Block], geometry: Geometry
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs one stage.

        Args:
            x: the ViT's tokens `(B, h * w, C)`.
            c: the pyramid's tokens `(B, N, C)`.
            cls: the class token `(B, 1, C)`.
            blocks: the ViT blocks of this stage.
            geometry: sizes and reference points of the window.

        Returns:
            `x`, `c` and `cls`, updated.
        """
        x = self.injector(x, c, geometry)
        tokens = torch.cat((cls, x), dim=1)
        for block in blocks:
            tokens = block(tokens, geometry.grid)
        cls, x = tokens[:, :1], tokens[:, 1:]
        for extractor in (self.extractor, *(self.extra_extractors or ())):
            c = extractor(c, x, geometry)
        return x, c, cls
