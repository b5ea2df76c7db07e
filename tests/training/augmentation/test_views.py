from dataclasses import replace

import cv2
import numpy as np
import pytest

from modelscope_vitadapter.datasets.dataset import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings
from modelscope_vitadapter.training.augmentation.views import augment, network_input, random_view

CLASSES = 12
COLOURS = np.array([(20 * k, 255 - 20 * k, (97 * k) % 256) for k in range(CLASSES)], np.uint8)
SETTINGS = AugmentationSettings(crop_size=(48, 64), scale=(256, 64))


def drawn(size=(90, 120), seed=0, block=24):
    """A picture in patches whose colours tell their classes; some patches are ignored."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(IGNORED, CLASSES, (-(-size[0] // block), -(-size[1] // block)))
    classes = np.kron(patches, np.ones((block, block), int))[: size[0], : size[1]]
    return LabelledImage(COLOURS[classes], classes.astype(np.int16), "drawn")


def inside(classes, radius=2):
    """Where all classes in the surroundings are the same, the view's own edges left out."""
    values = classes.astype(np.float32)
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    same = cv2.dilate(values, kernel) == cv2.erode(values, kernel)
    within = np.zeros_like(same)
    within[radius:-radius, radius:-radius] = True
    return same & within


@pytest.mark.parametrize("seed", range(40))
def test_labels_stay_where_their_colours_are(seed):
    settings = replace(SETTINGS, photometric=False)
    view = random_view(drawn(seed=seed), settings, np.random.default_rng(seed))
    sure = inside(view.classes) & (view.classes != IGNORED)
    assert sure.mean() > 0.1
    assert np.array_equal(view.image[sure], COLOURS[view.classes[sure]])


def test_about_half_of_the_views_are_mirrored_left_to_right():
    picture = drawn((48, 64), seed=1)
    settings = replace(SETTINGS, scale=(64, 48), ratio_range=(1.0, 1.0), photometric=False)
    mirrored = 0
    for seed in range(400):
        view = random_view(picture, settings, np.random.default_rng(seed))
        flipped = np.array_equal(view.image, picture.image[:, ::-1])
        assert flipped or np.array_equal(view.image, picture.image)
        expected = picture.classes[:, ::-1] if flipped else picture.classes
        assert np.array_equal(view.classes, expected)
        mirrored += flipped
    assert 160 < mirrored < 240


def test_colours_change_unless_switched_off():
    picture = drawn()
    plain, coloured = (
        random_view(picture, replace(SETTINGS, photometric=value), np.random.default_rng(3))
        for value in (False, True)
    )
    assert np.array_equal(plain.classes, coloured.classes)
    assert not np.array_equal(plain.image, coloured.image)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (700, 1), (3, 900), (20, 20), (400, 300)])
@pytest.mark.parametrize("seed", range(5))
def test_pictures_of_any_size_fill_the_crop(size, seed):
    picture = drawn(size, seed=seed)
    view = augment(picture, SETTINGS, np.random.default_rng(seed))
    assert view.image.shape == (48, 64, 3)
    assert view.image.dtype == np.uint8
    assert view.classes.shape == (48, 64)
    assert view.classes.dtype == np.int16
    assert view.name == "drawn"
    assert set(np.unique(view.classes)) <= {IGNORED, *np.unique(picture.classes)}
    image, classes = network_input(
        random_view(picture, SETTINGS, np.random.default_rng(seed)), SETTINGS
    )
    assert image.shape == (3, 48, 64)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert np.array_equal(classes, view.classes)


def test_maps_without_a_labelled_pixel_and_grey_pictures():
    grey = array_to_bgr(np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8))
    picture = LabelledImage(grey, np.full((70, 90), IGNORED, np.int16), "grey")
    for seed in range(10):
        view = augment(picture, SETTINGS, np.random.default_rng(seed))
        assert (view.classes == IGNORED).all()
        spread = np.ptp(view.image[:10, :10].astype(int), axis=2)
        assert spread.max() == 0


def test_what_is_added_is_zero_for_the_network_and_ignored():
    settings = replace(SETTINGS, crop_size=(96, 96), scale=(64, 30), ratio_range=(1.0, 1.0))
    picture = drawn((30, 40))
    view = random_view(picture, settings, np.random.default_rng(0))
    assert view.classes.shape == (30, 40)
    image, classes = network_input(view, settings)
    outside = np.ones((96, 96), bool)
    outside[:30, :40] = False
    assert (image[:, outside] == 0).all()
    assert (classes[outside] == IGNORED).all()
    rgb = view.image[:, :, ::-1].astype(np.float64)
    expected = (rgb - settings.mean) / settings.std
    assert np.allclose(image[:, :30, :40], expected.transpose(2, 0, 1), atol=1e-5)
    shown = augment(picture, settings, np.random.default_rng(0))
    assert np.array_equal(shown.image[:30, :40], view.image)
    again, _ = network_input(shown, settings)
    assert np.abs(again[:, outside]).max() < 0.01


def test_a_model_that_takes_bgr():
    settings = replace(SETTINGS, to_rgb=False, mean=(10.0, 20.0, 30.0), std=(1.0, 1.0, 1.0))
    view = LabelledImage(
        np.full((48, 64, 3), (11, 22, 33), np.uint8), np.zeros((48, 64), np.int16), "flat"
    )
    image, _ = network_input(view, settings)
    assert image[:, 5, 5].tolist() == [1.0, 2.0, 3.0]
    small = LabelledImage(view.image[:1, :1], view.classes[:1, :1], "small")
    wide = replace(settings, ratio_range=(0.5, 0.5), scale=(10, 10))
    shown = augment(small, wide, np.random.default_rng(0))
    assert shown.image[-1, -1].tolist() == [10, 20, 30]


def test_the_same_numbers_give_the_same_bits_on_any_number_of_threads():
    image = np.random.default_rng(0).integers(0, 256, (701, 997, 3), np.uint8)
    classes = drawn((701, 997), block=60).classes
    picture = LabelledImage(image, classes, "large")
    settings = AugmentationSettings(crop_size=(640, 640), scale=(2560, 640))
    threads = cv2.getNumThreads()
    try:
        for seed in range(4):
            found = []
            for count in (1, 2, 3, 8):
                cv2.setNumThreads(count)
                view = random_view(picture, settings, np.random.default_rng(seed))
                found.append(network_input(view, settings))
            for image, classes in found[1:]:
                assert np.array_equal(image, found[0][0])
                assert np.array_equal(classes, found[0][1])
    finally:
        cv2.setNumThreads(threads)


def test_other_seeds_give_other_views_and_the_picture_stays():
    picture = drawn()
    image, classes = picture.image.copy(), picture.classes.copy()
    views = [augment(picture, SETTINGS, np.random.default_rng(seed)) for seed in range(20)]
    assert len({view.image.tobytes() for view in views}) == 20
    assert np.array_equal(picture.image, image)
    assert np.array_equal(picture.classes, classes)
