"""Ways of running the processor's path that small maps and one processor would not show."""

import sys

import pytest
import torch

from modelscope_vitadapter.network import segmentor as _  # noqa: F401  imports the whole path
from modelscope_vitadapter.network.cpu import attention, bands, convolution, linear

LOW = 3
"""Rows of a band where bands are low."""


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def low_bands(monkeypatch):
    """Cuts everything into bands of at most three rows, so that small maps have several."""
    whole = bands.bands

    def low(rows, height=LOW):
        return whole(rows, min(height, LOW))

    path = bands.__name__.rpartition(".")[0]
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{path}.") and getattr(module, "bands", None) is whole:
            monkeypatch.setattr(module, "bands", low)
    assert attention.bands is convolution.bands is low


@pytest.fixture
def unpacked(monkeypatch):
    """Linear layers as on a PyTorch without the operators that reorder weights."""
    monkeypatch.setattr(linear, "can_pack", lambda dtype: False)


@pytest.fixture(params=["tiles", "no tiles"])
def tiling(request, monkeypatch):
    """Runs a test as on a processor with matrix tiles and as on one without."""
    for module in (attention, bands, convolution):
        monkeypatch.setattr(module, "has_matrix_tiles", lambda: request.param == "tiles")


@pytest.fixture(params=["whole", "low", "unpacked"])
def way(request):
    """Bands that hold small maps whole, low ones, linear layers without reordered weights."""
    if request.param != "whole":
        request.getfixturevalue("low_bands" if request.param == "low" else "unpacked")
