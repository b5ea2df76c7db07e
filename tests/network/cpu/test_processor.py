import pytest
import torch

from modelscope_vitadapter.network.cpu.processor import has_matrix_tiles


@pytest.fixture(autouse=True)
def asked_anew():
    has_matrix_tiles.cache_clear()
    yield
    has_matrix_tiles.cache_clear()


@pytest.mark.parametrize(
    ("report", "expected"), [({"amx_tile": True}, True), ({"amx_tile": False}, False), ({}, False)]
)
def test_what_pytorch_reports(monkeypatch, report, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: report, raising=False)
    assert has_matrix_tiles() is expected


@pytest.mark.parametrize("answer", [True, False])
def test_an_older_pytorch_has_a_function(monkeypatch, answer):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: answer, raising=False)
    assert has_matrix_tiles() is answer


def test_a_pytorch_that_cannot_tell_says_no(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert has_matrix_tiles() is False
