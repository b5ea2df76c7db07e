import colorsys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.training.photometric import Distortion, distort, draw_distortion

RANGES = {
    "brightness": (-32.0, 32.0),
    "contrast": (0.5, 1.5),
    "saturation": (0.5, 1.5),
    "hue": (-18.0, 18.0),
}
DISTORTIONS = st.builds(
    Distortion,
    contrast_first=st.booleans(),
    **{name: st.none() | st.floats(*limits) for name, limits in RANGES.items()},
)


def image_of(seed=0, size=(8, 12)):
    """Colours of all kinds, with greys, black, white and pure ones among them."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image[0, :8] = [(a, b, c) for a in (0, 255) for b in (0, 255) for c in (0, 255)]
    image[1] = np.linspace(0, 255, size[1], dtype=np.uint8)[:, None]
    return image


def direct(bgr, change):
    """One pixel, in Python's floats, before rounding."""

    def cut(values):
        return [min(max(value, 0.0), 255.0) for value in values]

    values = [float(value) for value in bgr]
    if change.brightness is not None:
        values = cut(value + change.brightness for value in values)
    if change.contrast is not None and change.contrast_first:
        values = cut(value * change.contrast for value in values)
    h, s, v = colorsys.rgb_to_hsv(*(value / 255 for value in values[::-1]))
    s = s if change.saturation is None else min(s * change.saturation, 1.0)
    h = h if change.hue is None else (h + 2 * change.hue / 360) % 1.0
    values = [255 * value for value in colorsys.hsv_to_rgb(h, s, v)][::-1]
    if change.contrast is not None and not change.contrast_first:
        values = cut(value * change.contrast for value in values)
    return values


@given(DISTORTIONS, st.integers(0, 5))
def test_equals_the_direct_computation(change, seed):
    image = image_of(seed)
    before = image.copy()
    result = distort(image, change)
    expected = np.array([[direct(pixel, change) for pixel in row] for row in image])
    assert result.dtype == np.uint8
    assert np.abs(result - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(image, before)


def test_draws_fill_their_ranges_and_never_leave_them():
    rng = np.random.default_rng(0)
    draws = [draw_distortion(rng) for _ in range(6000)]
    for name, (low, high) in RANGES.items():
        drawn = [getattr(draw, name) for draw in draws]
        values = np.array([one for one in drawn if one is not None])
        assert 0.47 < len(values) / len(draws) < 0.53
        margin = (high - low) / 100
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        assert np.histogram(values, bins=8, range=(low, high))[0].min() > 0.1 * len(values)
    assert 0.47 < np.mean([draw.contrast_first for draw in draws]) < 0.53
    together = [all(getattr(draw, name) is not None for name in RANGES) for draw in draws]
    assert 0.04 < np.mean(together) < 0.085  # each on its own: 1/16
