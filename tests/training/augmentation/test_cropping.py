import numpy as np
import pytest

from modelscope_vitadapter.datasets.dataset import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training.augmentation.cropping import (
    Box,
    crop_labelled,
    draw_crop,
    largest_share,
)
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings


def settings_of(crop_size, **changes):
    return AugmentationSettings(crop_size=crop_size, scale=(400, 100), **changes)


def share_by_counting(classes):
    labelled = [one for one in classes.ravel().tolist() if one != IGNORED]
    if not labelled:
        return float("inf")
    return max(labelled.count(one) for one in set(labelled)) / len(labelled)


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_share_leaves_ignored_pixels_out(seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(IGNORED, seed + 1, (5, 9)).astype(np.int16)
    assert largest_share(classes) == share_by_counting(classes)
    assert largest_share(np.full((3, 3), IGNORED, np.int16)) == float("inf")


def test_places_reach_every_offset_evenly_and_stay_inside():
    settings = settings_of((10, 20), cat_max_ratio=1.0)
    classes = np.zeros((14, 27), np.int16)
    rng = np.random.default_rng(2)
    boxes = [draw_crop(classes, settings, rng) for _ in range(2000)]
    assert {(box.height, box.width) for box in boxes} == {(10, 20)}
    tops = np.bincount([box.top for box in boxes])
    lefts = np.bincount([box.left for box in boxes])
    assert len(tops) == 5
    assert len(lefts) == 8
    assert tops.min() > 320
    assert lefts.min() > 180


def test_no_class_covers_more_than_its_share_where_crops_without_are_common():
    rng = np.random.default_rng(3)
    classes = np.zeros((60, 90), np.int16)
    classes[:, 40:55] = 1
    classes[:20] = IGNORED
    settings = settings_of((32, 32))
    shares = [share_by_counting(draw_crop(classes, settings, rng).of(classes)) for _ in range(300)]
    assert max(shares) <= 0.75
    free = settings_of((32, 32), cat_max_ratio=1.0)
    shares = [share_by_counting(draw_crop(classes, free, rng).of(classes)) for _ in range(300)]
    assert np.mean(np.array(shares) > 0.75) > 0.2


@pytest.mark.parametrize("seed", range(30))
def test_the_first_fitting_crop_is_taken_else_the_tenth(seed):
    classes = np.zeros((40, 40), np.int16)
    classes[30:, 28:] = 1
    crop = (12, 12)
    found = draw_crop(classes, settings_of(crop), np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    for _ in range(10):
        top, left = rng.integers(29), rng.integers(29)
        if share_by_counting(classes[top : top + 12, left : left + 12]) <= 0.75:
            break
    assert (found.top, found.left) == (top, left)


@pytest.mark.parametrize("fill", [0, IGNORED])
def test_maps_in_which_no_crop_fits_end_after_the_tries(fill):
    classes = np.full((20, 20), fill, np.int16)
    rng, counted = np.random.default_rng(4), np.random.default_rng(4)
    box = draw_crop(classes, settings_of((5, 5), crop_tries=7), rng)
    places = [counted.integers(16) for _ in range(14)]
    assert (box.top, box.left) == tuple(places[-2:])
    assert rng.random() == counted.random()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (9, 9), (10, 10)])
def test_sides_shorter_than_the_crop_stay_whole(size):
    classes = np.zeros(size, np.int16)
    box = draw_crop(classes, settings_of((10, 10)), np.random.default_rng(0))
    assert (box.height, box.width) == (min(size[0], 10), min(size[1], 10))
    assert box.of(classes).shape == (box.height, box.width)


def test_image_and_classes_are_cut_alike():
    image = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    classes = np.arange(42, dtype=np.int16).reshape(6, 7)
    cut = crop_labelled(LabelledImage(image, classes, "a"), Box(1, 2, 3, 4))
    assert np.array_equal(cut.image, image[1:4, 2:6])
    assert np.array_equal(cut.classes, classes[1:4, 2:6])
