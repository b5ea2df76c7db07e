"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159, section 4.1)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.precision import full_precision

SpatialShape = tuple[int, int]


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[SpatialShape],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Weighted sum of bilinear samples, per query and head (equation 3 of the paper).

    Args:
        value: `(B, N, M, D)`, the levels' maps flattened and joined along N.
        spatial_shapes: `(height, width)` of each of the L levels.
        sampling_locations: `(B, Q, M, L, P, 2)`, `(x, y)` with 0 and 1 at the outer edges of a map;
            outside of it a map is zero.
        attention_weights: `(B, Q, M, L, P)`, summing to 1 over L and P.

    Returns:
        `(B, Q, M * D)`.
    """
    batch, _, _, head_dim = value.shape
    queries = sampling_locations.shape[1]
    grids = (2 * sampling_locations - 1).transpose(1, 2).flatten(0, 1)  # (B * M, Q, L, P, 2)
    sizes = [height * width for height, width in spatial_shapes]
    weights = attention_weights.transpose(1, 2).flatten(0, 1).unsqueeze(1)  # (B * M, 1, Q, L, P)
    outputs = []
    for level, level_value in enumerate(torch.split(value, sizes, dim=1)):
        maps = level_value.permute(0, 2, 3, 1).reshape(-1, head_dim, *spatial_shapes[level])
        samples = F.grid_sample(
            maps,
            grids[:, :, level].to(maps.dtype),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        # level by level: samples of all levels at once would be the peak of the network's memory
        outputs.append((samples * weights[:, :, :, level]).sum(-1))
    output = sum(outputs[1:], outputs[0])
    return output.view(batch, -1, queries).transpose(1, 2).contiguous()


def reference_points(
    spatial_shapes: Sequence[SpatialShape], *, device: torch.device | str
) -> Tensor:
    """Centres of all cells of all maps, `(1, N, 1, 2)` float32, `(x, y)` in (0, 1)."""
    points = []
    for height, width in spatial_shapes:
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / width
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack((grid_x.flatten(), grid_y.flatten()), dim=-1))
    return torch.cat(points)[None, :, None]


def level_sizes(spatial_shapes: Sequence[SpatialShape], *, device: torch.device | str) -> Tensor:
    """`(width, height)` of all maps, `(L, 2)` float32.

    Filled in on the device: a list of numbers would be copied there, which waits for the device.
    """
    sizes = [size for height, width in spatial_shapes for size in (width, height)]
    filled = [torch.full((), size, dtype=torch.float32, device=device) for size in sizes]
    return torch.stack(filled).view(-1, 2)


class MultiScaleDeformableAttention(nn.Module):
    """Projections around `multi_scale_deformable_attention`; adds no residual.

    mmcv's module of the same name adds its query to its output; here the caller says what is added.
    Values have `value_dim` channels of all heads.
    """

    def __init__(
        self, *, embed_dim: int, num_heads: int, num_levels: int, num_points: int, value_dim: int
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dim, samples * 2)
        self.attention_weights = nn.Linear(embed_dim, samples)
        self.value_proj = nn.Linear(embed_dim, value_dim)
        self.output_proj = nn.Linear(value_dim, embed_dim)

    def reset_parameters(self) -> None:
        """Starts as the paper does: heads look in evenly spread directions, points at 1 ... P."""
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = directions[:, None, None, :] * steps[None, None, :, None]
        offsets = offsets.expand(self.num_heads, self.num_levels, self.num_points, 2)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Sequence[SpatialShape],
    ) -> Tensor:
        """Attends from each query to `num_points` places around its reference point on each level.

        Args:
            query: `(B, Q, C)`, positional encoding included.
            value: `(B, N, C)`, the levels' maps flattened and joined.
            reference_points: `(1 or B, Q, 1 or L, 2)`, `(x, y)` in [0, 1].
            spatial_shapes: `(height, width)` of each level.

        Returns:
            `(B, Q, C)`.
        """
        batch, queries, _ = query.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        values = self.value_proj(value).view(batch, value.shape[1], heads, -1)
        with full_precision(query):
            exact_query = query.float()
            offsets = self.sampling_offsets(exact_query)
            weights = self.attention_weights(exact_query)
            offsets = offsets.view(batch, queries, heads, levels, points, 2)
            weights = weights.view(batch, queries, heads, levels * points).softmax(dim=-1)
            cells = level_sizes(spatial_shapes, device=query.device)
            locations = reference_points[:, :, None, :, None, :] + offsets / cells[:, None, :]
            output = multi_scale_deformable_attention(
                values.float(), spatial_shapes, locations, weights.view(offsets.shape[:-1])
            )
        projected: Tensor = self.output_proj(output)
        return projected
