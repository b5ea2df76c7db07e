import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu import linear
from modelscope_vitadapter.network.cpu.linear import ACTIVATIONS, PackedLinear, can_pack
from tests.support.networks import random_image as noise
from tests.support.networks import relative_error

# Both sum the same products, in another order: some units of the last of 24 bits.
ROUNDING = 1e-6
# Inputs, weights and result are rounded to 8 bits, half a unit is 2 ** -9.
BFLOAT16_ROUNDING = 6e-3


def exact(x, weight, bias, activation):
    y = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    activate = ACTIVATIONS[activation]
    return y if activate is None else activate(y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("rows", "width", "out"), [(1, 1, 1), (1, 16, 5), (7, 3, 33), (64, 48, 1), (130, 65, 17)]
)
def test_equals_the_linear_layer(packing, rows, width, out, activation):
    x, weight, bias = noise(rows, width), noise(out, width, seed=1), noise(out, seed=2)
    for b in (None, bias):
        found = PackedLinear(weight, b, activation=activation)(x)
        assert found.shape == (rows, out)
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found.double(), exact(x, weight, b, activation), rtol=1e-5, atol=1e-5
        )
        if width > 1:
            assert relative_error(found, exact(x, weight, b, activation)) < ROUNDING


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bfloat16_is_as_exact_as_its_roundings(packing, activation):
    x, weight, bias = noise(70, 48), noise(33, 48, seed=1), noise(33, seed=2)
    found = PackedLinear(weight, bias, dtype=torch.bfloat16, activation=activation)(x)
    assert found.dtype == torch.bfloat16
    error = relative_error(found, exact(x, weight, bias, activation))
    assert 1e-4 < error < BFLOAT16_ROUNDING


@pytest.mark.parametrize("rows", [1, 16, 784])
def test_packed_for_another_number_of_rows(rows):
    x, weight = noise(50, 24), noise(12, 24, seed=1)
    found = PackedLinear(weight, rows=rows)(x)
    assert relative_error(found, exact(x, weight, None, "none")) < ROUNDING


def test_weights_and_inputs_of_any_layout(packing):
    x = noise(20, 30).t()[::2]
    weight = noise(20, 14, seed=1).t()[:, ::1]
    assert not x.is_contiguous()
    assert not weight.is_contiguous()
    found = PackedLinear(weight)(x)
    assert relative_error(found, exact(x, weight, None, "none")) < ROUNDING


def test_slices_of_rows_are_the_rows_of_the_whole(packing):
    run = PackedLinear(noise(12, 24, seed=1))
    x = noise(50, 24)
    torch.testing.assert_close(run(x)[20:31], run(x[20:31]), rtol=0, atol=1e-5)


def test_a_module_stays_as_it_is(packing):
    module = nn.Linear(24, 12)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        run = PackedLinear.of(module, activation="relu")
        x = noise(5, 24)
        result = run(x)
        expected = F.relu(module(x))
    assert relative_error(result, expected) < ROUNDING
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_result_is_memory_of_its_own(packing):
    weight = torch.eye(8)
    run, x = PackedLinear(weight), noise(4, 8)
    first = run(x)
    kept = first.clone()
    run(2 * x)
    assert torch.equal(first, kept)
    first.zero_()
    assert torch.equal(run(x), kept)
    assert torch.equal(weight, torch.eye(8))


def test_packed_and_unpacked_agree(monkeypatch):
    x, weight, bias = noise(40, 24), noise(12, 24, seed=1), noise(12, seed=2)
    for name in ACTIVATIONS:
        packed = PackedLinear(weight, bias, activation=name)(x)
        with monkeypatch.context() as patch:
            patch.setattr(linear, "can_pack", lambda dtype: False)
            plain = PackedLinear(weight, bias, activation=name)(x)
        torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-5)


@pytest.fixture
def untried():
    """Forgets what was found out about this PyTorch, before and after."""
    can_pack.cache_clear()
    yield
    can_pack.cache_clear()


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@DTYPES
@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError, TypeError])
def test_missing_operators_are_not_used(monkeypatch, untried, dtype, error):
    def missing(*arguments):
        raise error("no such operator")

    monkeypatch.setattr(linear, "run_packed", missing)
    assert not can_pack(dtype)
    x, weight = noise(6, 8), noise(3, 8, seed=1)
    found = PackedLinear(weight, dtype=dtype, activation="gelu")(x)
    assert relative_error(found, exact(x, weight, None, "gelu")) < BFLOAT16_ROUNDING


@DTYPES
@pytest.mark.parametrize(
    "broken",
    [
        lambda y, activation: y * 1.2,
        lambda y, activation: y.flip(0),
        lambda y, activation: y.t().contiguous(),
        lambda y, activation: y * float("nan"),
        lambda y, activation: y if activation != "gelu" else y.clamp(min=0),
        lambda y, activation: y if activation != "relu" else -y,
    ],
)
def test_wrong_operators_are_not_used(monkeypatch, untried, dtype, broken):
    def run(x, packed, bias, activation):
        y = F.linear(x, packed, bias)
        activate = ACTIVATIONS[activation]
        return broken(y if activate is None else activate(y), activation)

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda weight, rows: weight)
    monkeypatch.setattr(linear, "run_packed", run)
    assert not can_pack(dtype)


def test_right_operators_are_used(monkeypatch, untried):
    def run(x, packed, bias, activation):
        y = F.linear(x, packed, bias)
        activate = ACTIVATIONS[activation]
        return y if activate is None else activate(y)

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda weight, rows: weight)
    monkeypatch.setattr(linear, "run_packed", run)
    assert can_pack(torch.float32)


def test_operators_are_tried_once_for_each_dtype(monkeypatch, untried):
    tries = []

    def run(*arguments):
        tries.append(arguments)
        raise RuntimeError

    monkeypatch.setattr(linear, "run_packed", run)
    for dtype in (torch.float32, torch.float32, torch.bfloat16, torch.float32):
        can_pack(dtype)
    assert len(tries) == 2


def test_the_trial_does_not_see_what_surrounds_it(untried):
    alone = can_pack(torch.float32), can_pack(torch.bfloat16)
    can_pack.cache_clear()
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        assert (can_pack(torch.float32), can_pack(torch.bfloat16)) == alone
