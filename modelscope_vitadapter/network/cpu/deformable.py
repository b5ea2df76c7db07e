"""Deformable attention as weighted bags of table rows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import band_rows, row_bands
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    SpatialShape,
)


class ValueTable:
    """The maps of all levels, zero-padded, in one table whose rows have one stride.

    Each map has a row and a column of zeros before it and two behind it (the next row's first
    column is one of them), so a sample's four corners are at fixed steps from its upper left one,
    and those outside of a map read zeros.

    Args:
        shapes: `(height, width)` of each level.
        channels: of all heads.
    """

    def __init__(self, shapes: Sequence[SpatialShape], channels: int) -> None:
        self.shapes = list(shapes)
        self.stride = max(width for _, width in shapes) + 2
        self.starts = []
        rows = 0
        for height, _ in shapes:
            self.starts.append(rows)
            rows += (height + 2) * self.stride
        self.cells = torch.zeros(
            rows + self.stride + 2, channels, dtype=torch.float32, device="cpu"
        )

    def fill(self, tokens: Tensor, project: PackedLinear, norm: nn.Module | None = None) -> None:
        """Writes `project(norm(tokens))`; `tokens` `(N, C)` are the levels' maps joined."""
        first = 0
        for (height, width), start in zip(self.shapes, self.starts, strict=True):
            rows = self.cells[start : start + (height + 2) * self.stride]
            inner = rows.view(height + 2, self.stride, -1)[1:-1, 1 : width + 1]
            for band in row_bands(height, width, band_rows(project.dtype)):
                part = tokens[first + band.start * width : first + band.stop * width]
                part = part if norm is None else norm(part)
                inner[band] = project(part).view(-1, width, self.cells.shape[1])
            first += height * width


class Sampler:
    """Deformable attention from given queries into given maps.

    The plain version is `MultiScaleDeformableAttention.forward`. Sampling takes a sixth of the time
    of `grid_sample` in the pixel decoder's encoder.

    Args:
        attention: the module.
        points: reference points of the queries, `(Q, 2)` as `(x, y)` in [0, 1].
        table: the levels' values.
        dtype: what the projections are computed in; offsets and weights are always float32.
    """

    def __init__(
        self,
        attention: MultiScaleDeformableAttention,
        points: Tensor,
        table: ValueTable,
        dtype: torch.dtype,
    ) -> None:
        heads, levels, count = attention.num_heads, attention.num_levels, attention.num_points
        self._heads, self._samples = heads, levels * count
        self._points = points
        self._table = table
        self._rows = table.cells.view(-1, table.cells.shape[1] // heads)
        offsets = attention.sampling_offsets
        weight = offsets.weight.view(-1, 2, offsets.in_features)
        bias = offsets.bias.view(-1, 2)
        scores = attention.attention_weights
        by_sample = torch.arange(heads * self._samples, device="cpu").view(heads, -1).t().flatten()
        self._coordinates = PackedLinear(
            torch.cat((weight[:, 0], weight[:, 1], scores.weight[by_sample])),
            torch.cat((bias[:, 0], bias[:, 1], scores.bias[by_sample])),
            rows=band_rows(dtype),
        )
        self._output = PackedLinear.of(attention.output_proj, dtype=dtype)
        cells = table.cells
        sizes = cells.new_tensor(table.shapes).repeat_interleave(count, dim=0)
        starts = cells.new_tensor(table.starts, dtype=torch.int32).repeat_interleave(count)
        self._heights, self._widths = sizes.unbind(1)
        first_cell = starts + table.stride + 1  # the map's own first cell, behind the zeros
        head = torch.arange(heads, dtype=torch.int32, device=cells.device)
        self._first = first_cell * heads + head[:, None]

    def __call__(self, query: Tensor, band: slice) -> Tensor:
        """Attends for the queries of a band `(n, C)`, positional encoding included; `(n, C)`."""
        index, corners = self._corners(self._coordinates(query), self._points[band])
        sampled = self._sample(index, corners)
        return self._output(sampled.view(len(query), -1))

    def _corners(self, projected: Tensor, points: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The table row of each sample's upper left corner and the weights of its four corners.

        Returns:
            `(n * M, L * P)` int32, and four tensors of that shape in the order upper left, upper
            right, lower left, lower right.
        """
        shape = (len(points), self._heads, self._samples)
        x, y, weights = projected.chunk(3, dim=1)
        # over an outer axis, a softmax of few values takes a tenth of the time
        weights = weights.view(-1, self._samples, self._heads).softmax(dim=1)
        weights = weights.transpose(1, 2).contiguous()
        x0, x = self._cell(x.view(shape), points[:, :1], self._widths)
        y0, y = self._cell(y.view(shape), points[:, 1:], self._heights)
        index = y0.mul_(self._table.stride).add_(x0).mul_(self._heads).to(torch.int32)
        index.add_(self._first)
        index.clamp_(0, len(self._rows) - self._last_corner() - 1)  # NaN coordinates
        lower = weights * y
        upper = weights.sub_(lower)
        right, lower_right = upper * x, lower * x
        corners = [upper.sub_(right), right, lower.sub_(lower_right), lower_right]
        return index.flatten(0, 1), [corner.flatten(0, 1) for corner in corners]

    @staticmethod
    def _cell(offsets: Tensor, points: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Cell number and fraction along one axis; what is outside of a map becomes its zeros."""
        centres = (points * sizes).sub_(0.5)  # (n, L * P)
        at = offsets + centres[:, None]
        torch.minimum(at, sizes, out=at).clamp_(min=-1)
        cell = at.floor()
        return cell, at.sub_(cell)

    def _last_corner(self) -> int:
        """Steps from the upper left to the lower right corner."""
        return (self._table.stride + 1) * self._heads

    def _sample(self, index: Tensor, corners: list[Tensor]) -> Tensor:
        """Sums the weighted corners, `(n * M, D)`."""
        below = self._table.stride * self._heads
        output: Tensor | None = None
        steps = (0, self._heads, below, below + self._heads)
        for step, weights in zip(steps, corners, strict=True):
            bag = F.embedding_bag(index, self._rows[step:], per_sample_weights=weights, mode="sum")
            output = bag if output is None else output.add_(bag)
        assert output is not None
        return output
