import colorsys

import cv2
import numpy as np
import pytest

from modelscope_vitadapter.training.augmentation.photometric import (
    Distortion,
    distort,
    draw_distortion,
)
from modelscope_vitadapter.training.augmentation.settings import PhotometricSettings

CHANGES = ("brightness", "contrast", "saturation", "hue")


def picture(seed=0, size=(16, 24)):
    """Colours of all kinds, with greys, black, white and pure ones among them."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image[0, :8] = [(a, b, c) for a in (0, 255) for b in (0, 255) for c in (0, 255)]
    image[1] = np.linspace(0, 255, size[1], dtype=np.uint8)[:, None]
    return image


def cut(value):
    return min(max(value, 0.0), 255.0)


def oracle_pixel(bgr, distortion):
    b, g, r = (float(value) for value in bgr)
    if distortion.brightness is not None:
        b, g, r = (cut(value + distortion.brightness) for value in (b, g, r))
    if distortion.contrast is not None and distortion.contrast_first:
        b, g, r = (cut(value * distortion.contrast) for value in (b, g, r))
    h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    if distortion.saturation is not None:
        s = min(s * distortion.saturation, 1.0)
    if distortion.hue is not None:
        h = (h + 2 * distortion.hue / 360) % 1.0
    r, g, b = (255 * value for value in colorsys.hsv_to_rgb(h, s, v))
    if distortion.contrast is not None and not distortion.contrast_first:
        b, g, r = (cut(value * distortion.contrast) for value in (b, g, r))
    return b, g, r


def oracle(image, distortion):
    """Pixel by pixel, in Python's floats, before rounding."""
    return np.array([[oracle_pixel(pixel, distortion) for pixel in row] for row in image])


@pytest.mark.parametrize("seed", range(24))
def test_equals_the_direct_computation(seed):
    image = picture(seed)
    distortion = draw_distortion(PhotometricSettings(), np.random.default_rng(seed))
    result = distort(image, distortion)
    assert result.dtype == np.uint8
    assert np.abs(result - oracle(image, distortion)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    "distortion",
    [
        Distortion(brightness=32.0),
        Distortion(brightness=-32.0),
        Distortion(contrast=1.5),
        Distortion(saturation=1.5),
        Distortion(saturation=0.5),
        Distortion(hue=18.0),
        Distortion(hue=-18.0),
        Distortion(brightness=20.0, contrast=1.4, saturation=0.6, hue=5.0),
        Distortion(brightness=20.0, contrast=0.6, contrast_first=False, saturation=1.5, hue=-17.0),
    ],
)
def test_equals_the_direct_computation_at_the_ranges_ends(distortion):
    image = picture(7)
    result = distort(image, distortion)
    assert np.abs(result - oracle(image, distortion)).max() <= 0.5 + 1e-3
    assert not np.array_equal(result, image)


def test_is_close_to_the_8_bit_computation_of_the_recipe():
    """What mmsegmentation computes, for changes whose result does not hang on 180 hues."""
    image = cv2.GaussianBlur(picture(5, (64, 64)), (0, 0), 6)
    distortion = Distortion(brightness=-12.0, contrast=1.3, saturation=0.7, hue=9.0)
    values = np.clip(image.astype(np.float32) - 12, 0, 255).astype(np.uint8)
    values = np.clip(values.astype(np.float32) * 1.3, 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(values, cv2.COLOR_BGR2HSV)
    hsv[:, :, 1] = np.clip(hsv[:, :, 1] * 0.7, 0, 255)
    hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + 9) % 180
    difference = distort(image, distortion) - cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(float)
    assert np.abs(difference).mean() < 1.5


def test_no_change_leaves_the_bits():
    image = picture()
    assert np.array_equal(distort(image, Distortion()), image)
    neutral = Distortion(brightness=0.0, contrast=1.0, saturation=1.0, hue=0.0)
    assert np.array_equal(distort(image, neutral), image)


def test_greys_keep_their_hue_and_the_input_stays():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    before = grey.copy()
    assert np.array_equal(distort(grey, Distortion(saturation=1.5, hue=11.0)), grey)
    assert np.array_equal(grey, before)


def test_the_order_of_contrast_and_brightness_matters_where_values_are_cut():
    image = np.full((2, 2, 3), (250, 120, 30), np.uint8)
    first = distort(image, Distortion(contrast=1.5, saturation=0.5))
    last = distort(image, Distortion(contrast=1.5, contrast_first=False, saturation=0.5))
    assert not np.array_equal(first, last)


def test_draws_fill_their_ranges_and_never_leave_them():
    settings = PhotometricSettings()
    rng = np.random.default_rng(0)
    draws = [draw_distortion(settings, rng) for _ in range(6000)]
    limits = {
        "brightness": (-32.0, 32.0),
        "contrast": (0.5, 1.5),
        "saturation": (0.5, 1.5),
        "hue": (-18.0, 18.0),
    }
    for name, (low, high) in limits.items():
        values = np.array(
            [one for one in (getattr(draw, name) for draw in draws) if one is not None]
        )
        assert 0.47 < len(values) / len(draws) < 0.53
        margin = (high - low) / 100
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        counts = np.histogram(values, bins=8, range=(low, high))[0]
        assert counts.min() > 0.8 * len(values) / 8
    assert 0.47 < np.mean([draw.contrast_first for draw in draws]) < 0.53
    together = [all(getattr(draw, name) is not None for name in CHANGES) for draw in draws]
    assert 0.04 < np.mean(together) < 0.085  # each on its own: 1/16


@pytest.mark.parametrize(("probability", "used"), [(0.0, False), (1.0, True)])
def test_the_probability_of_changes(probability, used):
    rng = np.random.default_rng(0)
    for _ in range(50):
        draw = draw_distortion(PhotometricSettings(probability=probability), rng)
        assert {getattr(draw, name) is not None for name in CHANGES} == {used}
