"""BEiT's transformer blocks (arXiv 2106.08254) as ViT-Adapter uses them."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from modelscope_vitadapter.network.drop_path import DropPath
from modelscope_vitadapter.network.position_bias import (
    GridSize,
    strided_position_bias,
    table_for_window,
    table_length,
)
from modelscope_vitadapter.network.sample_noise import Dropout

layer_norm = partial(nn.LayerNorm, eps=1e-6)


class PatchEmbed(nn.Module):
    """Cuts an image into patches and embeds each."""

    def __init__(self, *, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> tuple[Tensor, GridSize]:
        """Maps `(B, 3, H, W)` to tokens `(B, h * w, C)` and the grid `(h, w)`."""
        patches = self.proj(image)
        height, width = patches.shape[-2:]
        return patches.flatten(2).transpose(1, 2), (height, width)


class Attention(nn.Module):
    """Self-attention with a bias by relative position; keys have no linear bias."""

    q_bias: nn.Parameter | None
    v_bias: nn.Parameter | None
    relative_position_bias_table: nn.Parameter | None

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        qkv_bias: bool,
        qk_scale: float | None,
        table_grid: GridSize | None,
        attn_drop: float,
        proj_drop: float,
    ) -> None:
        super().__init__()
        head_dim = embed_dim // num_heads
        width = head_dim * num_heads
        self.num_heads = num_heads
        self.scale = qk_scale or head_dim**-0.5
        self.table_grid = table_grid
        self.qkv = nn.Linear(embed_dim, width * 3, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None
        self.relative_position_bias_table = None
        if table_grid is not None:
            table = torch.zeros(table_length(table_grid), num_heads)
            self.relative_position_bias_table = nn.Parameter(table)
        self.attn_drop = attn_drop
        self.proj = nn.Linear(width, embed_dim)
        self.proj_drop = Dropout(proj_drop)

    def qkv_bias(self) -> Tensor | None:
        """The bias of the joined projection, or None; keys have none."""
        if self.q_bias is None or self.v_bias is None:
            return None
        return torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))

    def window_table(self, grid: GridSize) -> Tensor | None:
        """The bias table `(table_length(grid), M)` of a window, or None where there is none."""
        table = self.relative_position_bias_table
        if table is None or self.table_grid is None:
            return None
        return table_for_window(table, self.table_grid, grid)

    def position_bias(self, grid: GridSize, index: Tensor) -> Tensor | None:
        """The bias `(1, M, N, N)` of a window of `grid` patches, or None where there is none."""
        rows = self.window_table(grid)
        return None if rows is None else rows.t()[:, index].unsqueeze(0)

    def position_bias_of_reversed_keys(self, grid: GridSize, dtype: torch.dtype) -> Tensor | None:
        """The same with keys in reversed order, see `strided_position_bias`."""
        rows = self.window_table(grid)
        return None if rows is None else strided_position_bias(rows, grid, dtype=dtype).unsqueeze(0)

    def forward(self, x: Tensor, grid: GridSize, index: Tensor | None = None) -> Tensor:
        """Attends among all tokens of a window.

        Args:
            x: `(B, N, C)`, the class token first.
            grid: `(height, width)` of the window in patches.
            index: None, or `relative_position_index(grid)` to gather the position bias by, which is
                the slower way to the same answer.

        Returns:
            `(B, N, C)`.
        """
        batch, tokens, _ = x.shape
        qkv = F.linear(x, self.qkv.weight, self.qkv_bias()).view(
            batch, tokens, 3, self.num_heads, -1
        )
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if index is None:
            position_bias = self.position_bias_of_reversed_keys(grid, q.dtype)
            if position_bias is not None:  # the order of keys is nothing to attention
                k, v = k.flip(2), v.flip(2)
        else:
            position_bias = self.position_bias(grid, index)
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if position_bias is None else position_bias.to(q.dtype),
            dropout_p=self.attn_drop if self.training else 0.0,
            scale=self.scale,
        )
        x = x.transpose(1, 2).reshape(batch, tokens, -1)
        x = self.proj_drop(self.proj(x))
        return x


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, *, embed_dim: int, hidden_dim: int, drop: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)
        self.drop = Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, N, C)` to the same shape."""
        x = self.drop(self.fc2(F.gelu(self.fc1(x))))
        return x


class Block(nn.Module):
    """A pre-norm transformer block with layer scale."""

    def __init__(
        self,
        *,
        attention: Attention,
        mlp: Mlp,
        embed_dim: int,
        init_values: float,
        drop_path: float,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(embed_dim)
        self.attn = attention
        self.drop_path = DropPath(drop_path)
        self.norm2 = layer_norm(embed_dim)
        self.mlp = mlp
        self.gamma_1 = nn.Parameter(torch.full((embed_dim,), init_values))
        self.gamma_2 = nn.Parameter(torch.full((embed_dim,), init_values))
        self.with_cp = with_cp

    def forward(self, x: Tensor, grid: GridSize, index: Tensor | None = None) -> Tensor:
        """Maps `(B, N, C)` to the same shape; arguments as `Attention.forward`."""
        if self.with_cp and x.requires_grad:
            x = checkpoint(self._forward, x, grid, index, use_reentrant=False)
            return x
        return self._forward(x, grid, index)

    def _forward(self, x: Tensor, grid: GridSize, index: Tensor | None) -> Tensor:
        x = x + self.drop_path(self.gamma_1 * self.attn(self.norm1(x), grid, index))
        x = x + self.drop_path(self.gamma_2 * self.mlp(self.norm2(x)), 1)
        return x


class SharedPositionBias(nn.Module):
    """The table that BEiT shares among its blocks; ViT-Adapter's blocks never read it.

    It is held so that a checkpoint that has one loads and saves whole.
    """

    def __init__(self, *, table_grid: GridSize, num_heads: int) -> None:
        super().__init__()
        table = torch.zeros(table_length(table_grid), num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
