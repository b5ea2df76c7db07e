"""Fine-tunes a model on labelled pictures, with the paper's recipe.

Used as:
  vitadapter train my_model my_data --output run --iters 2000
  vitadapter train damo/cv_vitadapter_semantic-segmentation_cocostuff164k my_data --freeze beit
  vitadapter train my_model my_data --output run --resume
  torchrun --nproc_per_node=4 -m modelscope_vitadapter train my_model my_data --output run

The data set's parts train and val are used; my_data/classes.txt names the classes, one a line. The
best model by mIoU is OUTPUT/output_best, the last one OUTPUT/output: both are model directories for
pipeline() and for `vitadapter evaluate`. Ctrl-C ends after the running step, with a checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from modelscope_vitadapter.command.data_arguments import (
    DATA_HELP,
    add_data_arguments,
    data_options,
    data_source,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.training.recipe import DTYPES, Recipe

INTERRUPTED = 130
"""Exit code of a run that was stopped, as shells have it for Ctrl-C."""

HELP = "fine-tune a model on a labelled data set"

RECIPE_OPTIONS = {
    "max_iters": "--iters",
    "max_epochs": "--epochs",
    "batch_size": "--batch-size",
    "accumulation": "--accumulation",
    "learning_rate": "--learning-rate",
    "weight_decay": "--weight-decay",
    "layer_decay": "--layer-decay",
    "warmup_iters": "--warmup",
    "clip_norm": "--clip-norm",
    "drop_path": "--drop-path",
    "cat_max_ratio": "--cat-max-ratio",
    "flip": "--flip",
    "seed": "--seed",
}
"""Fields of the recipe that are single numbers, and what they are called here."""

HELP_OF = {
    "max_iters": "steps",
    "max_epochs": "passes over the data set, in place of --iters",
    "batch_size": "pictures in a step, of all processes together",
    "accumulation": "compute a step in N parts, each normalised by itself; takes less memory",
    "learning_rate": "highest rate, of adapter and head",
    "weight_decay": "of matrices and kernels",
    "layer_decay": "ratio of the rates of neighbouring BEiT blocks",
    "warmup_iters": "steps in which the rate rises; default: 1500, or a tenth of a shorter run",
    "clip_norm": "largest norm of the gradients, 0 for any",
    "drop_path": "rate of stochastic depth; default: the model's",
    "cat_max_ratio": "largest share of a crop that one class may have",
    "flip": "chance of a picture to be mirrored",
    "seed": "of everything random",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument("model", metavar="MODEL", help="the model to start from: directory or id")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument(
        "--output", default="work_dir", metavar="FOLDER", help="what is written; default: work_dir"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    add_data_arguments(parser)
    group = parser.add_argument_group("parts of the data set")
    group.add_argument(
        "--train-split", default="train", metavar="NAME", help="default: train; '' for all of it"
    )
    group.add_argument(
        "--val-split", default="val", metavar="NAME", help="default: val; '' for all of it"
    )
    group.add_argument(
        "--val-data", metavar="DATA", help="evaluate on another data set, read in the same way"
    )
    group.add_argument("--no-evaluation", action="store_true", help="train without a part val")
    group.add_argument("--no-check", action="store_true", help="don't look for problems first")
    _add_start_arguments(parser)
    _add_recipe_arguments(parser)
    group = parser.add_argument_group("run")
    group.add_argument("--device", default="gpu", help="gpu (default), cpu or cuda:N")
    group.add_argument("--workers", type=int, default=2, metavar="N", help="default: 2")
    group.add_argument("--evaluate-every", type=int, metavar="N", help="steps; default: 10 times")
    group.add_argument("--save-every", type=int, metavar="N", help="steps; default: as evaluated")
    group.add_argument("--log-every", type=int, default=50, metavar="N", help="default: 50")


def _add_start_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("start")
    group.add_argument(
        "--classes", metavar="FILE", help="names, one a line; default: DATA/classes.txt"
    )
    group.add_argument(
        "--from-scratch", action="store_true", help="use MODEL's configuration, not its weights"
    )
    group.add_argument("--beit", metavar="FILE", help="checkpoint of a BEiT backbone")
    group.add_argument(
        "--crop",
        type=int,
        metavar="N",
        help="side of windows in pixels, a multiple of 32; default: the model's",
    )
    group.add_argument(
        "--freeze",
        choices=("nothing", "beit", "backbone"),
        default="nothing",
        help="what stays as it is: beit leaves adapter and head, backbone leaves the head",
    )
    group.add_argument("--adapter-form", help="builtin (default) or authors, see the README")


def _add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recipe")
    recipe = Recipe()
    for field, option in RECIPE_OPTIONS.items():
        default = getattr(recipe, field)
        is_count = isinstance(default, int) or field in ("max_epochs", "warmup_iters")
        shown = "" if default is None else f"; default: {default:g}"
        group.add_argument(
            option,
            dest=field,
            type=int if is_count else float,
            metavar="N",
            help=HELP_OF[field] + shown,
        )
    group.add_argument("--dtype", choices=DTYPES, help="of products; default: float32")
    group.add_argument(
        "--checkpoint-activations",
        action=argparse.BooleanOptionalAction,
        help="compute activations twice to save memory; default: as the model says",
    )
    group.add_argument("--no-photometric", action="store_true", help="leave colours as they are")
    group.add_argument(
        "--ratio-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of random resizing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    from modelscope_vitadapter.datasets.open_dataset import has_splits
    from modelscope_vitadapter.plugin.trainer.checkpoints import latest_checkpoint
    from modelscope_vitadapter.plugin.trainer.segmentation_trainer import (
        VitAdapterSegmentationTrainer,
    )

    output = Path(arguments.output)
    checkpoint = latest_checkpoint(output) if arguments.resume else None
    if arguments.resume and checkpoint is None:
        raise FileNotFoundError(
            f"--resume: there is no checkpoint (iter_N.pth) in {output}; leave --resume out to "
            "begin, or give the --output of the run that shall go on"
        )
    data = data_source(arguments.data, arguments.labels)
    evaluation = data
    if arguments.no_evaluation:
        evaluation = None
    elif arguments.val_data is not None:
        evaluation = data_source(arguments.val_data)
    elif not has_splits(data):
        raise DataSetError(
            f"data set {arguments.data!r} has no parts: all of it would be trained on, and nothing "
            "left to evaluate on. Give --val-data DATA, or --no-evaluation"
        )
    trainer = VitAdapterSegmentationTrainer(
        arguments.model,
        train_dataset=data,
        eval_dataset=evaluation,
        train_split=arguments.train_split,
        eval_split=arguments.val_split,
        work_dir=output,
        classes=None if arguments.classes is None else _names(Path(arguments.classes)),
        from_scratch=arguments.from_scratch,
        beit=arguments.beit,
        crop=arguments.crop,
        freeze=arguments.freeze,
        recipe=_recipe(arguments),
        run={
            "workers": arguments.workers,
            "evaluation_interval": arguments.evaluate_every,
            "checkpoint_interval": arguments.save_every,
            "log_interval": arguments.log_every,
        },
        data_options=data_options(arguments),
        check_data=not arguments.no_check,
        adapter_form=arguments.adapter_form,
        device=arguments.device,
    )
    trainer.train(checkpoint_path=None if checkpoint is None else os.fspath(checkpoint))
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(_summary(trainer, output) + "\n")
    return 0 if trainer.iter >= trainer.max_iters else INTERRUPTED


def _names(path: Path) -> tuple[str, ...]:
    from modelscope_vitadapter.datasets.open_dataset import read_classes

    names = read_classes(path)
    if names is None:
        raise FileNotFoundError(f"--classes: there is no file '{path}'")
    return names


def _recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name in fields and value is not None
    }
    if arguments.no_photometric:
        given["photometric"] = False
    if given.get("clip_norm") == 0:
        given["clip_norm"] = None
    return given


def _summary(trainer: Any, output: Path) -> str:
    figures = trainer.metric_values
    best = output / "output_best"
    has_best = any(best.glob("*.pt"))
    done = "finished" if trainer.iter >= trainer.max_iters else "stopped, --resume goes on"
    lines = [f"{trainer.iter} of {trainer.max_iters} steps ({done})"]
    if figures:
        values = ", ".join(f"{name} {100 * value:.2f}" for name, value in figures.items())
        lines.append(f"last evaluation: {values}")
    shown = best if has_best else output / "output"
    lines.append(f"model: {shown}")
    return "\n".join(lines)
