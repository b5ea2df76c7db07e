"""Pixel decoder with deformable attention (Mask2Former, arXiv 2112.01527, section 3.2.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.deformable_attention import SpatialShape, reference_points
from modelscope_vitadapter.network.positional_encoding import PositionalEncoding
from modelscope_vitadapter.network.transformer_layer import Attend, TransformerLayer


class ConvModule(nn.Module):
    """Convolution, norm, activation; the norm's attribute is named after its kind (`gn`, `bn`)."""

    def __init__(
        self,
        *,
        conv: nn.Conv2d,
        norm: nn.Module | None = None,
        norm_name: str = "",
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv
        self.norm_name = norm_name
        if norm is not None:
            self.add_module(norm_name, norm)
        self.activate = activation

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, C, H, W)` to `(B, C', H, W)`."""
        x = self.conv(x)
        if self.norm_name:
            x = self.get_submodule(self.norm_name)(x)
        return x if self.activate is None else self.activate(x)


class DeformableEncoder(nn.Module):
    """Self-attention layers over the joined tokens of several maps."""

    def __init__(
        self, *, layers: Sequence[TransformerLayer], post_norm: nn.LayerNorm | None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.post_norm = post_norm

    def forward(self, x: Tensor, position: Tensor, shapes: Sequence[SpatialShape]) -> Tensor:
        """Encodes tokens.

        Args:
            x: `(B, N, C)`, the maps flattened and joined.
            position: `(1, N, C)`, added to queries only.
            shapes: `(height, width)` of each map.

        Returns:
            `(B, N, C)`.
        """
        points = reference_points(shapes, device=x.device)
        for layer in self.layers:
            x = layer(x, self._attends(layer, position, points, shapes))
        return x if self.post_norm is None else self.post_norm(x)

    @staticmethod
    def _attends(
        layer: nn.Module, position: Tensor, points: Tensor, shapes: Sequence[SpatialShape]
    ) -> list[Attend]:
        """What a layer's self-attention does with the current query."""
        (attention,) = layer.get_submodule("attentions").children()
        return [lambda query: attention(query + position, query, points, shapes)]


class MSDeformAttnPixelDecoder(nn.Module):
    """Turns the backbone's maps into the decoder's maps and the per-pixel mask features."""

    def __init__(
        self,
        *,
        input_convs: Sequence[ConvModule],
        encoder: DeformableEncoder,
        positional_encoding: PositionalEncoding,
        lateral_convs: Sequence[ConvModule],
        output_convs: Sequence[ConvModule],
        mask_feature: nn.Conv2d,
        feat_channels: int,
    ) -> None:
        super().__init__()
        self.input_convs = nn.ModuleList(input_convs)
        self.encoder = encoder
        self.postional_encoding = positional_encoding  # the checkpoint's spelling
        self.level_encoding = nn.Embedding(len(input_convs), feat_channels)
        self.lateral_convs = nn.ModuleList(lateral_convs)
        self.output_convs = nn.ModuleList(output_convs)
        self.mask_feature = mask_feature

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decodes the backbone's maps.

        Args:
            features: maps `(B, C, H / s, W / s)` of strides s = 4, 8, 16, 32.

        Returns:
            Mask features `(B, C_out, H / 4, W / 4)` and the encoder's maps, from the lowest
            resolution up, `(B, C_feat, H / s, W / s)`.
        """
        maps = self._encode(features)
        pyramid = list(maps)
        for i in reversed(range(len(self.lateral_convs))):
            lateral = self.lateral_convs[i](features[i])
            above = F.interpolate(
                pyramid[-1], size=lateral.shape[-2:], mode="bilinear", align_corners=False
            )
            pyramid.append(self.output_convs[i](lateral + above))
        return self.mask_feature(pyramid[-1]), maps

    def _encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Runs the deformable encoder over the coarsest maps, lowest resolution first."""
        tokens, positions, shapes = [], [], []
        lowest_first = features[::-1]
        for level, (conv, feature) in enumerate(zip(self.input_convs, lowest_first, strict=False)):
            height, width = feature.shape[-2:]
            tokens.append(conv(feature).flatten(2).transpose(1, 2))
            encoding = self.postional_encoding(height, width, feature.device)
            positions.append(encoding + self.level_encoding.weight[level])
            shapes.append((height, width))
        memory = self.encoder(torch.cat(tokens, dim=1), torch.cat(positions, dim=1), shapes)
        parts = torch.split(memory, [height * width for height, width in shapes], dim=1)
        return [
            part.transpose(1, 2).view(part.shape[0], -1, *shape)  # channels last: nothing is copied
            for part, shape in zip(parts, shapes, strict=True)
        ]
