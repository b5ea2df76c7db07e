import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.inference.sliding_window import window_origins

LENGTHS = st.integers(1, 4000), st.integers(1, 1000), st.integers(1, 1000)


@given(*LENGTHS)
def test_origins_equal_the_builtin_models(length, crop, stride):
    """Its loop: where a window would end behind the image, it is pulled back."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    ends = [min(i * stride + crop, length) for i in range(count)]
    assert window_origins(length, crop, stride) == [max(end - crop, 0) for end in ends]


@pytest.mark.parametrize(
    ("length", "origins"),
    [(896, [0]), (897, [0, 1]), (1408, [0, 512]), (1409, [0, 512, 513]), (800, [0]), (1, [0])],
)
def test_known_origins(length, origins):
    assert window_origins(length, 896, 512) == origins
