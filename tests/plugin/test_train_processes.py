"""Two processes train as one with the whole batch, within rounding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

from tests.plugin.train_in_two_processes import run
from tests.plugin.train_runs import tiny_model

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one process with batches of four gives, and each of two with two images each."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.plugin.train_in_two_processes", str(folder), str(tiny_model())]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # ModelScope's default hooks, which are there in a new process, would write epoch_1.
    assert not list((folder / "run").glob("epoch_*"))
    two = [torch.load(folder / f"answer_{rank}.pt", weights_only=True) for rank in range(2)]
    return run(folder / "one", tiny_model()), *two


def test_all_start_from_the_same_weights(answers):
    one, two, other = (answer["start"] for answer in answers)
    assert all(torch.equal(two[name], value) for name, value in one.items())
    assert all(torch.equal(other[name], value) for name, value in one.items())


def test_losses_and_gradients_are_those_of_one_process_with_the_whole_batch(answers):
    one, two, other = (answer["losses"] for answer in answers)
    assert two == other
    assert len(one) == 3
    for found, expected in zip(two, one, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def joined(state, *, statistics):
    """All running statistics, or all weights, as one vector."""
    return torch.cat(
        [
            value.flatten()
            for name, value in state.items()
            if value.is_floating_point() and ("running" in name) == statistics
        ]
    )


def test_weights_and_running_statistics_follow(answers):
    one, two, other = answers
    for name in one["weights"]:
        assert torch.equal(two["weights"][name], other["weights"][name]), name
    # As a whole: Adam makes steps of one size out of gradients that are zero but for rounding,
    # such as those of biases before a batch norm.
    for statistics, share in ((False, 0.1), (True, 1e-4)):
        expected, found, start = (
            joined(state, statistics=statistics)
            for state in (one["weights"], two["weights"], one["start"])
        )
        assert float((found - expected).norm()) < share * float((start - expected).norm())


def test_every_image_is_evaluated_once(answers):
    one, two, other = answers
    assert two["metrics"] == other["metrics"]
    for name, value in one["metrics"].items():
        assert two["metrics"][name] == pytest.approx(value, abs=0.02), name
