"""Runs of classes are where the classes are."""

import numpy as np

from modelscope_vitadapter.formats.runs import class_runs
from tests.formats.makers import nested, random_maps


def test_counts_are_the_lengths_of_what_is_equal_in_turn():
    for class_map in [nested(), *random_maps(50)]:
        seen = []
        for runs in class_runs(class_map):
            left, top, width, height = runs.box
            y, x = np.nonzero(class_map == runs.class_id)
            assert (left, top) == (x.min(), y.min())
            assert (width, height) == (np.ptp(x) + 1, np.ptp(y) + 1)
            flat = (class_map == runs.class_id)[top : top + height, left : left + width].ravel()
            changes = np.flatnonzero(np.diff(flat, prepend=False))
            assert runs.counts(runs.box).tolist() == np.diff([0, *changes, flat.size]).tolist()
            assert runs.area == len(x)
            seen.append(runs.class_id)
        assert seen == [one for one in np.unique(class_map) if one >= 0]
