import cv2
import numpy as np
import pytest

from modelscope_vitadapter.visualization import draw
from modelscope_vitadapter.visualization.names import roomiest_place

CLASSES = ["grass", "a very long name of a class", "person", "bicycle"]
PALETTE = [[0, 90, 0], [240, 240, 90], [90, 0, 160], [200, 80, 0]]


def written(class_map):
    """Pixels that the names changed."""
    image = np.full((*class_map.shape, 3), 128, np.uint8)
    options = {"outlines": False, "legend": False}
    with_names, without = (
        np.asarray(draw(image, class_map, CLASSES, PALETTE, names=names, **options))
        for names in (True, False)
    )
    return (with_names != without).any(axis=2)


def regions(height, width):
    """Grass with a ring, a disc in it and a bar that is too thin for its name."""
    class_map, unit = np.zeros((height, width), np.uint8), min(height, width)
    middle = (width // 2, height // 2)
    cv2.circle(class_map, middle, unit // 3, 2, thickness=-1)
    cv2.circle(class_map, middle, unit // 5, 3, thickness=-1)
    class_map[:, width // 50 : width // 50 + max(unit // 50, 1)] = 1
    return class_map


@pytest.mark.parametrize("size", [(200, 200), (480, 640), (3000, 4000)])
def test_names_stay_in_their_regions_and_grow_with_the_image(size):
    class_map = regions(*size)
    changed = written(class_map)
    assert not changed[class_map == 1].any()
    rows, columns = np.nonzero(changed & (class_map == 3))
    text = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    box = class_map[text[0] : text[1], text[2] : text[3]]
    assert (box == 3).all()  # the whole name with its halo, so that no other is in it
    height = text[1] - text[0]
    assert height >= 12
    assert height >= min(size) / 60
    centre = (text[0] + text[1]) / 2, (text[2] + text[3]) / 2
    assert np.hypot(*np.subtract(centre, np.divide(size, 2))) < min(size) / 12


def test_every_name_has_its_own_place_also_in_regions_like_ribbons():
    borders = np.r_[0:3, 97:103, 197:203, 297:303, 397:400]
    bands = np.arange(400)[:, None] // 100 + np.zeros((1, 400), int)
    changed = written(bands)
    assert [changed[bands == number].any() for number in range(4)] == [True] * 4
    assert not changed[borders].any()
    changed = written(bands.T)
    assert [changed[number == bands.T].any() for number in range(4)] == [True, False, True, True]
    assert not changed[:, borders].any()


@pytest.mark.parametrize("width", range(40, 100, 7))
def test_a_name_and_its_halo_end_before_a_narrow_region_does(width):
    class_map = np.full((150, 300), -1)
    class_map[:, 100 : 100 + width] = 3
    changed = written(class_map)
    assert not changed[class_map < 0].any()
    assert changed.any() == (width > 60)


@pytest.mark.parametrize("colour", [[255, 255, 255], [0, 0, 0], [240, 240, 0], [0, 0, 255]])
def test_letters_and_halo_differ_on_every_colour(colour):
    image, class_map = np.full((300, 300, 3), 128, np.uint8), np.zeros((300, 300), int)
    drawn = draw(image, class_map, ["grass"], [colour], legend=False)
    assert {(0, 0, 0), (255, 255, 255)} <= set(map(tuple, np.asarray(drawn).reshape(-1, 3)))


def test_a_name_without_room_is_left_out():
    assert not written(np.zeros((9, 400), np.uint8)).any()
    assert not written(np.zeros((400, 20), np.uint8)).any()
    assert not written((np.indices((64, 64)).sum(axis=0) // 4) % 4).any()


def test_the_place_is_the_roomiest_for_the_form_of_the_box():
    mask = np.zeros((100, 200), np.uint8)
    mask[10:90, 5:45] = 1  # has more area, but a box twice as wide as high fits better below
    mask[40:80, 100:180] = 1
    x, y, height = roomiest_place(mask, 2.0, 5, 1000)
    assert (abs(x - 140) < 3, abs(y - 60) < 3) == (True, True)
    assert 34 <= height <= 40
    x, y, height = roomiest_place(mask, 2.0, 5, 10)  # enough room for ten pixels is there too
    assert mask[round(y), round(x)]
    assert roomiest_place(mask, 2.0, 60, 1000) is None
