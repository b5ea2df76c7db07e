"""The masked-attention decoder for one window; the plain version is `Mask2FormerHead.forward`.

Intermediate masks are predicted at the resolution that attention needs them at, where that takes
less memory: resizing and the products before it are linear, so their order does not matter.
"""

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import band_rows, bands, return_freed_memory
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.maps import resize_tokens
from modelscope_vitadapter.network.cpu.pixel_decoder import PixelFeatures
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.positional_encoding import positional_encoding
from modelscope_vitadapter.network.transformer_layer import (
    DecoderLayer,
    MaskedAttention,
    full_where_empty,
)


class MaskPredictor:
    """Mask logits from queries, with the mask-feature convolution folded into the embedding.

    Either the mask features of a level are resized once, or the logits of every prediction are,
    whichever takes less memory.
    """

    def __init__(self, head: Mask2FormerHead, features: PixelFeatures) -> None:
        convolution = head.pixel_decoder.mask_feature
        self._embed = head.mask_embed
        self._weight, self._bias = convolution.weight.flatten(1), convolution.bias
        self._finest, self._finest_shape = features.finest, features.finest_shape
        self._shapes = features.shapes
        tokens, channels = features.finest.shape
        logits = len(head.query_feat.weight) * tokens
        self._resized = [
            resize_tokens(features.finest, features.finest_shape, shape)
            if math.prod(shape) * channels < logits
            else None
            for shape in features.shapes
        ]

    def at_level(self, query: Tensor, level: int) -> Tensor:
        """Mask logits `(Q, N)` of normed queries `(Q, C)` at the resolution of a level."""
        resized = self._resized[level]
        if resized is not None:
            return self._logits(query, resized)
        maps = self.finest(query).view(1, -1, *self._finest_shape)
        size = self._shapes[level]
        return F.interpolate(maps, size, mode="bilinear", align_corners=False)[0].flatten(1)

    def finest(self, query: Tensor) -> Tensor:
        """Mask logits `(Q, H / 4 * W / 4)`."""
        return self._logits(query, self._finest)

    def _logits(self, query: Tensor, tokens: Tensor) -> Tensor:
        embedding: Tensor = self._embed(query)
        logits = (embedding @ self._weight) @ tokens.t()
        return logits if self._bias is None else logits.add_((embedding @ self._bias)[:, None])


class Memory:
    """The keys and values of one level for the layers that attend to it."""

    def __init__(self, head: Mask2FormerHead, features: PixelFeatures, level: int) -> None:
        self._tokens = features.maps[level]
        self._level = head.level_embed.weight[level]
        shape, width = features.shapes[level], self._tokens.shape[1]
        self._positions = positional_encoding(*shape, width, self._tokens.device)[0]

    def keys_and_values(
        self, attention: MaskedAttention, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Projects the tokens: two tensors `(N, C)` of `dtype`."""
        attn = attention.attn
        _, key_weight, value_weight = attn.in_proj_weight.chunk(3)
        _, key_bias, value_bias = attn.in_proj_bias.chunk(3)
        project_key = PackedLinear(key_weight, key_bias, dtype=dtype)
        project_value = PackedLinear(value_weight, value_bias, dtype=dtype)
        count, width = self._tokens.shape
        keys, values = self._tokens.new_empty(2, count, width, dtype=dtype)
        for band in bands(count, band_rows(dtype)):
            tokens = self._tokens[band] + self._level
            values[band] = project_value(tokens)
            keys[band] = project_key(tokens.add_(self._positions[band]))
        return keys, values


def run_decoder(
    head: Mask2FormerHead, features: PixelFeatures, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Class logits `(Q, K + 1)` and mask logits `(Q, H / 4 * W / 4)` of the last layer."""
    predictor = MaskPredictor(head, features)
    memories = [Memory(head, features, level) for level in range(len(features.maps))]
    query, position = head.query_feat.weight[None], head.query_embed.weight
    post_norm = head.transformer_decoder.post_norm
    for i, layer in enumerate(cast("Iterable[DecoderLayer]", head.transformer_decoder.layers)):
        level = i % len(memories)
        logits = predictor.at_level(post_norm(query[0]), level)
        mask = full_where_empty(torch.sigmoid(logits) >= 0.5)
        cross = cast("MaskedAttention", layer.attentions[0])
        keys, values = memories[level].keys_and_values(cross, dtype)
        attended = _attend(cross, query + position, keys, values, mask)
        query = layer.after_cross_attention(query, attended, position)
        del keys, values, attended  # not beside the next masks
    return_freed_memory()
    normed = post_norm(query[0])
    return head.cls_embed(normed), predictor.finest(normed)


def _attend(
    attention: MaskedAttention, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor
) -> Tensor:
    """Cross-attention of `(1, Q, C)`; the plain version is `MaskedAttention.forward`."""
    attn = attention.attn
    width = attn.embed_dim
    projected = F.linear(query, attn.in_proj_weight[:width], attn.in_proj_bias[:width])
    mixed = attention.mix(projected.to(keys.dtype), keys[None], values[None], mask)
    attended: Tensor = attn.out_proj(mixed.float())
    return attended
