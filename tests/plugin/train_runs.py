"""Short training runs of a tiny model on drawn images; importable by other processes."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from modelscope.trainers import build_trainer
from modelscope.trainers.hooks import Hook
from modelscope.trainers.hooks.priority import Priority

from tests.training.drawn_images import DrawnImages
from tests.training.tiny_model import write_model

IMAGES = 10
RECIPE = {
    "max_iters": 5,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup_iters": 2,
    "clip_norm": 1.0,
}
"""Two steps in an epoch of ten images, so that two images of each epoch are left out."""


@functools.cache
def tiny_model():
    """The directory of the model that the runs start from."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return write_model(folder / "model")


def new_trainer(work_dir, recipe=None, run=None, **options):
    """A trainer on drawn images; `recipe` and `run` change what stands above."""
    given = {
        "model": str(tiny_model()),
        "train_dataset": DrawnImages(IMAGES),
        "work_dir": str(work_dir),
        "device": "cpu",
        "recipe": {**RECIPE, **(recipe or {})},
        "run": {"workers": 0, "log_interval": 1, "tensorboard": False, **(run or {})},
        "check_data": False,
        **options,
    }
    return build_trainer("vitadapter-segmentation-trainer", default_args=given)


class AfterStep(Hook):
    """Calls `act(trainer)` after a step; ends last, or first, of all hooks."""

    PRIORITY = Priority.LOWEST

    def __init__(self, step, act):
        self.step, self.act = step, act

    def after_train_iter(self, trainer):
        if trainer.iter + 1 == self.step:
            self.act(trainer)


def stop_after(step):
    """A hook that asks for an end after a step, as Ctrl-C does."""
    return AfterStep(step, lambda trainer: setattr(trainer.stop_request, "asked", True))


class Losses(Hook):
    """Keeps the losses of all steps, and the gradients' norms, as they come."""

    def __init__(self):
        self.found = []

    def after_train_iter(self, trainer):
        self.found.append(dict(trainer.train_outputs))


def weights(trainer):
    """Copies of a trainer's weights and running statistics by name."""
    return {name: value.clone() for name, value in trainer.model.model.state_dict().items()}


def files(folder, pattern):
    return sorted(path.name for path in folder.glob(pattern))
