import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.evaluation.measuring import measure
from modelscope_vitadapter.evaluation.processes import Processes, current_processes, on_cpu
from modelscope_vitadapter.evaluation.saved_counts import SavedCounts
from tests.evaluation.makers import EXAMPLES, first_channel, plain_pairs

PICTURES = 7
"""Odd, so that the processes' shares differ."""


def start_two(folder, stop_after=-1):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, "-m", "tests.evaluation.shared_by_two"]
    result = subprocess.run(
        [*command, str(folder), str(PICTURES), str(stop_after)],
        cwd=EXAMPLES.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return [
        json.loads((folder / f"result{rank}.json").read_text(encoding="utf-8")) for rank in range(2)
    ]


@pytest.fixture(scope="module")
def alone():
    return measure(first_channel, open_labelled(plain_pairs(PICTURES)), 3).counts


def test_two_processes_share_the_pictures_and_both_have_the_sum(tmp_path, alone):
    results = start_two(tmp_path)
    assert [result["processes"] for result in results] == [2, 2]
    assert [result["seen"] for result in results] == [4, 3]
    for result in results:
        np.testing.assert_array_equal(result["counts"], alone)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with the state that two processes left after two pictures each."""
    folder = tmp_path_factory.mktemp("stopped")
    results = start_two(folder, stop_after=2)
    assert [result["counts"] for result in results] == [None, None]
    return folder


def test_two_processes_go_on_where_two_were_stopped(stopped, tmp_path, alone):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    results = start_two(tmp_path)
    assert [result["seen"] for result in results] == [2, 1]
    for result in results:
        np.testing.assert_array_equal(result["counts"], alone)


def test_one_process_goes_on_where_two_were_stopped(stopped, tmp_path, alone):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    seen = []

    def segment(images):
        for image in images:
            seen.append(image)
            yield image[:, :, 0]

    saved = SavedCounts(tmp_path / "state", "this")
    counts = measure(segment, open_labelled(plain_pairs(PICTURES)), 3, saved=saved).counts
    assert len(seen) == PICTURES - 4
    np.testing.assert_array_equal(counts, alone)


def test_one_process_alone_exchanges_nothing():
    processes = current_processes()
    assert processes == Processes(0, 1, "cpu")
    assert processes.is_first
    array = np.arange(3)
    assert processes.sum(array) is array
    assert processes.from_first(array) is array


def test_the_cpu_is_taken_where_it_was_asked_for():
    assert on_cpu("cpu")
    assert on_cpu("cpu:0")
