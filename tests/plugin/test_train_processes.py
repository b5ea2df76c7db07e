"""Two processes train as one with the whole batch, within rounding; torchrun runs this file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

from tests.plugin.train_runs import Losses, new_trainer, tiny_model, weights
from tests.training.drawn_images import DrawnImages

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)
ROOT = Path(__file__).parents[2]


def run(folder, model):
    """Trains with new classes, also on an image without any, and gives what came out."""
    torch.set_num_threads(1)
    losses = Losses()
    trainer = new_trainer(
        folder / "run",
        model=str(model),
        callbacks=[losses],
        train_dataset=DrawnImages(12, unlabelled=(0,)),
        eval_dataset=DrawnImages(5),
        classes=[f"class {number}" for number in range(6)],
        recipe={"max_iters": 3},
        run={"evaluation_interval": 3},
    )
    start = weights(trainer)
    trainer.train()
    metrics = trainer.metric_values
    return {"start": start, "losses": losses.found, "end": weights(trainer), "metrics": metrics}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one process with batches of four gives, and each of two with two images each."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.plugin.test_train_processes", str(folder), str(tiny_model())],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Warning" not in done.stdout + done.stderr
    # ModelScope's default hooks, which are there in a new process, would write epoch_1.
    assert not list((folder / "run").glob("epoch_*"))
    two = [torch.load(folder / f"answer_{rank}.pt", weights_only=True) for rank in range(2)]
    return run(folder / "one", tiny_model()), *two


def test_both_start_from_the_same_weights_and_stay_equal(answers):
    one, two, other = answers
    assert all(torch.equal(two["start"][name], value) for name, value in one["start"].items())
    assert all(torch.equal(two["end"][name], value) for name, value in other["end"].items())
    assert (two["losses"], two["metrics"]) == (other["losses"], other["metrics"])


def test_losses_and_gradients_are_those_of_one_process_with_the_whole_batch(answers):
    one, two, _ = (answer["losses"] for answer in answers)
    assert len(one) == 3
    for found, expected in zip(two, one, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("statistics", "share"), [(False, 0.1), (True, 1e-4)])
def test_weights_and_running_statistics_follow(answers, statistics, share):
    """As a whole: Adam makes steps of one size out of gradients that are zero but for rounding."""

    def joined(state):
        chosen = [name for name in state if ("running" in name) == statistics]
        return torch.cat([state[name].flatten() for name in chosen if "num_batches" not in name])

    one, two, _ = answers
    start, expected, found = joined(one["start"]), joined(one["end"]), joined(two["end"])
    assert float((found - expected).norm()) < share * float((start - expected).norm())


def test_every_image_is_evaluated_once(answers):
    for name, value in answers[0]["metrics"].items():
        assert answers[1]["metrics"][name] == pytest.approx(value, abs=0.02), name


if __name__ == "__main__":
    target, model = map(Path, sys.argv[1:])
    answer = run(target, model)
    torch.save(answer, target / f"answer_{distributed.get_rank()}.pt")
    distributed.destroy_process_group()
