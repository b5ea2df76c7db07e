"""Processes that are spawned or forked."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map

ROOT = Path(__file__).parents[2]
SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 300
"""Seconds after which a process is taken to hang."""


@pytest.mark.slow
def test_spawned_processes_with_pipelines_of_their_own(wanted):
    with ProcessPoolExecutor(2, mp_context=SPAWN, initializer=workers.build_here) as pool:
        found = list(pool.map(workers.answer, [0, 1, 2, 3, 4, 5] * 2, timeout=PATIENCE))
    assert all(map(np.array_equal, found, wanted * 2))


@pytest.mark.slow
def test_spawned_processes_that_are_given_the_pipeline(segmentor, wanted):
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        calls = [pool.submit(workers.answer_of, segmentor, i) for i in range(6)]
        found = [call.result(timeout=PATIENCE) for call in calls]
    assert all(map(np.array_equal, found, wanted))


def test_a_pipeline_can_be_pickled_and_copied(segmentor, wanted):
    for other in (pickle.loads(pickle.dumps(segmentor)), copy.deepcopy(segmentor)):
        assert other.model is not segmentor.model
        assert np.array_equal(class_map(other, PICTURES[1]), wanted[1])
    assert np.array_equal(class_map(segmentor, PICTURES[1]), wanted[1])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="system libraries of macOS forbid it")
def test_forked_processes_never_hang(tmp_path):
    """In a program of its own, since this process may have computed in one thread so far."""
    target = tmp_path / "answers.json"
    subprocess.run(
        [sys.executable, "-m", "tests.reliability.fork_parent", str(target)],
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["threads"] is None or found["threads"] > 1
    assert len(found["answers"]) == 15
    assert {name: said for name, said in found["answers"].items() if said != "same"} == {}
