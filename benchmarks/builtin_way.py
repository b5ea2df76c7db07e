"""The built-in model's way of computing the network's answer, to be swapped into the plain modules.

Attention as matrix products and softmax with a bias gathered by an index in every block, deformable
attention as one `grid_sample` per level whose samples are stacked, and full-size mask predictions
before the first decoder layer and after each, resized afterwards.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.network import deformable_attention
from modelscope_vitadapter.network.beit import Attention
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.position_bias import GridSize, table_length


def plain_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """`scaled_dot_product_attention` as matrix products, softmax and additions, unfused."""
    scores = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-2, -1)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return F.dropout(scores.softmax(dim=-1), dropout_p) @ v


def stacked_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[deformable_attention.SpatialShape],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """`multi_scale_deformable_attention` with the samples of all levels stacked before weighing."""
    batch, _, heads, head_dim = value.shape
    queries = sampling_locations.shape[1]
    grids = (2 * sampling_locations - 1).transpose(1, 2).flatten(0, 1)
    levels = value.split([height * width for height, width in spatial_shapes], dim=1)
    samples = []
    for level, (height, width) in enumerate(spatial_shapes):
        maps = levels[level].flatten(2).transpose(1, 2)
        maps = maps.reshape(batch * heads, head_dim, height, width)
        samples.append(F.grid_sample(maps, grids[:, :, level], align_corners=False))
    weights = attention_weights.transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    weighed = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)
    return weighed.view(batch, heads * head_dim, queries).transpose(1, 2).contiguous()


def relative_position_index(grid: GridSize, *, device: torch.device | str = "cpu") -> Tensor:
    """Which row of the table of this very grid each pair of tokens reads.

    Returns:
        `(1 + height * width, 1 + height * width)` int64; token 0 is the class token.
    """
    height, width = grid
    y = torch.arange(height, device=device).repeat_interleave(width)
    x = torch.arange(width, device=device).repeat(height)
    dy = y[:, None] - y[None, :] + height - 1
    dx = x[:, None] - x[None, :] + width - 1
    rows = table_length(grid)
    index = torch.empty(1 + height * width, 1 + height * width, dtype=torch.int64, device=device)
    index[1:, 1:] = dy * (2 * width - 1) + dx
    index[0, 1:] = rows - 3
    index[1:, 0] = rows - 2
    index[0, 0] = rows - 1
    return index


@lru_cache(maxsize=1)
def _index(grid: GridSize, device: torch.device) -> Tensor:
    """Made once per size: the built-in model holds it in every block."""
    return relative_position_index(grid, device=device)


def gathering_attention(self: Attention, x: Tensor, grid: GridSize) -> Tensor:
    """`Attention.forward` with a bias that is gathered."""
    batch, tokens, _ = x.shape
    qkv = F.linear(x, self.qkv.weight, self.qkv_bias()).view(batch, tokens, 3, self.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    bias = self.window_table(grid).t()[:, _index(grid, x.device)].unsqueeze(0).to(q.dtype)
    x = plain_attention(q, k, v, bias, scale=self.scale)
    x = self.proj(x.transpose(1, 2).reshape(batch, tokens, -1))
    return x


@contextmanager
def builtin_way() -> Iterator[None]:
    """Swaps the built-in model's way of computing in."""

    def last(self: Mask2FormerHead, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        *_, prediction = self.predictions(features)
        return prediction

    sampling = "multi_scale_deformable_attention"
    with ExitStack() as stack:
        for owner, name, replacement in (
            (F, "scaled_dot_product_attention", plain_attention),
            (Attention, "forward", gathering_attention),
            (Mask2FormerHead, "forward", last),
            (deformable_attention, sampling, stacked_deformable_attention),
        ):
            stack.enter_context(mock.patch.object(owner, name, replacement))
        yield
    _index.cache_clear()
