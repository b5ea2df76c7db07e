"""Short training runs of the golden tiny model on drawn pictures; importable by other processes."""

from pathlib import Path

from modelscope.trainers import build_trainer
from modelscope.trainers.hooks import Hook
from modelscope.trainers.hooks.priority import Priority

from tests.training.drawn_pictures import DrawnPictures

MODEL = Path(__file__).parents[1] / "golden" / "base"
"""17 classes, windows of 64; drop path and checkpointed activations are on."""

NAME = "vitadapter-segmentation-trainer"
PICTURES = 10
RECIPE = {
    "max_iters": 7,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup_iters": 2,
    "layer_decay": 0.9,
    "clip_norm": 1.0,
}
"""Two steps in an epoch of ten pictures, so that two pictures of each epoch are left out."""


def new_trainer(work_dir, recipe=None, run=None, **options):
    """A trainer on drawn pictures; `recipe` and `run` change what stands above."""
    given = {
        "model": str(MODEL),
        "train_dataset": DrawnPictures(PICTURES),
        "work_dir": str(work_dir),
        "device": "cpu",
        "recipe": {**RECIPE, **(recipe or {})},
        "run": {"workers": 0, "log_interval": 1, "tensorboard": False, **(run or {})},
        "check_data": False,
        **options,
    }
    return build_trainer(NAME, default_args=given)


class StopAfter(Hook):
    """Asks for an end after a number of steps, as Ctrl-C does."""

    PRIORITY = Priority.LOWEST

    def __init__(self, steps):
        self.steps = steps

    def after_train_iter(self, trainer):
        if trainer.iter + 1 == self.steps:
            trainer.stop_request.ask()


class Recorder(Hook):
    """Keeps the losses of all steps, and the gradients of the first, as they come."""

    PRIORITY = Priority.VERY_HIGH

    def __init__(self):
        self.losses = []
        self.gradients = {}

    def after_train_iter(self, trainer):
        self.losses.append(trainer.train_outputs["loss"])
        if not self.gradients:
            self.gradients = {
                name: parameter.grad.clone()
                for name, parameter in trainer.model.model.named_parameters()
                if parameter.grad is not None
            }


def weights(trainer):
    """Copies of a trainer's weights and running statistics by name."""
    return {name: value.clone() for name, value in trainer.model.model.state_dict().items()}
