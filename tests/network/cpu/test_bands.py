import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.network.cpu import bands as module
from modelscope_vitadapter.network.cpu.bands import (
    Scratch,
    band_rows,
    bands,
    return_freed_memory,
)


@given(st.integers(1, 500), st.integers(1, 60))
def test_bands_cover_all_rows_in_order(rows, height):
    found = list(bands(rows, height))
    assert [i for band in found for i in range(rows)[band]] == list(range(rows))


@given(st.integers(1, 500), st.integers(1, 60))
def test_bands_are_as_few_and_as_equal_as_can_be(rows, height):
    heights = [band.stop - band.start for band in bands(rows, height)]
    assert len(heights) == -(-rows // height)
    assert max(heights) <= height
    assert max(heights) - min(heights) <= 1


def test_no_rows_are_one_empty_band():
    assert list(bands(0, 5)) == [slice(0, 0)]


@pytest.mark.parametrize("tokens", [1 + 56 * 56, 112 * 112, 112 * 112 + 56 * 56 + 28 * 28])
@pytest.mark.parametrize(("height", "least"), [(825, 784), (1650, 1568)])
def test_a_window_of_the_hub_model_has_high_bands(height, least, tokens):
    assert all(least <= band.stop - band.start <= height for band in bands(tokens, height))


@pytest.mark.parametrize("tiles", [True, False])
def test_only_bfloat16_with_matrix_tiles_has_higher_bands(monkeypatch, tiles):
    monkeypatch.setattr(module, "has_matrix_tiles", lambda: tiles)
    assert band_rows(torch.float32) == 825
    assert band_rows(torch.bfloat16) == (1650 if tiles else 825)


def test_scratch_gives_the_same_memory_again():
    scratch = Scratch()
    first = scratch.take("a", 4, 6)
    assert scratch.take("a", 3, 5).data_ptr() == first.data_ptr()
    assert scratch.take("b", 4, 6).data_ptr() != first.data_ptr()


def test_scratch_grows():
    scratch = Scratch()
    scratch.take("a", 2, 3)
    large = scratch.take("a", 50, 70).fill_(1)
    assert large.shape == (50, 70)
    assert float(large.sum()) == 3500


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_scratch_is_contiguous_and_of_the_dtype_asked_for(dtype):
    scratch = Scratch()
    scratch.take("a", 100)
    taken = scratch.take("a", 3, 4, 5, dtype=dtype)
    assert taken.dtype == dtype
    assert taken.shape == (3, 4, 5)
    assert taken.is_contiguous()
    assert taken.storage_offset() == 0  # the position bias is read by strides from there


def test_dropped_scratch_is_freed():
    scratch = Scratch()
    scratch.take("a", 10)
    scratch.take("b", 10)
    scratch.drop("a", "never taken")
    assert set(scratch._held) == {"b"}


def test_scratch_is_the_processors_whatever_the_default_device_is():
    with torch.device("meta"):
        assert Scratch().take("a", 2).device.type == "cpu"


@pytest.fixture
def fresh_library():
    module._malloc_trim.cache_clear()
    yield
    module._malloc_trim.cache_clear()


@pytest.mark.parametrize("error", [TypeError("Windows"), OSError("none")])
def test_freed_memory_stays_where_there_is_no_way_to_return_it(monkeypatch, fresh_library, error):
    def missing(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    return_freed_memory()
    assert module._malloc_trim() is None


def test_freed_memory_is_returned_by_the_librarys_function(monkeypatch, fresh_library):
    padding = []
    library = type("Library", (), {"malloc_trim": staticmethod(padding.append)})
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return_freed_memory()
    assert padding == [0]


def test_another_c_library_returns_nothing(monkeypatch, fresh_library):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    return_freed_memory()
    assert module._malloc_trim() is None
