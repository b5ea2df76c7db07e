"""Trains the tiny model on drawn scenes, or fine-tunes it to other shapes.

    python examples/train_tiny_model.py --continue                       # goes on with its weights
    python examples/train_tiny_model.py --output OUT                     # from nothing, in 3 stages
    python examples/train_tiny_model.py --other-shapes --output OUT      # hexagons and others

All use the trainer of this package, in two processes where there are two cores, on scenes that are
drawn when their turn comes; a folder of pictures and label maps would do as well.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    "batch_size": 8,
    "betas": (0.9, 0.99),  # a short run
    "layer_decay": 1.0,  # nothing is pre-trained
    "weight_decay": 0.02,
    "clip_norm": 1.0,
    "drop_path": 0.0,
    "sync_batch_norm": False,  # half a batch has statistics enough, and nobody waits
    "ratio_range": (0.85, 1.15),
    "cat_max_ratio": 1.0,
    "photometric": False,  # the colours of scenes are random already
}
"""How the tiny model is trained; what is not here is the paper's."""


@dataclass(frozen=True)
class Stage:
    """One run of the trainer.

    Attributes:
        recipe: what is not here is `RECIPE`'s.
        crop: side of the windows in pixels, to which scenes are scaled; None for the model's own.
        crowded: every other scene has about twice the shapes.
    """

    recipe: Mapping[str, Any]
    crop: int | None = None
    crowded: bool = False


SMALL = Stage(
    {"max_iters": 1800, "learning_rate": 3e-3, "warmup_iters": 100}, crop=96, crowded=True
)
"""From nothing: small pictures, of which a step takes half the time."""

LARGE = Stage(
    {
        "max_iters": 1300,
        "learning_rate": 2e-3,
        "warmup_iters": 50,
        "ratio_range": (0.9, 1.1),
    },
    crop=192,
)
"""After that, at the model's own size."""

CONTINUING = Stage(
    {
        "max_iters": 600,
        "learning_rate": 6e-4,
        "betas": (0.9, 0.999),
        "warmup_iters": 50,
        "sync_batch_norm": True,
        "ratio_range": (0.9, 1.1),
    }
)
"""How the trained model is trained on, with the same shapes or with others."""

SCENES_OF_A_SEED = 1_000_000
"""Trainings with another seed, and other stages of one, see other scenes."""

MOST_STAGES = 3


class DrawnScenes:
    """Labelled scenes as the trainer takes them: scene k is drawn when it is asked for.

    Args:
        stream: `TRAINING` or `VALIDATION`.
        count: number of scenes.
        classes: names of the shapes, the background first.
        first: number of the first scene.
        crowded: whether every other scene has about twice the shapes.
    """

    def __init__(
        self,
        stream: int,
        count: int,
        classes: tuple[str, ...],
        *,
        first: int = 0,
        crowded: bool = False,
    ) -> None:
        from modelscope_vitadapter.datasets.label_ids import LabelIds

        self.label_ids = LabelIds()
        self.stream, self.count, self.classes = stream, count, classes
        self.first, self.crowded = first, crowded

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> object:
        from modelscope_vitadapter.datasets.dataset import Sample

        rng = np.random.default_rng((self.stream, self.first + index))
        low, high = SIDES[self.stream]
        height, width = (int(side) for side in rng.integers(low, high + 1, 2))
        image, labels = draw_scene(
            rng,
            height,
            width,
            TEXTURES[self.stream],
            classes=self.classes,
            crowded=self.crowded and index % 2 == 1,
        )
        name = f"scene {index}"
        return Sample(name=name, image=image, label=labels, label_name=f"labels of {name}")


def main() -> None:
    """Starts the training processes."""
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
    parser.add_argument(
        "--model", type=Path, default=MODEL_DIR, help="directory to start from; default: the model"
    )
    parser.add_argument("--output", type=Path, help="model directory to write")
    parser.add_argument("--work-dir", type=Path, help="keep checkpoints and logs there")
    parser.add_argument("--iters", type=int, help="steps of each stage, in place of its own")
    parser.add_argument("--batch-size", type=int, help="scenes in a step")
    parser.add_argument("--scenes", type=int, default=48, help="scenes that are validated on")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.output is None and arguments.goes_on:
        arguments.output = arguments.model
    return arguments


def train(arguments: argparse.Namespace) -> None:
    """Trains stage by stage, and writes the model directory."""
    import torch

    torch.set_num_threads(1)
    started = time.monotonic()
    is_first = os.environ.get("RANK", "0") == "0"
    is_trained = arguments.other_shapes or arguments.goes_on
    stages = (CONTINUING,) if is_trained else (SMALL, LARGE, CONTINUING)
    model = arguments.model
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        folder = arguments.work_dir if last else arguments.work_dir / f"stage {number}"
        figures = run_stage(
            stage,
            arguments,
            model=model,
            from_scratch=number == 1 and not is_trained,
            work_dir=folder,
            seed=MOST_STAGES * arguments.seed + number - 1,
        )
        model = folder / "output_best"
        if is_first:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            seconds = time.monotonic() - started
            print(
                f"stage {number} of {len(stages)}, on {arguments.scenes} unseen scenes: {shown}; "
                f"{seconds:.0f} s",
                flush=True,
            )
    if is_first and arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        names = ("mmcv_config.py", "configuration.json", WEIGHTS)
        for name in names[2:] if arguments.output == MODEL_DIR else names:
            shutil.copyfile(model / name, arguments.output / name)


def run_stage(
    stage: Stage,
    arguments: argparse.Namespace,
    *,
    model: Path,
    from_scratch: bool,
    work_dir: Path,
    seed: int,
) -> dict[str, float]:
    """Trains one stage and returns the figures of its last evaluation.

    When it returns, `output_best` is complete for all processes: each waits for the others after
    the first has written.
    """
    from modelscope.trainers import build_trainer

    recipe = {**RECIPE, **stage.recipe, "seed": seed}
    for field, value in (("max_iters", arguments.iters), ("batch_size", arguments.batch_size)):
        if value is not None:
            recipe[field] = value
    classes = OTHER_CLASSES if arguments.other_shapes else CLASSES
    trainer = build_trainer(
        TRAINER,
        default_args={
            "model": str(model),
            "from_scratch": from_scratch,
            "crop": stage.crop,
            "train_dataset": DrawnScenes(
                TRAINING,
                recipe["max_iters"] * recipe["batch_size"],
                classes,
                first=seed * SCENES_OF_A_SEED,
                crowded=stage.crowded,
            ),
            "eval_dataset": DrawnScenes(VALIDATION, arguments.scenes, classes),
            "classes": classes,
            "palette": OTHER_PALETTE if arguments.other_shapes else PALETTE,
            "work_dir": str(work_dir),
            "check_data": False,  # scenes are drawn right
            "device": "cpu",
            "recipe": recipe,
            "run": {"workers": 0, "evaluation_interval": max(recipe["max_iters"] // 3, 1)},
        },
    )
    trainer.train()
    if trainer.iter < trainer.max_iters:  # Ctrl-C
        raise SystemExit(130)
    figures: dict[str, float] = trainer.metric_values
    return figures


if __name__ == "__main__":
    main()
