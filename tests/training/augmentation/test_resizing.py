import cv2
import numpy as np
import pytest

from modelscope_vitadapter.config.test_pipeline import Resize
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training.augmentation.resizing import (
    draw_resize,
    resize_labelled,
    resize_nearest,
)
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings


def test_ratios_fill_their_range_evenly_and_never_leave_it():
    settings = AugmentationSettings(crop_size=(100, 100), scale=(4000, 1000))
    rng = np.random.default_rng(1)
    boxes = np.array([draw_resize(settings, rng).scale for _ in range(4000)])
    ratios = boxes[:, 0] / 1000
    assert np.abs(boxes[:, 1] / 4000 - ratios).max() <= 1e-3
    assert 0.5 <= ratios.min() < 0.505
    assert 1.995 < ratios.max() <= 2.0
    counts = np.histogram(ratios, bins=10, range=(0.5, 2.0))[0]
    assert counts.min() > 320
    assert counts.max() < 480


def test_the_order_of_the_scales_sides_does_not_matter():
    first, second = (
        draw_resize(AugmentationSettings((8, 8), scale), np.random.default_rng(5))
        for scale in ((3584, 896), (896, 3584))
    )
    assert first == second


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
def test_sizes_at_ratio_one(size, expected):
    settings = AugmentationSettings((896, 896), (3584, 896), ratio_range=(1.0, 1.0))
    picture = LabelledImage(np.zeros((*size, 3), np.uint8), np.zeros(size, np.int16), "drawn")
    resized = resize_labelled(picture, draw_resize(settings, np.random.default_rng(0)))
    assert resized.image.shape == (*expected, 3)
    assert resized.classes.shape == expected
    assert resized.image.dtype == np.uint8
    assert resized.classes.dtype == np.int16


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (20, 31), (64, 64), (130, 17)])
def test_nearest_equals_the_distance_to_every_pixels_centre(size):
    values = np.arange(64 * 48, dtype=np.int16).reshape(64, 48)
    resized = resize_nearest(values, size)
    for axis, (old, new) in enumerate(zip(values.shape, size, strict=True)):
        centres = (np.arange(old) + 0.5) / old
        wanted = (np.arange(new) + 0.5) / new
        found = np.unravel_index(resized, values.shape)[axis]
        found = found[:, 0] if axis == 0 else found[0]
        distances = np.abs(centres[None] - wanted[:, None])
        chosen = distances[np.arange(new), found]
        assert np.allclose(chosen, distances.min(axis=1), atol=1e-12)


@pytest.mark.parametrize("width", [12, 23, 24, 31, 47, 95, 96, 171])
def test_edges_of_labels_lie_where_the_picture_is_half_way(width):
    """Where OpenCV's nearest is used, labels are shifted and this fails."""
    classes = np.repeat((np.random.default_rng(3).random((1, 48)) < 0.5), 5, 0).astype(np.int16)
    image = np.repeat((classes * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    resized = resize_labelled(LabelledImage(image, classes, ""), Resize((5, width), False))
    grey = resized.image[:, :, 0].astype(int)
    decided = np.abs(grey - 127.5) > 2  # as near to one as to the other, else
    assert decided.mean() > 0.4
    assert np.array_equal(grey[decided] > 127, resized.classes[decided] == 1)


def test_the_image_is_resized_as_for_the_test_pipeline():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    picture = LabelledImage(image, np.zeros((40, 60), np.int16), "drawn")
    resized = resize_labelled(picture, Resize((97, 131)))
    assert resized.name == "drawn"
    assert np.array_equal(
        resized.image, cv2.resize(image, (131, 87), interpolation=cv2.INTER_LINEAR)
    )
