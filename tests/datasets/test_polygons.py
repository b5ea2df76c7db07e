"""Regions as label maps: which pixels are theirs, and which region is on top."""

import pickle
from functools import partial

import numpy as np
import pytest

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.polygons import (
    DrawnRegions,
    bitmap,
    checked_size,
    decode_runs,
    polygons,
    rectangle,
    ring_of,
)
from modelscope_vitadapter.errors import DataSetError

SIZE = (8, 10)


def loaded(size, regions):
    return size, regions


def draw(*regions, size=SIZE, num_classes=9):
    return DrawnRegions("", num_classes, partial(loaded, size, regions)).ids()


def boxed(value, *boxes):
    """A label map with `value` in some `(left, top, right, bottom)`."""
    ids = np.zeros(SIZE, int)
    for left, top, right, bottom in boxes:
        ids[top:bottom, left:right] = value
    return ids


def test_a_pixel_is_a_regions_where_its_centre_lies_in_it():
    assert (draw(polygons(3, [rectangle(2, 1, 5, 4)])) == boxed(3, (2, 1, 5, 4))).all()
    assert (draw(polygons(3, [rectangle(1.6, 0.6, 5.4, 4.4)])) == boxed(3, (2, 1, 5, 4))).all()
    corner = [(0, 0), (6, 0), (6, 2), (2.4, 2), (2.4, 5), (0, 5)]
    drawn = draw(polygons(3, [np.array(corner)]))
    assert (drawn == boxed(3, (0, 0, 6, 2), (0, 2, 2, 5))).all()
    halves = [[(0, 0), (9, 0), (0, 7)], [(9, 0), (9, 7), (0, 7)]]
    drawn = [draw(polygons(1, [np.array(one, float)])) for one in halves]
    assert (sum(drawn) == boxed(1, (0, 0, 9, 7))).all()  # neighbours share no pixel, and leave none


def test_area_of_outlines_is_that_of_geometry():
    random, pixels, area = np.random.default_rng(0), 0, 0.0
    for _ in range(200):
        angles = np.sort(random.uniform(0, 2 * np.pi, 12))
        radius = random.uniform(5, 20, 12)
        region = polygons(
            1, [32 + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]]
        )
        pixels += np.count_nonzero(draw(region, size=(64, 64)))
        area += region.area
    assert pixels == pytest.approx(area, rel=0.005)


def test_what_lies_outside_is_cut_and_holes_are_left_out():
    assert (draw(polygons(1, [rectangle(-5, -9, 3, 2)])) == boxed(1, (0, 0, 3, 2))).all()
    assert (draw(polygons(1, [rectangle(8, 6, 900, 900)])) == boxed(1, (8, 6, 10, 8))).all()
    for gone in (rectangle(-9, -9, -2, -2), rectangle(20, 20, 30, 30), np.empty((0, 2))):
        assert not draw(polygons(1, [gone])).any()
    holed = draw(polygons(1, [rectangle(0, 0, 9, 8)], [rectangle(3, 3, 6, 6)]))
    assert (holed == boxed(1, (0, 0, 9, 8)) - boxed(1, (3, 3, 6, 6))).all()
    for left, top in ((-1, -1), (9, 7), (-5, 0), (0, 50)):
        ids = np.zeros((30, 30), int)
        ids[10 + max(top, -9) :][:3, 10 + left :][:, :2] = 2
        drawn = draw(bitmap(2, left, top, np.ones((3, 2), bool)))
        assert (drawn == ids[10:18, 10:20]).all()


def test_parts_of_one_region_are_a_union():
    parts = [rectangle(0, 0, 4, 4), rectangle(2, 2, 6, 6)]
    assert ((draw(polygons(1, parts)) > 0) == boxed(1, *[(0, 0, 4, 4), (2, 2, 6, 6)])).all()


def test_small_regions_are_on_top_unless_an_order_is_given():
    large, small = polygons(1, [rectangle(0, 0, 9, 8)]), bitmap(2, 3, 3, np.ones((2, 2), bool))
    for regions in ((large, small), (small, large)):
        assert draw(*regions)[3, 3] == 2
    above = polygons(1, [rectangle(0, 0, 9, 8)], order=1)
    assert not (draw(above, small) == 2).any()


def test_ids_and_their_type():
    one = polygons(IGNORED, [rectangle(0, 0, 1, 1)])
    few, many = draw(one, num_classes=255), draw(one, num_classes=256)
    assert (few.dtype, few[0, 0]) == (np.uint8, 255)
    assert (many.dtype, many[0, 0]) == (np.uint16, 65535)
    labels = DrawnRegions("name", 3, partial(loaded, SIZE, [one]))
    assert pickle.loads(pickle.dumps(labels)).ids()[0, 0] == 255  # worker processes get them so


@pytest.mark.parametrize(
    "value",
    [
        *([1, 2, 3], [[1, 2], [3]], ["1", "2"], [None, 1], "ab", None, [[[1, 2]]], {}),
        *([float("nan"), 1.0], [float("inf"), 1], [1e300, 1], [2**40, 1], [10**400, 1]),
        [1.0, 2.0**20, 2.0, -(2.0**20)] * 10,
    ],
)
def test_what_is_no_outline_is_refused(value):
    with pytest.raises(DataSetError, match="object 3 has no outline"):
        ring_of(value, "object 3")


@pytest.mark.parametrize(
    "size", [(0, 5), (5, -1), (True, 5), (2.0, 5), ("5", 5), (None, 5), (2**20, 2**20), (9**99, 1)]
)
def test_sizes_that_no_image_has_are_refused(size):
    with pytest.raises(DataSetError, match=r"x\.json has height"):
        checked_size(*size, "x.json")


@pytest.mark.parametrize("counts", [[3, 2], [3, -1, 4], [2**62] * 4 + [6], ["6"], [6.0], [], None])
def test_run_lengths_make_up_the_size(counts):
    assert decode_runs([1, 2, 3], (2, 3), "").tolist() == [[False, True, True], [False] * 3]
    assert decode_runs([0, 6], (2, 3), "").all()
    with pytest.raises(DataSetError, match="object 3 has run lengths"):
        decode_runs(counts, (2, 3), "object 3")
