import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.resume import SavedCounts
from tests.datasets.makers import folder_of
from tests.evaluation.makers import EXAMPLES, first_channel, plain_pairs

IMAGES = 7
"""Odd, so that two processes' shares differ."""

PAIRS = plain_pairs(IMAGES)
DATASET = open_dataset(PAIRS)


def total_of(pairs, guess=lambda label: label):
    counts = np.zeros((3, 3), np.int64)
    for _, label in pairs:
        np.add.at(counts, (label.ravel(), guess(label).ravel()), 1)
    return counts


def all_at_once(images):
    """Right where the class is below 2; takes all images before it answers."""
    return list(first_channel(np.minimum(image, 1) for image in images))


def test_counts_over_a_dataset():
    expected = total_of(PAIRS, lambda label: np.minimum(label, 1))
    np.testing.assert_array_equal(confusion_matrix(all_at_once, DATASET, 3).counts, expected)
    found = confusion_matrix(first_channel, DATASET, 3, limit=2)
    np.testing.assert_array_equal(found.counts, total_of(PAIRS[:2]))


def test_few_images_are_held_and_their_order_is_kept():
    most = 0

    class Watched(list):
        label_ids = DATASET.label_ids
        handed_out = 0

        def __getitem__(self, index):
            Watched.handed_out += 1
            time.sleep(0.005 * (index % 2))
            return DATASET[index % IMAGES]

    def segment(images):
        nonlocal most
        for given, image in enumerate(images):
            time.sleep(0.0 if given else 0.2)
            most = max(most, Watched.handed_out - given)
            yield image[:, :, 0]

    counts = confusion_matrix(segment, Watched(range(4 * IMAGES)), 3).counts
    assert 1 < most <= 6
    np.testing.assert_array_equal(counts, 4 * total_of(PAIRS))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_it_goes_on_where_it_was_stopped(tmp_path, capsys, seconds, error):
    def saved():
        return SavedCounts(tmp_path / "state", "this", seconds)

    stops = iter([4, 2])

    def stopping(images):
        for _, class_map in zip(range(next(stops)), first_channel(images), strict=False):
            yield class_map
        raise error

    for _ in range(2):
        with pytest.raises(error):
            confusion_matrix(stopping, DATASET, 3, saved=saved())
    seen = []

    def segment(images):
        for image in images:
            seen.append(image)
            yield image[:, :, 0]

    matrix = confusion_matrix(segment, DATASET, 3, saved=saved(), progress=True)
    assert len(seen) == 1
    np.testing.assert_array_equal(matrix.counts, total_of(PAIRS))
    shown = capsys.readouterr()
    assert "| 6/7 [00:00<?" in shown.err  # elapsed<remaining
    assert "7/7" in shown.err
    assert "mIoU 100.00, aAcc 100.00" in shown.err
    assert shown.out == ""


def test_an_image_that_fails_ends_it_by_name(tmp_path):
    root = folder_of(tmp_path, count=4)
    (root / "images" / "val" / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(DataSetError, match=r"2\.jpg"):
        confusion_matrix(first_channel, open_dataset(root), 256)


def test_a_class_map_of_another_size_is_refused_by_name():
    with pytest.raises(DataSetError, match=r"pair 0.*shape"):
        confusion_matrix(lambda images: (image[:2, :, 0] for image in images), DATASET, 3)


def start_two(folder, stop_after=-1):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    arguments = ["-m", "tests.evaluation.shared_by_two", str(folder), str(IMAGES), str(stop_after)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, *arguments], cwd=EXAMPLES.parent, env=environment, check=True)
    texts = [(folder / f"result{rank}.json").read_text(encoding="utf-8") for rank in range(2)]
    return [json.loads(text) for text in texts]


def test_two_processes_share_the_images_and_any_number_goes_on(tmp_path):
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    assert [one["counts"] for one in start_two(stopped, stop_after=2)] == [None, None]
    shutil.copytree(stopped, tmp_path / "alone")

    results = start_two(stopped)
    assert [one["seen"] for one in results] == [2, 1]
    for one in results:
        np.testing.assert_array_equal(one["counts"], total_of(PAIRS))

    saved = SavedCounts(tmp_path / "alone" / "state", "this")
    assert saved.gather(3, IMAGES).done.sum() == 4
    counts = confusion_matrix(first_channel, DATASET, 3, saved=saved).counts
    np.testing.assert_array_equal(counts, total_of(PAIRS))
