from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.config.test_pipeline import parse_test_pipeline
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training import augmentation as module
from modelscope_vitadapter.training.augmentation import (
    Augmentation,
    resize_nearest,
    resized_size,
)
from modelscope_vitadapter.training.train_config import TrainConfig
from tests.training.tiny_model import NORMALIZE, PIPELINE

CLASSES = 12
COLOURS = np.array([(20 * k, 255 - 20 * k, (97 * k) % 256) for k in range(CLASSES)], np.uint8)
DRAWN = Augmentation((48, 64), scale=(64, 256))
PLAIN = replace(DRAWN, photometric=False)
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
    image, classes = PLAIN.view(*drawn(seed=seed % 7), rng_of(seed))
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
    labelled = LabelledImage(image, classes, "drawn")
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


def test_what_is_added_is_zero_for_the_network_and_ignored():
    mean, std = (120.0, 110.0, 100.0), (58.0, 57.0, 56.0)
    one = replace(PLAIN, crop_size=(96, 96), scale=(30, 64), ratio_range=(1.0, 1.0), flip=0.0)
    image, classes = drawn((30, 40))
    for to_rgb in (True, False):
        fitted = replace(one, mean=mean, std=std, to_rgb=to_rgb)
        values, found = fitted(LabelledImage(image, classes, ""), rng_of(0))
        expected = ((image[..., ::-1] if to_rgb else image) - np.array(mean)) / std
        assert np.allclose(values[:, :30, :40], expected.transpose(2, 0, 1), atol=1e-5)
        assert np.array_equal(found[:30, :40], classes)
        outside = np.ones((96, 96), bool)
        outside[:30, :40] = False
        assert not values[:, outside].any()
        assert (found[outside] == IGNORED).all()


def test_about_half_of_the_views_are_mirrored_left_to_right():
    image, classes = drawn((48, 64), seed=1)
    same_size = replace(PLAIN, scale=(48, 64), ratio_range=(1.0, 1.0))
    mirrored = 0
    for seed in range(400):
        view, found = same_size.view(image, classes, rng_of(seed))
        step = -1 if np.array_equal(view, image[:, ::-1]) else 1
        assert np.array_equal(view, image[:, ::step])
        assert np.array_equal(found, classes[:, ::step])
        mirrored += step == -1
    assert 160 < mirrored < 240


def test_ratios_fill_their_range_evenly():
    one = replace(PLAIN, crop_size=(4000, 4000), scale=(100, 400))
    sides = [one.view(*drawn((50, 50)), rng_of(seed))[1].shape[0] for seed in range(1500)]
    assert (min(sides), max(sides)) == (50, 199)
    counts = np.histogram(sides, bins=10, range=(50, 200))[0]
    assert counts.min() > 100
    assert counts.max() < 200


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (896, 1195)),
        ((640, 480), (1195, 896)),
        ((100, 1000), (358, 3584)),
        ((1, 9000), (1, 3584)),
        ((1, 1), (896, 896)),
    ],
)
def test_sizes_in_the_papers_box(size, expected):
    assert resized_size(size, (896.9, 3584.9)) == expected


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


@pytest.mark.parametrize("width", [12, 23, 31, 95, 96, 171])
def test_edges_of_labels_lie_where_the_image_is_half_way(width):
    """Where OpenCV's nearest is used, labels are shifted and this fails."""
    classes = np.repeat((rng_of(3).random((1, 48)) < 0.5), 5, 0).astype(np.int16)
    image = np.repeat((classes * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    one = Augmentation((999, 999), (999, width), (1.0, 1.0), flip=0.0, photometric=False)
    view, found = one.view(image, classes, rng_of(0))
    assert found.shape[1] == width
    grey = view[:, :, 0].astype(int)
    decided = np.abs(grey - 127.5) > 2  # as near to one as to the other, else
    assert decided.mean() > 0.4
    assert np.array_equal(grey[decided] > 127, found[decided] == 1)


def crops_of(classes, count, **changes):
    """The classes of many crops of an image that isn't resized."""
    one = replace(PLAIN, scale=sorted(classes.shape), ratio_range=(1.0, 1.0), flip=0.0, **changes)
    image = np.zeros((*classes.shape, 3), np.uint8)
    return [one.view(image, classes, rng_of(seed))[1] for seed in range(count)]


def test_crops_reach_every_place_evenly():
    places = np.arange(14 * 27, dtype=np.int16).reshape(14, 27)
    crops = crops_of(places, 2000, crop_size=(10, 20), cat_max_ratio=1.0)
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
        crops = crops_of(classes, 300, crop_size=(32, 32), cat_max_ratio=ratio)
        counts = [np.unique(crop[crop != IGNORED], return_counts=True)[1] for crop in crops]
        shares.append(np.array([count.max() / count.sum() for count in counts]))
    assert shares[0].max() <= 0.75
    assert np.mean(shares[1] > 0.75) > 0.2


@pytest.mark.parametrize("fill", [0, IGNORED])
def test_where_no_crop_fits_the_tenth_is_taken(monkeypatch, fill):
    tried = []
    monkeypatch.setattr(module, "largest_share", lambda crop: tried.append(crop) or 1.0)
    (crop,) = crops_of(np.full((80, 80), fill, np.int16), 1)
    assert len(tried) == 10
    assert np.shares_memory(crop, tried[-1])


def test_the_same_numbers_give_the_same_bits_on_any_number_of_threads():
    image = rng_of(0).integers(0, 256, (701, 997, 3), np.uint8)
    large = LabelledImage(image, drawn((701, 997), block=60)[1], "large")
    one = Augmentation((640, 640), scale=(640, 2560))
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 2, 8):
            cv2.setNumThreads(count)
            found.append(one(large, rng_of(1)))
        for values, classes in found[1:]:
            assert np.array_equal(values, found[0][0])
            assert np.array_equal(classes, found[0][1])
    finally:
        cv2.setNumThreads(threads)


def test_scale_and_normalisation_are_the_models_and_the_rest_the_recipes():
    config = TrainConfig(ratio_range=(1.0, 1.5), cat_max_ratio=0.6, flip=0.1, photometric=False)
    one = Augmentation.of(config, parse_test_pipeline(PIPELINE), (64, 48))
    assert (one.crop_size, one.scale) == ((64, 48), (64, 256))
    assert [list(one.mean), list(one.std)] == [NORMALIZE["mean"], NORMALIZE["std"]]
    assert one.to_rgb
    assert (one.ratio_range, one.cat_max_ratio) == ((1.0, 1.5), 0.6)
    assert (one.flip, one.photometric) == (0.1, False)
    views = {**PIPELINE[1], "img_scale": [(300, 70), (384, 96)], "flip": True}
    several = parse_test_pipeline([PIPELINE[0], views])
    assert Augmentation.of(config, several, (64, 64)).scale == (70, 300)
    bare = parse_test_pipeline([PIPELINE[0], {**PIPELINE[1], "transforms": []}])
    none = Augmentation.of(config, bare, (96, 64))
    assert (none.scale, none.mean, none.std, none.to_rgb) == ((64, 256), (0,) * 3, (1,) * 3, False)
