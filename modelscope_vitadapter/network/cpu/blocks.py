"""BEiT's transformer blocks in bands of tokens."""

import torch
from torch import Tensor

from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.cpu.attention import run_attention, window_table
from modelscope_vitadapter.network.cpu.bands import Scratch, band_rows, bands
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.position_bias import GridSize
from modelscope_vitadapter.network.stages import ATTENTION, BACKBONE_LINEAR, stage


def run_block(
    block: Block, tokens: Tensor, grid: GridSize, dtype: torch.dtype, scratch: Scratch
) -> None:
    """Runs a block in place; the plain version is `Block.forward`.

    Args:
        block: the module.
        tokens: `(N, C)` float32, the class token first; overwritten.
        grid: `(h, w)`, N = 1 + h * w.
        dtype: what products are computed in; the residual stream and the norms stay float32.
        scratch: memory for all blocks of a pass.
    """
    attention = block.attn
    heads, width = attention.num_heads, attention.proj.in_features
    shape = (heads, len(tokens), width // heads)
    q = scratch.take("q", *shape, dtype=dtype)
    k = scratch.take("k", *shape, dtype=dtype)
    v = scratch.take("v", *shape, dtype=dtype)
    attended = scratch.take("attended", len(tokens), width, dtype=dtype)
    with stage(BACKBONE_LINEAR):
        _project(block, tokens, (q, k, v), dtype)
    with stage(ATTENTION):
        table = window_table(attention, grid)
        run_attention(q, k, v, table, grid, attended, scratch)
    with stage(BACKBONE_LINEAR):
        project = PackedLinear.of(attention.proj, dtype=dtype)
        expand = PackedLinear.of(block.mlp.fc1, dtype=dtype, activation="gelu")
        contract = PackedLinear.of(block.mlp.fc2, dtype=dtype)
        for band in bands(len(tokens), band_rows(dtype)):
            x = tokens[band]
            x.addcmul_(block.gamma_1, project(attended[band]).float())
            x.addcmul_(block.gamma_2, contract(expand(block.norm2(x))).float())


def _project(
    block: Block, tokens: Tensor, qkv: tuple[Tensor, Tensor, Tensor], dtype: torch.dtype
) -> None:
    """Writes queries, keys and values as `run_attention` takes them."""
    attention = block.attn
    q, k, v = qkv
    heads, count, head_dim = q.shape
    project = PackedLinear(attention.qkv.weight, attention.qkv_bias(), dtype=dtype)
    for band in bands(count, band_rows(dtype)):
        projected = project(block.norm1(tokens[band])).view(-1, 3, heads, head_dim)
        backwards = slice(count - band.stop, count - band.start)
        q[:, band] = projected[:, 0].mul_(attention.scale).transpose(0, 1)
        k[:, backwards] = projected[:, 1].flip(0).transpose(0, 1)
        v[:, backwards] = projected[:, 2].flip(0).transpose(0, 1)
