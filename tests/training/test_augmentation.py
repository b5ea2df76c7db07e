import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.config.test_pipeline import Normalize, parse_test_pipeline
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training.augmentation import (
    DISTORTIONS,
    Augmentation,
    distort,
    draw_distortion,
    resize_nearest,
)
from modelscope_vitadapter.training.train_config import TrainConfig
from tests.training.tiny_model import NORMALIZE, PIPELINE

CLASSES = 12
COLOURS = np.array([(20 * k, 255 - 20 * k, (97 * k) % 256) for k in range(CLASSES)], np.uint8)
DRAWN = Augmentation((48, 64), (64, 256), TrainConfig())
UNTURNED = TrainConfig(photometric=False, ratio_range=(1.0, 1.0), flip=0.0)
SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(1, 200)


def drawn(size=(90, 120), seed=0, block=24):
    """Image and classes in patches whose colours tell their classes; some patches are ignored."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(IGNORED, CLASSES, (-(-size[0] // block), -(-size[1] // block)))
    classes = np.kron(patches, np.ones((block, block), int))[: size[0], : size[1]]
    return COLOURS[classes], classes.astype(np.int16)


def rng_of(seed):
    return np.random.default_rng(seed)


@given(SEEDS)
def test_labels_stay_where_their_colours_are(seed):
    plain = replace(DRAWN, config=TrainConfig(photometric=False))
    image, classes = plain.view(*drawn(seed=seed % 7), rng_of(seed))
    assert np.array_equal(DRAWN.view(*drawn(seed=seed % 7), rng_of(seed))[1], classes)
    values, kernel = classes.astype(np.float32), np.ones((5, 5), np.uint8)
    sure = (cv2.dilate(values, kernel) == cv2.erode(values, kernel)) & (classes != IGNORED)
    sure[:2] = sure[-2:] = sure[:, :2] = sure[:, -2:] = False  # where the view's edge cuts a blend
    assert sure.mean() > 0.1
    assert np.array_equal(image[sure], COLOURS[classes[sure]])


@given(SIDES, SIDES, SEEDS)
def test_images_of_any_size_fill_the_crop_and_stay_as_they_are(height, width, seed):
    image, classes = drawn((height, width), seed=seed % 7)
    before = image.copy(), classes.copy()
    labelled = LabelledImage(image, classes, "drawn", classes)
    values, found = DRAWN(labelled, rng_of(seed))
    assert (values.shape, values.dtype) == ((3, 48, 64), np.float32)
    assert (found.shape, found.dtype) == ((48, 64), np.int16)
    assert np.isfinite(values).all()
    assert set(np.unique(found)) <= {IGNORED, *np.unique(classes)}
    assert np.array_equal(image, before[0])
    assert np.array_equal(classes, before[1])
    again = DRAWN(labelled, rng_of(seed))
    assert np.array_equal(again[0], values)
    assert np.array_equal(again[1], found)


@pytest.mark.parametrize("to_rgb", [True, False])
def test_what_is_added_is_zero_for_the_network_and_ignored(to_rgb):
    normalize = Normalize((120.0, 110.0, 100.0), (58.0, 57.0, 56.0), to_rgb)
    image, classes = drawn((30, 40))
    values, found = Augmentation((96, 96), (30, 64), UNTURNED, normalize)(
        LabelledImage(image, classes, "", classes), rng_of(0)
    )
    expected = ((image[..., ::-1] if to_rgb else image) - np.array(normalize.mean)) / normalize.std
    assert np.allclose(values[:, :30, :40], expected.transpose(2, 0, 1), atol=1e-5)
    assert np.array_equal(found[:30, :40], classes)
    outside = np.ones((96, 96), bool)
    outside[:30, :40] = False
    assert not values[:, outside].any()
    assert (found[outside] == IGNORED).all()


def test_about_half_of_the_views_are_mirrored_left_to_right():
    image, classes = drawn((48, 64), seed=1)
    same_size = Augmentation((48, 64), (48, 64), replace(UNTURNED, flip=0.5))
    mirrored = 0
    for seed in range(400):
        view, found = same_size.view(image, classes, rng_of(seed))
        step = -1 if np.array_equal(view, image[:, ::-1]) else 1
        assert np.array_equal(view, image[:, ::step])
        assert np.array_equal(found, classes[:, ::step])
        mirrored += step == -1
    assert 160 < mirrored < 240


def test_sizes_go_from_half_to_twice_the_scale():
    one = Augmentation((4000, 4000), (100, 400), TrainConfig(photometric=False))
    sides = [one.view(*drawn((50, 50)), rng_of(seed))[1].shape[0] for seed in range(1500)]
    assert (min(sides), max(sides)) == (50, 199)


@given(SIDES, SIDES)
def test_nearest_equals_the_distance_to_every_pixels_centre(height, width):
    values = np.arange(64 * 48, dtype=np.int16).reshape(64, 48)
    resized = resize_nearest(values, (height, width))
    for axis, (old, new) in enumerate(zip(values.shape, (height, width), strict=True)):
        found = np.unravel_index(resized, values.shape)[axis]
        found = found[:, 0] if axis == 0 else found[0]
        centres, wanted = (np.arange(old) + 0.5) / old, (np.arange(new) + 0.5) / new
        distances = np.abs(centres[None] - wanted[:, None])
        assert np.allclose(distances[np.arange(new), found], distances.min(axis=1), atol=1e-12)


def crops_of(classes, count, crop_size=(48, 64), **recipe):
    """The classes of many crops of an image that isn't resized."""
    one = Augmentation(crop_size, classes.shape, replace(UNTURNED, **recipe))
    image = np.zeros((*classes.shape, 3), np.uint8)
    return [one.view(image, classes, rng_of(seed))[1] for seed in range(count)]


def test_crops_reach_every_place_evenly():
    places = np.arange(14 * 27, dtype=np.int16).reshape(14, 27)
    crops = crops_of(places, 2000, (10, 20), cat_max_ratio=1.0)
    assert {crop.shape for crop in crops} == {(10, 20)}
    tops, lefts = zip(*(divmod(int(crop[0, 0]), 27) for crop in crops), strict=True)
    assert np.bincount(tops, minlength=5).min() > 320
    assert np.bincount(lefts, minlength=8).min() > 180


def test_no_class_covers_more_than_its_share_where_crops_without_are_common():
    classes = np.zeros((60, 90), np.int16)
    classes[:, 40:55] = 1
    classes[:20] = IGNORED
    shares = []
    for ratio in (0.75, 1.0):
        crops = crops_of(classes, 300, (32, 32), cat_max_ratio=ratio)
        counts = [np.unique(crop[crop != IGNORED], return_counts=True)[1] for crop in crops]
        shares.append(np.array([count.max() / count.sum() for count in counts]))
    assert shares[0].max() <= 0.75
    assert np.mean(shares[1] > 0.75) > 0.2


@pytest.mark.parametrize("fill", [0, IGNORED])
def test_where_no_crop_fits_one_is_taken_all_the_same(fill):
    (crop,) = crops_of(np.full((80, 80), fill, np.int16), 1)
    assert crop.shape == (48, 64)


def test_the_same_numbers_give_the_same_bits_on_any_number_of_threads():
    image = rng_of(0).integers(0, 256, (701, 997, 3), np.uint8)
    classes = drawn((701, 997), block=60)[1]
    large = LabelledImage(image, classes, "large", classes)
    one, found = Augmentation((640, 640), (640, 2560), TrainConfig()), []
    threads = cv2.getNumThreads()
    try:
        for count in (1, 2, 8):
            cv2.setNumThreads(count)
            found.append(one(large, rng_of(1)))
    finally:
        cv2.setNumThreads(threads)
    for values, classes in found[1:]:
        assert np.array_equal(values, found[0][0])
        assert np.array_equal(classes, found[0][1])


def test_scale_and_normalisation_are_the_models():
    config = TrainConfig(flip=0.1)
    one = Augmentation.of(config, parse_test_pipeline(PIPELINE), (64, 48))
    assert (one.crop_size, one.scale, one.config) == ((64, 48), (64, 256), config)
    found = one.normalize
    assert [[*found.mean], [*found.std], found.to_rgb] == [*NORMALIZE.values()][1:]
    views = {**PIPELINE[1], "img_scale": [(300, 70), (384, 96)], "flip": True}
    several = parse_test_pipeline([PIPELINE[0], views])
    assert Augmentation.of(config, several, (64, 64)).scale == (70, 300)
    bare = parse_test_pipeline([PIPELINE[0], {**PIPELINE[1], "transforms": []}])
    none = Augmentation.of(config, bare, (96, 64))
    assert (none.scale, none.normalize) == ((64, 256), Normalize((0,) * 3, (1,) * 3, False))


def colours(seed, size=(8, 12)):
    """Colours of all kinds, with greys, black, white and pure ones among them."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image[0, :8] = [(a, b, c) for a in (0, 255) for b in (0, 255) for c in (0, 255)]
    image[1] = np.linspace(0, 255, size[1], dtype=np.uint8)[:, None]
    return image


def distorted(bgr, brightness=0, contrast=1, saturation=1, hue=0, contrast_first=True):
    """One pixel, in Python's floats, before rounding."""

    def cut(values):
        return [min(max(value, 0.0), 255.0) for value in values]

    values = cut(float(value) + brightness for value in bgr)
    if contrast_first:
        values = cut(value * contrast for value in values)
    h, s, v = colorsys.rgb_to_hsv(*(value / 255 for value in values[::-1]))
    h, s = (h + hue / 360) % 1.0, min(s * saturation, 1.0)
    values = [255 * value for value in colorsys.hsv_to_rgb(h, s, v)][::-1]
    return values if contrast_first else cut(value * contrast for value in values)


@given(
    st.fixed_dictionaries(
        {"contrast_first": st.booleans()},
        optional={name: st.floats(*limits) for name, limits in DISTORTIONS.items()},
    ),
    st.integers(0, 5),
)
def test_colours_change_as_in_the_direct_computation(change, seed):
    image = colours(seed)
    before = image.copy()
    result = distort(image, **change)
    expected = np.array([[distorted(pixel, **change) for pixel in row] for row in image])
    assert result.dtype == np.uint8
    assert np.abs(result - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(image, before)


def test_colour_changes_fill_their_ranges_and_never_leave_them():
    rng = np.random.default_rng(0)
    draws = [draw_distortion(rng) for _ in range(6000)]
    for name, (low, high) in DISTORTIONS.items():
        values = np.array([draw[name] for draw in draws if name in draw])
        assert 0.47 < len(values) / len(draws) < 0.53
        margin = (high - low) / 100
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        assert np.histogram(values, bins=8, range=(low, high))[0].min() > 0.1 * len(values)
    assert 0.47 < np.mean([draw["contrast_first"] for draw in draws]) < 0.53
    assert 0.04 < np.mean([len(draw) == 5 for draw in draws]) < 0.085  # each on its own: 1/16
