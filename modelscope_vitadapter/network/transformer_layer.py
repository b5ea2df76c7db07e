"""Transformer layers of the head: post-norm, as DETR's (arXiv 2005.12872)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    SpatialShape,
)


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them; adds no residual."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.ReLU())
        self.layers = nn.Sequential(first, nn.Linear(hidden_dim, embed_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, N, C)` to the same shape."""
        x = self.layers(x)
        return x


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network (arXiv 2010.04159)."""

    def __init__(
        self, *, attention: MultiScaleDeformableAttention, ffn: FeedForward, embed_dim: int
    ) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.ffns = nn.ModuleList([ffn])
        self.norms = nn.ModuleList([nn.LayerNorm(embed_dim) for _ in range(2)])

    def forward(
        self, x: Tensor, position: Tensor, points: Tensor, shapes: Sequence[SpatialShape]
    ) -> Tensor:
        """Runs the layer.

        Args:
            x: `(B, N, C)`, the levels' maps flattened and joined.
            position: `(1, N, C)`, added to queries only.
            points: reference points of the queries, `(1, N, 1, 2)`.
            shapes: `(height, width)` of each level.

        Returns:
            `(B, N, C)`.
        """
        attention, (ffn,) = self.attentions[0], self.ffns
        x = self.norms[0](x + attention(x + position, x, points, shapes))
        x = self.norms[1](x + ffn(x))
        return x


class MaskedAttention(nn.Module):
    """Multi-head attention with an optional mask (Mask2Former, arXiv 2112.01527, section 3.2.1).

    The parameters sit in `attn` under the names of `torch.nn.MultiheadAttention`.
    """

    def __init__(self, *, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from queries to keys; adds no residual.

        Args:
            query: `(B, Q, C)`, positional encoding included.
            key: `(B, N, C)`, positional encoding included.
            value: `(B, N, C)`.
            mask: `(B, 1, Q, N)` bool, True where attention is allowed; None allows all.

        Returns:
            `(B, Q, C)`.
        """
        weights = self.attn.in_proj_weight.chunk(3)
        biases = self.attn.in_proj_bias.chunk(3)
        q, k, v = map(F.linear, (query, key, value), weights, biases)
        attended: Tensor = self.attn.out_proj(self.mix(q, k, v, mask))
        return attended

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """The values `(B, Q, C)` that each projected query mixes, not yet projected."""
        q, k, v = (
            x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in (query, key, value)
        )
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x.transpose(1, 2).flatten(2)


class DecoderLayer(nn.Module):
    """Masked cross-attention, self-attention, feed-forward network (arXiv 2112.01527, 3.2)."""

    def __init__(
        self,
        *,
        cross_attention: MaskedAttention,
        self_attention: MaskedAttention,
        ffn: FeedForward,
        embed_dim: int,
    ) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([cross_attention, self_attention])
        self.ffns = nn.ModuleList([ffn])
        self.norms = nn.ModuleList([nn.LayerNorm(embed_dim) for _ in range(3)])

    def forward(
        self, query: Tensor, position: Tensor, memory: Tensor, key: Tensor, mask: Tensor
    ) -> Tensor:
        """Runs the layer.

        Args:
            query: `(B, Q, C)`.
            position: of the queries, `(Q, C)`.
            memory: tokens `(B, N, C)` of the map that is looked at.
            key: the same with their positional encoding.
            mask: where each query may look, see `attention_mask`.

        Returns:
            `(B, Q, C)`.
        """
        attended = self.attentions[0](query + position, key, memory, mask)
        return self.after_cross_attention(query, attended, position)

    def after_cross_attention(self, query: Tensor, attended: Tensor, position: Tensor) -> Tensor:
        """The rest of the layer, from what the cross-attention gave for each query."""
        query = self.norms[0](query + attended)
        located = query + position
        query = self.norms[1](query + self.attentions[1](located, located, query, None))
        query = self.norms[2](query + self.ffns[0](query))
        return query


def full_where_empty(allowed: Tensor) -> Tensor:
    """Lets a query that may attend to nothing attend to everything (`allowed`: `(..., N)` bool)."""
    return allowed | ~allowed.any(dim=-1, keepdim=True)


def attention_mask(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Where each query may look: its own predicted mask, resized (section 3.2.1).

    Args:
        mask_logits: `(B, Q, h, w)`.
        size: `(height, width)` of the map that is attended to.

    Returns:
        `(B, 1, Q, height * width)` bool.
    """
    resized = F.interpolate(mask_logits, size, mode="bilinear", align_corners=False)
    allowed = torch.sigmoid(resized.detach()) >= 0.5
    return full_where_empty(allowed.flatten(2)).unsqueeze(1)
