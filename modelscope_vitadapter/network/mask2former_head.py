"""Mask2Former's masked-attention decoder (arXiv 2112.01527, section 3.2)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.pixel_decoder import LEVELS, MSDeformAttnPixelDecoder
from modelscope_vitadapter.network.positional_encoding import positional_encoding
from modelscope_vitadapter.network.precision import full_precision
from modelscope_vitadapter.network.transformer_layer import DecoderLayer, attention_mask


class TransformerDecoder(nn.Module):
    """Holds the decoder's layers and the norm that precedes each prediction."""

    def __init__(self, *, layers: Sequence[DecoderLayer], embed_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.post_norm = nn.LayerNorm(embed_dim)


class Mask2FormerHead(nn.Module):
    """Predicts a class and a mask for each of Q learned queries."""

    def __init__(
        self,
        *,
        pixel_decoder: MSDeformAttnPixelDecoder,
        transformer_decoder: TransformerDecoder,
        num_classes: int,
        num_queries: int,
        feat_channels: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder
        self.query_embed = nn.Embedding(num_queries, feat_channels)
        self.query_feat = nn.Embedding(num_queries, feat_channels)
        self.level_embed = nn.Embedding(LEVELS, feat_channels)
        self.cls_embed = nn.Linear(feat_channels, num_classes + 1)
        self.mask_embed = nn.Sequential(
            nn.Linear(feat_channels, feat_channels),
            nn.ReLU(),
            nn.Linear(feat_channels, feat_channels),
            nn.ReLU(),
            nn.Linear(feat_channels, out_channels),
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The last layer's prediction.

        The masks that layers attend through are predicted at the size at which they are used:
        resizing is linear, so that it may come before the product with the queries. Of a full-size
        window that leaves a fifth of the work that `predictions` puts into masks.

        Args:
            features: the backbone's maps `(B, C, H / s, W / s)`, strides s = 4, 8, 16, 32.

        Returns:
            Class logits `(B, Q, K + 1)`, "no object" last, and mask logits `(B, Q, H / 4, W / 4)`.
        """
        mask_features, maps = self.pixel_decoder(features)
        mask_features = mask_features.float()
        layers = self.transformer_decoder.layers
        sizes = [_size(level) for level in maps]
        resized = [
            F.interpolate(mask_features, size, mode="bilinear", align_corners=False)
            for size in sizes[: len(layers)]
        ]
        memories = self._memories(maps)
        query = self.query_feat.weight.expand(mask_features.shape[0], -1, -1)
        for i, layer in enumerate(layers):
            level = i % LEVELS
            masks = self._mask_logits(self._normed(query), resized[level])
            mask = attention_mask(masks, sizes[level])
            query = layer(query, self.query_embed.weight, *memories[level], mask)
        return self._predict(query, mask_features)

    def predictions(self, features: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Class and mask logits before the first layer and after each (deep supervision).

        Masks are resized after they are predicted, as in the paper.
        """
        mask_features, maps = self.pixel_decoder(features)
        memories = self._memories(maps)
        query = self.query_feat.weight.expand(mask_features.shape[0], -1, -1)
        prediction = self._predict(query, mask_features)
        yield prediction
        for i, layer in enumerate(self.transformer_decoder.layers):
            level = i % LEVELS
            mask = attention_mask(prediction[1], _size(maps[level]))
            query = layer(query, self.query_embed.weight, *memories[level], mask)
            prediction = self._predict(query, mask_features)
            yield prediction

    def _memories(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Tokens `(B, N, C)` of each level, without and with their positional encodings."""
        memories = []
        for level, weight in zip(maps, self.level_embed.weight, strict=True):
            tokens = level.flatten(2).transpose(1, 2) + weight
            position = positional_encoding(*_size(level), tokens.shape[-1], tokens.device)
            memories.append((tokens, tokens + position))
        return memories

    def _predict(self, query: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits `(B, Q, K + 1)` and mask logits `(B, Q, h, w)` of the current queries."""
        normed = self._normed(query)
        with full_precision(query):
            class_logits = self.cls_embed(normed)
        return class_logits, self._mask_logits(normed, mask_features)

    def _normed(self, query: Tensor) -> Tensor:
        """What predictions are made of, `(B, Q, C)` float32."""
        normed: Tensor = self.transformer_decoder.post_norm(query)
        return normed.float()

    def _mask_logits(self, normed: Tensor, mask_features: Tensor) -> Tensor:
        """Mask logits `(B, Q, h, w)` float32 at the size of `mask_features` `(B, C_out, h, w)`."""
        with full_precision(normed):
            mask_embedding = self.mask_embed(normed)
            return torch.einsum("bqc,bchw->bqhw", mask_embedding, mask_features.float())


def _size(maps: Tensor) -> tuple[int, int]:
    """`(height, width)` of maps `(B, C, h, w)`."""
    return int(maps.shape[-2]), int(maps.shape[-1])
