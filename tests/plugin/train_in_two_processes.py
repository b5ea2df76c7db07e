"""A short run that torchrun starts in each of its processes; see `test_train_processes`."""

import sys
from pathlib import Path

import torch
from torch import distributed

from tests.plugin.train_runs import Losses, new_trainer, weights
from tests.training.drawn_images import DrawnImages


def run(folder, model):
    """Trains with new classes, and gives what came out."""
    torch.set_num_threads(1)
    losses = Losses()
    trainer = new_trainer(
        folder / "run",
        model=str(model),
        callbacks=[losses],
        train_dataset=DrawnImages(12),
        eval_dataset=DrawnImages(5),
        classes=[f"class {number}" for number in range(6)],
        recipe={"max_iters": 3},
        run={"evaluation_interval": 3},
    )
    start = weights(trainer)
    trainer.train()
    return {
        "start": start,
        "losses": losses.found,
        "weights": weights(trainer),
        "metrics": trainer.metric_values,
    }


if __name__ == "__main__":
    target, model = map(Path, sys.argv[1:])
    answer = run(target, model)
    torch.save(answer, target / f"answer_{distributed.get_rank()}.pt")
    distributed.destroy_process_group()
