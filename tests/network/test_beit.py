import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network import beit
from modelscope_vitadapter.network.beit import Attention, Block, Mlp, PatchEmbed
from modelscope_vitadapter.network.position_bias import (
    relative_position_index,
    strided_position_bias,
    table_length,
)
from tests.support.networks import randomise

GRID = (2, 3)
TOKENS = 7


def attention(**options):
    settings = {
        "embed_dim": 8,
        "num_heads": 2,
        "qkv_bias": True,
        "qk_scale": None,
        "table_grid": GRID,
        "attn_drop": 0.0,
        "proj_drop": 0.0,
    } | options
    return randomise(Attention(**settings))


def explicit(module, x, scale, index):
    """Softmax attention written out."""
    batch, tokens, _ = x.shape
    qkv = x @ module.qkv.weight.T
    if module.q_bias is not None:
        zeros = torch.zeros_like(module.q_bias)
        qkv = qkv + torch.cat((module.q_bias, zeros, module.v_bias))
    q, k, v = qkv.view(batch, tokens, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    scores = (q * scale) @ k.transpose(-1, -2)
    table = module.relative_position_bias_table
    if table is not None:
        scores = scores + table[index].permute(2, 0, 1)
    attended = scores.softmax(-1) @ v
    return module.proj(attended.transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, 4**-0.5),
        ({"qkv_bias": False}, 4**-0.5),
        ({"qk_scale": 0.2}, 0.2),
        ({"table_grid": None}, 4**-0.5),
        ({"num_heads": 4}, 2**-0.5),
        ({"num_heads": 3}, 2**-0.5),
    ],
)
def test_attention_equals_explicit_softmax(options, scale):
    module = attention(**options)
    x = torch.randn(2, TOKENS, 8)
    index = relative_position_index(GRID)
    torch.testing.assert_close(
        module(x, GRID, index), explicit(module, x, scale, index), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("grid", [GRID, (1, 2), (3, 3), (1, 1)])
@pytest.mark.parametrize("table_grid", [GRID, None])
def test_attention_without_an_index_equals_that_with_one(grid, table_grid):
    module = attention(table_grid=table_grid)
    x = torch.randn(2, 1 + grid[0] * grid[1], 8)
    torch.testing.assert_close(
        module(x, grid), module(x, grid, relative_position_index(grid)), rtol=1e-5, atol=1e-5
    )


def test_the_position_bias_is_made_in_the_type_of_the_attention(monkeypatch):
    given = []
    fused = F.scaled_dot_product_attention

    def keep(q, k, v, **options):
        given.append((q.dtype, options["attn_mask"]))
        return fused(q, k, v, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", keep)
    made = []
    monkeypatch.setattr(
        beit,
        "strided_position_bias",
        lambda *a, **k: made.append(strided_position_bias(*a, **k)) or made[-1],
    )
    with torch.autocast("cpu", torch.bfloat16):
        attention()(torch.randn(2, TOKENS, 8), GRID)
    (dtype, mask), (bias,) = given[0], made
    assert dtype == mask.dtype == bias.dtype == torch.bfloat16
    assert mask.data_ptr() == bias.data_ptr()  # not copied on the way
    assert mask.stride()[1:] == bias.stride()


def test_gradients_equal_those_of_the_gathered_bias():
    x = torch.randn(2, TOKENS, 8)
    module, plain = attention(), attention()
    module(x, GRID).square().sum().backward()
    plain(x, GRID, relative_position_index(GRID)).square().sum().backward()
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_keys_have_no_bias_to_train():
    assert {name for name, _ in attention().named_parameters()} == {
        "q_bias",
        "v_bias",
        "relative_position_bias_table",
        "qkv.weight",
        "proj.weight",
        "proj.bias",
    }
    assert attention().relative_position_bias_table.shape == (table_length(GRID), 2)


def test_attention_dropout_is_for_training_only():
    module = attention(attn_drop=0.9)
    x, index = torch.randn(1, TOKENS, 8), relative_position_index(GRID)
    module.eval()
    assert torch.equal(module(x, GRID, index), module(x, GRID, index))
    module.train()
    assert not torch.equal(module(x, GRID, index), module(x, GRID, index))


def test_mlp_equals_its_formula():
    mlp = Mlp(embed_dim=4, hidden_dim=6, drop=0.0)
    x = torch.randn(1, 3, 4)
    assert torch.equal(mlp(x), mlp.fc2(F.gelu(mlp.fc1(x))))


def test_patch_embed_reads_patches_row_by_row():
    embed = PatchEmbed(patch_size=16, embed_dim=5)
    image = torch.randn(1, 3, 32, 48)
    tokens, grid = embed(image)
    assert grid == (2, 3)
    alone, _ = embed(image[:, :, 16:32, 16:32])
    torch.testing.assert_close(tokens[:, 4:5], alone)


def block(with_cp=False, drop_path=0.0):
    return randomise(
        Block(
            attention=attention(),
            mlp=Mlp(embed_dim=8, hidden_dim=16, drop=0.0),
            embed_dim=8,
            init_values=0.1,
            drop_path=drop_path,
            with_cp=with_cp,
        )
    )


def test_block_is_pre_norm_with_layer_scale():
    module, x, index = block(), torch.randn(2, TOKENS, 8), relative_position_index(GRID)
    middle = x + module.gamma_1 * module.attn(module.norm1(x), GRID, index)
    expected = middle + module.gamma_2 * module.mlp(module.norm2(middle))
    torch.testing.assert_close(module(x, GRID, index), expected)
    assert module.norm1.eps == 1e-6


def gradients(module, x):
    x = x.clone().requires_grad_()
    module(x, GRID, relative_position_index(GRID)).square().sum().backward()
    return [x.grad, *(parameter.grad for parameter in module.parameters())]


def test_checkpointing_gives_the_same_gradients():
    x = torch.randn(2, TOKENS, 8)
    for plain, saved in zip(gradients(block(), x), gradients(block(with_cp=True), x), strict=True):
        torch.testing.assert_close(plain, saved)


@pytest.mark.parametrize(
    ("with_cp", "requires_grad", "calls"),
    [(True, True, 2), (True, False, 1), (False, True, 1)],
)
def test_checkpointing_runs_twice_only_where_gradients_are_wanted(with_cp, requires_grad, calls):
    module = block(with_cp)
    counted = []
    module.mlp.register_forward_hook(lambda *_: counted.append(1))
    x = torch.randn(1, TOKENS, 8, requires_grad=requires_grad)
    module(x, GRID, relative_position_index(GRID)).sum().backward()
    assert len(counted) == calls


def test_drop_path_skips_whole_samples_in_training():
    module = block(drop_path=0.5).train()
    torch.manual_seed(0)
    x = torch.randn(1, TOKENS, 8).expand(200, -1, -1)
    unchanged = (module(x, GRID, relative_position_index(GRID)) == x).flatten(1).all(1)
    assert 25 < unchanged.sum() < 75  # both branches are dropped in a quarter of the samples
    module.eval()
    assert not (module(x, GRID, relative_position_index(GRID)) == x).flatten(1).all(1).any()
