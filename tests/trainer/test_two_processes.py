import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

from tests.trainer.in_two_processes import run

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one process with batches of four gives, and each of two with two pictures each."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.trainer.in_two_processes", str(folder), "4"]
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
    two = [torch.load(folder / f"answer_{rank}.pt", weights_only=True) for rank in range(2)]
    return run(folder / "one", 4), two


def relative(found, expected):
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


def test_losses_and_gradients_are_those_of_one_process_with_the_whole_batch(answers):
    one, (two, _) = answers
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert two["losses"][0] == pytest.approx(one["losses"][0], rel=1e-6)
    assert set(two["gradients"]) == set(one["gradients"])
    scale = max(float(gradient.norm()) for gradient in one["gradients"].values())
    for name, expected in one["gradients"].items():
        assert float((two["gradients"][name] - expected).norm()) < 1e-5 * scale, name


def test_weights_and_running_statistics_follow(answers):
    one, (two, other) = answers
    for name in one["weights"]:
        assert torch.equal(two["weights"][name], other["weights"][name]), name

    def joined(answer, statistics):
        return torch.cat(
            [
                value.flatten()
                for name, value in answer["weights"].items()
                if value.is_floating_point() and ("running" in name) == statistics
            ]
        )

    # As a whole: Adam makes steps of one size out of gradients that are zero but for rounding,
    # such as those of biases before a batch norm.
    for statistics in (False, True):
        assert relative(joined(two, statistics), joined(one, statistics)) < 2e-3
    assert any(
        "running_mean" in name and float(value.abs().sum()) > 0
        for name, value in one["weights"].items()
    )


def test_every_picture_is_evaluated_once(answers):
    one, (two, other) = answers
    assert two["figures"] == other["figures"]
    assert one["counted"] == two["counted"] == other["counted"] == one["pixels"]
    for name, value in one["figures"].items():
        assert two["figures"][name] == pytest.approx(value, abs=0.02), name
