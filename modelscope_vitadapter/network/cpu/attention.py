"""Self-attention with a relative position bias, head by head."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import bands, has_matrix_tiles
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.position_bias import EXTRA_ROWS, GridSize

SCORE_ROWS = 392
"""Queries of a band of attention scores: 5 MB of scores against 3137 keys.

Measured on two cores of Zen 4: 0.25 s per block of the full-size model, 0.31 s with
`scaled_dot_product_attention` and a bias that is there already.
"""


@dataclass(frozen=True)
class HeadBias:
    """Position bias of one head, for keys in reversed order (class token last).

    Attributes:
        strips: `(w, 2 h - 1, w)` for a window of `(h, w)` patches. The bias of the query in row y
            and column x to all patches is `strips[x].flatten()[y * w :][: h * w]`: the offset to a
            key depends on the sum of the query's row and the key's reversed row, so the rows of
            keys that a query sees are a run of the rows of all offsets.
        from_class, to_class, of_class: class token to patches, patches to class token, itself.
    """

    strips: Tensor
    from_class: Tensor
    to_class: Tensor
    of_class: Tensor

    @classmethod
    def of_table(cls, table: Tensor, grid: GridSize) -> "HeadBias":
        """Spreads the rows `(table_length(grid),)` of one head."""
        height, width = grid
        offsets = table[:-EXTRA_ROWS].view(2 * height - 1, 2 * width - 1)
        strips = offsets.unfold(1, width, 1).transpose(0, 1)
        strips = strips.clone(memory_format=torch.contiguous_format)
        from_class, to_class, of_class = table[-EXTRA_ROWS:].unbind()
        return cls(strips, from_class, to_class, of_class)

    def between_patches(self, first_row: int, rows: int) -> Tensor:
        """The bias of some rows of patches to all patches, `(rows, w, h * w)`, as a view."""
        width, offsets, _ = self.strips.shape
        size = (rows, width, (offsets + 1) // 2 * width)
        return self.strips.as_strided(size, (width, offsets * width, 1), first_row * width)

    def write_to(self, spread: Tensor) -> None:
        """Writes the bias of all tokens to all tokens, `(N, N)`."""
        width, offsets, _ = self.strips.shape
        height = (offsets + 1) // 2
        spread[1:, :-1].view(height, width, -1).copy_(self.between_patches(0, height))
        spread[1:, -1] = self.to_class
        spread[0, :-1] = self.from_class
        spread[0, -1] = self.of_class

    def add_to(self, scores: Tensor, first_row: int) -> None:
        """Adds the bias of some rows of patches, from `first_row`, to their scores `(n w, N)`."""
        width = self.strips.shape[0]
        rows = scores.shape[0] // width
        patches = scores[:, :-1].view(rows, width, -1)
        patches.add_(self.between_patches(first_row, rows))
        scores[:, -1].add_(self.to_class)

    def add_to_class(self, scores: Tensor) -> None:
        """Adds the bias of the class token to its scores `(1, N)`."""
        scores[:, :-1].add_(self.from_class)
        scores[:, -1].add_(self.of_class)


def run_attention(q: Tensor, k: Tensor, v: Tensor, table: Tensor, grid: GridSize) -> Tensor:
    """Softmax attention; the plain version is `beit.Attention.forward`.

    PyTorch's fused attention or bands of scores, whichever is faster on this processor. Measured
    for a head of the full-size model, on two cores, with its bias:

    - with matrix tiles in bfloat16: fused 7.6 to 9.3 ms, in bands 13 to 22;
    - with matrix tiles in float32: fused 17 to 23 ms, in bands 17 to 31;
    - Zen 4 in bfloat16: fused 17 ms without making the bias, in bands 6;
    - Zen 4 in float32: fused 19 ms without making the bias, in bands 16.

    Args:
        q: `(M, N, D)`, scaled, the class token first, then the patches row by row.
        k: `(M, N, D)`, tokens in reversed order.
        v: the same.
        table: `(table_length(grid), M)` float32.
        grid: `(h, w)`, N = 1 + h * w.

    Returns:
        `(N, M * D)` of q's dtype.
    """
    attend = fused_head if has_matrix_tiles() else banded_head
    heads, tokens, head_dim = q.shape
    out = q.new_empty(tokens, heads * head_dim)
    for head, rows in enumerate(table.t().contiguous().to(q.dtype)):
        bias = HeadBias.of_table(rows, grid)
        columns = out[:, head * head_dim : (head + 1) * head_dim]
        attend(q[head], k[head], v[head], bias, grid, columns)
    return out


def fused_head(
    q: Tensor, k: Tensor, v: Tensor, bias: HeadBias, grid: GridSize, out: Tensor
) -> None:
    """One head of `run_attention` by PyTorch's fused operator, which is given the whole bias."""
    spread = q.new_empty(len(q), len(q))
    bias.write_to(spread)
    q, k, v = (x[None, None] for x in (q, k, v))
    out.copy_(F.scaled_dot_product_attention(q, k, v, attn_mask=spread, scale=1.0)[0, 0])


def banded_head(
    q: Tensor, k: Tensor, v: Tensor, bias: HeadBias, grid: GridSize, out: Tensor
) -> None:
    """One head of `run_attention` by matrix products with some rows of scores at a time."""
    height, width = grid
    keys = PackedLinear(k, dtype=q.dtype, rows=SCORE_ROWS)
    values = PackedLinear(v.t(), dtype=q.dtype, rows=SCORE_ROWS)
    for rows in bands(height, max(1, SCORE_ROWS // width)):
        tokens = slice(1 + rows.start * width, 1 + rows.stop * width)
        scores = keys(q[tokens])
        bias.add_to(scores, rows.start)
        out[tokens] = values(torch.softmax(scores, dim=-1, out=scores))
    scores = keys(q[:1])
    bias.add_to_class(scores)
    out[:1] = values(scores.softmax(dim=-1))
