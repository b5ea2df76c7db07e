import pytest
import torch

from modelscope_vitadapter.checkpoint.finite import all_finite

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 4999, 9999])
def test_one_element_is_found(dtype, value, place):
    tensor = torch.ones(100, 100, dtype=dtype)
    assert all_finite(tensor)
    tensor.view(-1)[place] = value
    assert not all_finite(tensor)
    assert not all_finite(tensor.t())


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_numbers_are_finite(dtype):
    info = torch.finfo(dtype)
    assert all_finite(torch.full((1000,), info.max, dtype=dtype))
    assert all_finite(torch.full((1000,), info.min, dtype=dtype))
    assert all_finite(torch.full((1000,), info.tiny, dtype=dtype))


def test_opposite_infinities_do_not_cancel():
    assert not all_finite(torch.tensor([float("inf"), -float("inf")]))


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_small_shapes(shape):
    assert all_finite(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_whole_numbers_always_are(dtype):
    assert all_finite(torch.ones(3).to(dtype))


def test_parameters():
    assert all_finite(torch.nn.Parameter(torch.ones(2)))
