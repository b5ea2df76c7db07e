"""BEiT's transformer blocks (arXiv 2106.08254) as ViT-Adapter uses them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from modelscope_vitadapter.network.position_bias import (
    GridSize,
    strided_position_bias,
    table_for_window,
    table_length,
)
from modelscope_vitadapter.network.seeded_dropout import DropPath

layer_norm = partial(nn.LayerNorm, eps=1e-6)


def recomputed(enabled: bool, run: Callable[..., Tensor], x: Tensor, *others: object) -> Tensor:
    """`run(x, *others)`, whose activations are computed again in the backward pass if `enabled`."""
    if enabled and x.requires_grad:
        y: Tensor = checkpoint(run, x, *others, use_reentrant=False)
        return y
    return run(x, *others)


class PatchEmbed(nn.Module):
    """Cuts an image into patches and embeds each."""

    def __init__(self, *, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> Tensor:
        """Maps `(B, 3, H, W)` to tokens `(B, h * w, C)`, row by row."""
        patches: Tensor = self.proj(image)
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention with a bias by relative position; keys have no linear bias.

    Args:
        embed_dim: channels C.
        num_heads: heads M, a divisor of C.
        table_grid: `(height, width)` in patches of the window that the bias was trained for.
    """

    def __init__(self, *, embed_dim: int, num_heads: int, table_grid: GridSize) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (embed_dim // num_heads) ** -0.5
        self.table_grid = table_grid
        self.qkv = nn.Linear(embed_dim, embed_dim * 3, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dim))
        self.v_bias = nn.Parameter(torch.zeros(embed_dim))
        table = torch.zeros(table_length(table_grid), num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def qkv_bias(self) -> Tensor:
        """The bias of the joined projection, `(3 C,)`; keys have none."""
        return torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))

    def window_table(self, grid: GridSize) -> Tensor:
        """The bias table `(table_length(grid), M)` of a window."""
        return table_for_window(self.relative_position_bias_table, self.table_grid, grid)

    def position_bias(self, grid: GridSize, dtype: torch.dtype) -> Tensor:
        """The bias `(M, N, N)` of a window, keys reversed, see `strided_position_bias`."""
        return strided_position_bias(self.window_table(grid), grid, dtype=dtype)

    def forward(self, x: Tensor, grid: GridSize) -> Tensor:
        """Attends among all tokens of a window.

        Args:
            x: `(B, N, C)`, the class token first.
            grid: `(height, width)` of the window in patches.

        Returns:
            `(B, N, C)`.
        """
        batch, tokens, _ = x.shape
        qkv = F.linear(x, self.qkv.weight, self.qkv_bias())
        qkv = qkv.view(batch, tokens, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.position_bias(grid, q.dtype).unsqueeze(0)
        x = F.scaled_dot_product_attention(
            q,
            k.flip(2),  # the order of keys is nothing to attention
            v.flip(2),
            attn_mask=bias,
            scale=self.scale,
        )
        x = self.proj(x.transpose(1, 2).reshape(batch, tokens, -1))
        return x


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, *, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, N, C)` to the same shape."""
        x = self.fc2(F.gelu(self.fc1(x)))
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

    def forward(self, x: Tensor, grid: GridSize) -> Tensor:
        """Maps tokens `(B, N, C)` of a window of `grid` patches to the same shape."""
        return recomputed(self.with_cp, self._forward, x, grid)

    def _forward(self, x: Tensor, grid: GridSize) -> Tensor:
        x = x + self.drop_path(self.gamma_1 * self.attn(self.norm1(x), grid))
        x = x + self.drop_path(self.gamma_2 * self.mlp(self.norm2(x)), 1)
        return x
