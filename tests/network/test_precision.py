import pytest
import torch

from modelscope_vitadapter.network.precision import full_precision


def test_autocast_pauses_and_goes_on():
    x = torch.randn(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_a_device_without_autocast_needs_nothing():
    x = torch.empty(2, 2, device="meta")
    with pytest.raises(RuntimeError):
        torch.autocast("meta", enabled=False)
    with full_precision(x):
        assert (x @ x).dtype == torch.float32
