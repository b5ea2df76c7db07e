"""Outlines, filled, give the class map again; each region has one."""

import numpy as np
import pytest
from scipy import ndimage

from modelscope_vitadapter.datasets.polygons import polygons
from modelscope_vitadapter.formats.outlines import outlines
from modelscope_vitadapter.formats.segmentation import no_classes, paint
from tests.formats.makers import nested, random_maps


def filled(found, size):
    class_map, covered = no_classes(size, 9), np.zeros(size, np.int16)
    for one in found:
        region = polygons(one.class_id, [one.ring.astype(float)])
        top, left, pixels = region.paint(size)
        covered[top : top + pixels.shape[0], left : left + pixels.shape[1]] += pixels
        paint(class_map, region)
    assert covered.max(initial=0) <= 1
    return class_map


def regions(class_map):
    return sum(ndimage.label(class_map == one)[1] for one in range(class_map.max() + 1))


@pytest.mark.parametrize("seed", range(3))
def test_filled_outlines_are_the_class_map(seed):
    for class_map in [nested(), *random_maps(100, seed)]:
        found = outlines(class_map)
        assert (filled(found, class_map.shape) == class_map).all()
        assert len(found) == regions(class_map)


def winding(ring, size):
    """How often an outline goes around each pixel's centre, clockwise."""
    turns = np.zeros(size, int)
    for (x, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if x == x1:  # going up, the region is on the right
            turns[min(y0, y1) : max(y0, y1), x:] += np.sign(y0 - y1)
    return turns


def test_non_zero_filling_gives_the_same_as_even_odd():
    for class_map in [nested(), *random_maps(50)]:
        for one in outlines(class_map):
            turns = winding(one.ring, class_map.shape)
            assert set(np.unique(turns)) <= {0, 1}
            assert (class_map[turns == 1] == one.class_id).all()


def test_cuts_go_along_rows_and_nothing_else_is_passed_twice():
    grid = np.zeros((9, 9), int)
    grid[1::2, 1::2] = 1  # several cuts end at one line
    for class_map in [nested(), grid, *random_maps(50)]:
        upright = np.zeros(4, int)
        for one in outlines(class_map):
            upright[one.class_id] += np.abs(np.diff(one.ring[:, 1], append=one.ring[0, 1])).sum()
        padded = np.pad(class_map, 1, constant_values=-1)
        for class_id, length in enumerate(upright):
            assert length == np.count_nonzero(np.diff(padded == class_id, axis=1))


def test_each_corner_turns_left_or_right():
    for class_map in [nested(), *random_maps(50)]:
        for one in outlines(class_map):
            edges = np.roll(one.ring, -1, axis=0) - one.ring
            assert (np.count_nonzero(edges, axis=1) == 1).all()  # along a row or a column
            directions = np.sign(edges)
            assert ((directions * np.roll(directions, 1, axis=0)).sum(axis=1) == 0).all()


def test_a_rectangle_has_four_corners_clockwise():
    class_map = np.full((5, 6), -1)
    class_map[1:4, 2:5] = 7
    (one,) = outlines(class_map)
    assert one.class_id == 7
    assert sorted(map(tuple, one.ring)) == [(2, 1), (2, 4), (5, 1), (5, 4)]
    assert (winding(one.ring, class_map.shape) == (class_map == 7)).all()


def test_tolerance_has_fewer_corners_within_it():
    y, x = np.mgrid[:80, :80]
    disk = np.where((y - 40) ** 2 + (x - 40) ** 2 < 900, 1, -1)
    (exact,), (rough,) = outlines(disk), outlines(disk, tolerance=1.0)
    assert len(rough.ring) < len(exact.ring) / 4
    wrong = filled([rough], disk.shape) != disk
    off = ndimage.distance_transform_edt(disk == 1) + ndimage.distance_transform_edt(disk == -1)
    assert off[wrong].max(initial=0) <= 2
