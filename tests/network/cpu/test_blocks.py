import copy

import pytest
import torch

from modelscope_vitadapter.network.beit import Attention, Block, Mlp
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.blocks import run_block
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

WIDTH = 12

# A block's products, norms and softmax in another order: some of 24 bits' units.
ROUNDING = 2e-6
BFLOAT16_ROUNDING = 2e-2

SETTINGS = {
    "plain": {},
    "no qkv bias": {"qkv_bias": False},
    "no position bias": {"table_grid": None},
    "scale": {"qk_scale": 0.7},
    "negative scale": {"qk_scale": -0.4},
    "heads that do not divide the width": {"num_heads": 5},
    "one head": {"num_heads": 1},
    "drop paths": {"attn_drop": 0.4, "proj_drop": 0.4},
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def random_block(*, hidden_dim=20, drop_path=0.3, gamma=None, **options):
    settings = {
        "embed_dim": WIDTH,
        "num_heads": 3,
        "qkv_bias": True,
        "qk_scale": None,
        "table_grid": (4, 3),
        "attn_drop": 0.0,
        "proj_drop": 0.0,
    } | options
    block = Block(
        attention=Attention(**settings),
        mlp=Mlp(embed_dim=WIDTH, hidden_dim=hidden_dim, drop=0.2),
        embed_dim=WIDTH,
        init_values=0.1,
        drop_path=drop_path,
        with_cp=True,
    )
    randomise(block).eval()
    if gamma is not None:
        block.gamma_1.fill_(gamma)
        block.gamma_2.fill_(gamma)
    return block


def tokens_of(grid):
    return noise(1 + grid[0] * grid[1], WIDTH)


def run(block, tokens, grid, dtype=torch.float32, scratch=None):
    found = tokens.clone()
    run_block(block, found, grid, dtype, scratch or Scratch())
    return found


def exact(block, tokens, grid):
    """The module's own answer, in double precision."""
    return copy.deepcopy(block).double()(tokens.double()[None], grid)[0]


@pytest.mark.parametrize("grid", [(4, 3), (1, 1), (2, 2), (7, 3), (5, 6)])
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_equals_the_module(tiling, banding, options, grid):
    block, tokens = random_block(**options), tokens_of(grid)
    assert relative_error(run(block, tokens, grid), exact(block, tokens, grid)) < ROUNDING


def test_equals_the_module_without_reordered_weights(unpacked):
    block, tokens = random_block(), tokens_of((4, 3))
    assert relative_error(run(block, tokens, (4, 3)), exact(block, tokens, (4, 3))) < ROUNDING


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_bfloat16_is_as_exact_as_its_roundings(tiling, banding, options):
    block, tokens = random_block(**options), tokens_of((4, 3))
    found = run(block, tokens, (4, 3), torch.bfloat16)
    assert 1e-4 < relative_error(found, exact(block, tokens, (4, 3))) < BFLOAT16_ROUNDING


def test_in_bfloat16_the_residual_stream_stays_float32(banding):
    # a branch of a thousandth has errors of a thousandth of bfloat16's; a stream in it had all
    block, tokens = random_block(gamma=1e-3), tokens_of((4, 3))
    found = run(block, tokens, (4, 3), torch.bfloat16)
    assert relative_error(found, exact(block, tokens, (4, 3))) < BFLOAT16_ROUNDING * 1e-3


def test_tokens_are_updated_where_they_are():
    block, tokens = random_block(), tokens_of((4, 3))
    given = tokens.clone()
    address = given.data_ptr()
    assert run_block(block, given, (4, 3), torch.float32, Scratch()) is None
    assert given.data_ptr() == address
    assert not torch.equal(given, tokens)


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float32), (torch.bfloat16,) * 2])
def test_blocks_may_share_scratch(low_bands, dtypes):
    narrow, wide = random_block(num_heads=1), random_block(num_heads=6)
    scratch = Scratch()
    tokens = tokens_of((4, 3))
    shared = run(wide, run(narrow, tokens, (4, 3), dtypes[0], scratch), (4, 3), dtypes[1], scratch)
    alone = run(wide, run(narrow, tokens, (4, 3), dtypes[0]), (4, 3), dtypes[1])
    assert torch.equal(shared, alone)
