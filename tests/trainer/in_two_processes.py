"""A short run that torchrun starts in each of its processes; see `test_two_processes`."""

import sys
from pathlib import Path

import torch
from torch import distributed

from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.plugin.trainer.evaluating import class_maps
from tests.trainer.runs import Recorder, new_trainer, weights
from tests.training.drawn_pictures import DrawnPictures


def run(folder, batch_size, workers=0):
    """Trains, and saves what the run gave."""
    torch.set_num_threads(1)
    recorder = Recorder()
    trainer = new_trainer(
        folder / "run",
        callbacks=[recorder],
        train_dataset=DrawnPictures(12),
        eval_dataset=DrawnPictures(5),
        recipe={"max_iters": 4, "batch_size": batch_size, "clip_norm": None},
        run={"workers": workers, "evaluation_interval": 4},
    )
    trainer.train()
    data = trainer.inputs.evaluation
    counted = confusion_matrix(lambda images: class_maps(trainer.model.eval(), images), data, 17)
    return {
        "counted": int(counted.counts.sum()),
        "pixels": sum(int((data[i].label != 255).sum()) for i in range(len(data))),
        "losses": recorder.losses,
        "gradients": recorder.gradients,
        "weights": weights(trainer),
        "figures": trainer.metric_values,
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    answer = run(target, int(sys.argv[2]))
    torch.save(answer, target / f"answer_{distributed.get_rank()}.pt")
    distributed.destroy_process_group()
