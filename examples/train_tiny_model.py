"""Trains the tiny model on drawn scenes, or fine-tunes it to other shapes.

    python examples/train_tiny_model.py --continue                       # goes on with its weights
    python examples/train_tiny_model.py --output OUT                     # from nothing
    python examples/train_tiny_model.py --other-shapes --output OUT      # hexagons and others

All use the trainer of this package, with one process for each core, on scenes that are drawn when
their turn comes; a folder of pictures and label maps would do as well.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from drawn_scenes import (
    CLASSES,
    FITTING_TEXTURES,
    HELD_OUT_TEXTURES,
    OTHER_CLASSES,
    OTHER_PALETTE,
    PALETTE,
    draw_scene,
)

HERE = Path(__file__).parent
MODEL_DIR = HERE / "tiny_model"
WEIGHTS = "pytorch_model.pt"
TRAINER = "vitadapter-segmentation-trainer"

TRAINING, VALIDATION = 1, 2
"""First number of the seeds; each stream of scenes is independent of the others."""

SIDES = {TRAINING: (96, 224), VALIDATION: (75, 400)}
"""Heights and widths of the scenes, in pixels: those for validation are smaller and larger too."""

TEXTURES = {TRAINING: FITTING_TEXTURES, VALIDATION: HELD_OUT_TEXTURES}

RECIPE = {
    "max_iters": 2400,
    "batch_size": 8,
    "learning_rate": 1.5e-3,
    "layer_decay": 1.0,  # nothing is pre-trained
    "weight_decay": 0.02,
    "warmup_iters": 100,
    "clip_norm": 1.0,
    "drop_path": 0.0,
    "sync_batch_norm": False,  # half a batch has statistics enough, and nobody waits
    "ratio_range": (0.85, 1.15),
    "cat_max_ratio": 1.0,
    "photometric": False,  # the colours of scenes are random already
}
"""How the tiny model is trained; what is not here is the paper's."""

CONTINUING = {
    **RECIPE,
    "max_iters": 600,
    "learning_rate": 6e-4,
    "warmup_iters": 50,
    "sync_batch_norm": True,
    "ratio_range": (0.9, 1.1),
}
"""How the trained model is trained on, with the same shapes or with others."""

SCENES_OF_A_SEED = 1_000_000
"""Trainings with another seed see other scenes."""


class DrawnScenes:
    """Labelled scenes as the trainer takes them: scene k is drawn when it is asked for.

    Args:
        stream: `TRAINING` or `VALIDATION`.
        count: number of scenes.
        classes: names of the shapes, the background first.
        first: number of the first scene.
    """

    def __init__(
        self, stream: int, count: int, classes: tuple[str, ...], *, first: int = 0
    ) -> None:
        from modelscope_vitadapter.labelled.label_ids import LabelIds

        self.label_ids = LabelIds()
        self.stream, self.count, self.classes = stream, count, classes
        self.first = first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> object:
        from modelscope_vitadapter.labelled.samples import Sample

        rng = np.random.default_rng((self.stream, self.first + index))
        low, high = SIDES[self.stream]
        height, width = (int(side) for side in rng.integers(low, high + 1, 2))
        image, labels = draw_scene(rng, height, width, TEXTURES[self.stream], classes=self.classes)
        name = f"scene {index}"
        return Sample(name=name, image=image, label=labels, label_name=f"labels of {name}")


def main() -> None:
    """Starts one training process for each core."""
    arguments = parse_arguments()
    if "RANK" in os.environ:
        train(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.work_dir is None:
            arguments.work_dir = Path(folder)
        if arguments.processes == 1:
            train(arguments)
            return
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={arguments.processes}", __file__, *sys.argv[1:]]
        command += ["--work-dir", str(arguments.work_dir)]
        # One thread each: on tensors this small threads mostly wait for each other.
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other-shapes", action="store_true", help="fine-tune to other classes")
    parser.add_argument(
        "--continue", dest="goes_on", action="store_true", help="start from the model's weights"
    )
    parser.add_argument("--output", type=Path, help="model directory to write")
    parser.add_argument("--work-dir", type=Path, help="keep checkpoints and logs there")
    parser.add_argument("--iters", type=int, help="steps, in place of the recipe's")
    parser.add_argument("--batch-size", type=int, help="scenes in a step")
    parser.add_argument("--scenes", type=int, default=48, help="scenes that are validated on")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.output is None and arguments.goes_on:
        arguments.output = MODEL_DIR
    return arguments


def train(arguments: argparse.Namespace) -> None:
    """Trains, and writes the model directory."""
    import torch
    from modelscope.trainers import build_trainer

    torch.set_num_threads(1)
    started = time.monotonic()
    is_trained = arguments.other_shapes or arguments.goes_on
    recipe = dict(CONTINUING if is_trained else RECIPE, seed=arguments.seed)
    for field, value in (("max_iters", arguments.iters), ("batch_size", arguments.batch_size)):
        if value is not None:
            recipe[field] = value
    classes = OTHER_CLASSES if arguments.other_shapes else CLASSES
    trainer = build_trainer(
        TRAINER,
        default_args={
            "model": str(MODEL_DIR),
            "from_scratch": not is_trained,
            "train_dataset": DrawnScenes(
                TRAINING,
                recipe["max_iters"] * recipe["batch_size"],
                classes,
                first=arguments.seed * SCENES_OF_A_SEED,
            ),
            "eval_dataset": DrawnScenes(VALIDATION, arguments.scenes, classes),
            "classes": classes,
            "palette": OTHER_PALETTE if arguments.other_shapes else PALETTE,
            "work_dir": str(arguments.work_dir),
            "check_data": False,  # scenes are drawn right
            "device": "cpu",
            "recipe": recipe,
            "run": {"workers": 0, "evaluation_interval": max(recipe["max_iters"] // 3, 1)},
        },
    )
    trainer.train()
    if os.environ.get("RANK", "0") != "0":
        return
    best = arguments.work_dir / "output_best"
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        names = ("mmcv_config.py", "configuration.json", WEIGHTS)
        for name in names[2:] if arguments.output == MODEL_DIR else names:
            shutil.copyfile(best / name, arguments.output / name)
    figures = ", ".join(f"{name} {value:.3f}" for name, value in trainer.metric_values.items())
    print(f"on {arguments.scenes} unseen scenes: {figures}; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
