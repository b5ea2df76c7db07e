"""Pixel decoder with deformable attention (Mask2Former, arXiv 2112.01527, section 3.2.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.deformable_attention import SpatialShape, reference_points
from modelscope_vitadapter.network.positional_encoding import positional_encoding
from modelscope_vitadapter.network.transformer_layer import EncoderLayer

LEVELS = 3
"""Maps that the encoder works on: strides 32, 16 and 8."""


class ConvModule(nn.Module):
    """Convolution, group norm and, where it is `activated`, ReLU."""

    def __init__(self, *, conv: nn.Conv2d, num_groups: int, activated: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.gn = nn.GroupNorm(num_groups, conv.out_channels)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, C, H, W)` to `(B, C', H, W)`."""
        x = self.gn(self.conv(x))
        return F.relu(x) if self.activated else x


class DeformableEncoder(nn.Module):
    """Self-attention layers over the joined tokens of several maps."""

    def __init__(self, *, layers: Sequence[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

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
            x = layer(x, position, points, shapes)
        return x


class MSDeformAttnPixelDecoder(nn.Module):
    """Turns the backbone's maps into the decoder's maps and the per-pixel mask features.

    Args:
        input_convs: from the backbone's channels to `feat_channels`, lowest resolution first.
        encoder: of the three coarsest maps.
        lateral_conv: the same for the finest map.
        output_conv: what the finest map goes through after the map above it was added.
        mask_feature: from `feat_channels` to the mask features' channels.
        feat_channels: C.
    """

    def __init__(
        self,
        *,
        input_convs: Sequence[ConvModule],
        encoder: DeformableEncoder,
        lateral_conv: ConvModule,
        output_conv: ConvModule,
        mask_feature: nn.Conv2d,
        feat_channels: int,
    ) -> None:
        super().__init__()
        self.input_convs = nn.ModuleList(input_convs)
        self.encoder = encoder
        self.level_encoding = nn.Embedding(LEVELS, feat_channels)
        self.lateral_convs = nn.ModuleList([lateral_conv])
        self.output_convs = nn.ModuleList([output_conv])
        self.mask_feature = mask_feature

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decodes the backbone's maps.

        Args:
            features: maps `(B, C, H / s, W / s)` of strides s = 4, 8, 16, 32.

        Returns:
            Mask features `(B, C_out, H / 4, W / 4)` and the encoder's maps, from the lowest
            resolution up, `(B, C_feat, H / s, W / s)`.
        """
        maps = self._encode(features[:0:-1])
        lateral = self.lateral_convs[0](features[0])
        above = F.interpolate(
            maps[-1], size=lateral.shape[-2:], mode="bilinear", align_corners=False
        )
        return self.mask_feature(self.output_convs[0](lateral + above)), maps

    def _encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Runs the deformable encoder over the coarsest maps, lowest resolution first."""
        tokens, positions, shapes = [], [], []
        for level, (conv, feature) in enumerate(zip(self.input_convs, features, strict=True)):
            tokens.append(conv(feature).flatten(2).transpose(1, 2))
            channels, height, width = tokens[-1].shape[-1], *feature.shape[-2:]
            position = positional_encoding(height, width, channels, feature.device)
            positions.append(position + self.level_encoding.weight[level])
            shapes.append((height, width))
        memory = self.encoder(torch.cat(tokens, dim=1), torch.cat(positions, dim=1), shapes)
        parts = torch.split(memory, [height * width for height, width in shapes], dim=1)
        return [
            part.transpose(1, 2).view(part.shape[0], -1, *shape)  # channels last: nothing is copied
            for part, shape in zip(parts, shapes, strict=True)
        ]
