"""Fine-tunes a model on a dataset with labels, with the paper's recipe.

Used as:
  vitadapter train my_model my_data --output run --iters 2000
  vitadapter train damo/cv_vitadapter_semantic-segmentation_cocostuff164k my_data --freeze beit
  vitadapter train my_model my_data --output run --resume
  vitadapter train my_model my_data --output other --resume run/iter_1500
  torchrun --nproc_per_node=4 -m modelscope_vitadapter train my_model my_data --output run

The dataset's parts train and val are used; my_data/classes.txt names the classes, one a line. The
best model by mIoU is OUTPUT/output_best, the last one OUTPUT/output: both are model directories for
pipeline() and for `vitadapter evaluate`. Ctrl-C ends after the running step, with a checkpoint.
"""

import argparse
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
from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.training.class_weights import parse_class_weights
from modelscope_vitadapter.training.train_config import (
    CROP,
    DTYPES,
    FREEZE_CHOICES,
    TrainConfig,
    check,
    check_free,
    chosen_checkpoint,
    options_of,
)

HELP = "fine-tune a model on a labelled dataset"

STOPPED = 130
"""Exit code of a run that was stopped, as shells have it for Ctrl-C."""

WHOLE: dict[str, Any] = {"type": int, "metavar": "N"}
NUMBER: dict[str, Any] = {"type": float, "metavar": "N"}
YES_OR_NO: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
OFF: dict[str, Any] = {"action": "store_const", "const": False}

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "max_iters": ("--iters", WHOLE),
    "max_epochs": ("--epochs", WHOLE),
    "batch_size": ("--batch-size", WHOLE),
    "accumulation": ("--accumulation", WHOLE),
    "learning_rate": ("--learning-rate", NUMBER),
    "weight_decay": ("--weight-decay", NUMBER),
    "layer_decay": ("--layer-decay", NUMBER),
    "warmup_iters": ("--warmup", WHOLE),
    "clip_norm": ("--clip-norm", {**NUMBER, "help": "of gradients, 0 for any; default: 0.01"}),
    "drop_path": ("--drop-path", NUMBER),
    "dtype": ("--dtype", {"choices": DTYPES}),
    "checkpoint_activations": ("--checkpoint-activations", YES_OR_NO),
    "ratio_range": ("--ratio-range", {**NUMBER, "nargs": 2, "metavar": ("LOW", "HIGH")}),
    "cat_max_ratio": ("--cat-max-ratio", NUMBER),
    "flip": ("--flip", NUMBER),
    "photometric": ("--no-photometric", {**OFF, "help": "leave colours as they are"}),
    "seed": ("--seed", WHOLE),
    "workers": ("--workers", WHOLE),
    "worker_timeout": ("--worker-timeout", NUMBER),
    "evaluation_interval": ("--evaluate-every", WHOLE),
    "checkpoint_interval": ("--save-every", WHOLE),
    "log_interval": ("--log-every", WHOLE),
}
"""Fields of `TrainConfig` that are options here: their names, and how they are read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this subcommand."""
    parser.add_argument("model", metavar="MODEL", help="the model to start from: directory or id")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument(
        "--output", default="work_dir", metavar="FOLDER", help="what is written; default: work_dir"
    )
    text = (
        "go on from the last checkpoint in --output, or from PATH: a checkpoint (OUTPUT/iter_N) or "
        "a run's folder, of which the last is taken. What --output has of later steps gives way to "
        "what is saved anew; give another --output to keep it"
    )
    parser.add_argument("--resume", nargs="?", const=True, metavar="PATH", help=text)
    add_data_arguments(parser)
    group = parser.add_argument_group("parts of the dataset")
    for option, part in (("--train-split", "train"), ("--val-split", "val")):
        text = f"default: {part}; '' for all of it"
        group.add_argument(option, default=part, metavar="NAME", help=text)
    group.add_argument(
        "--val-data", metavar="DATA", help="evaluate on another dataset, read in the same way"
    )
    text = "folder of the label maps, where --val-data is of the images"
    group.add_argument("--val-labels", metavar="FOLDER", help=text)
    text = "images that are evaluated on, as --list names those that are trained on"
    group.add_argument("--val-list", metavar="FILE", help=text)
    group.add_argument("--no-evaluation", action="store_true", help="train without a part val")
    group.add_argument("--no-check", action="store_true", help="don't look for problems first")
    group = parser.add_argument_group("start")
    group.add_argument(
        "--classes", metavar="FILE", help="names, one a line; default: DATA/classes.txt"
    )
    group.add_argument(
        "--from-scratch", action="store_true", help="use MODEL's configuration, not its weights"
    )
    group.add_argument("--beit", metavar="FILE", help="checkpoint of a BEiT backbone")
    text = "side of windows in pixels, a multiple of 32; default: the model's"
    group.add_argument("--crop", type=int, metavar="N", help=text)
    text = "what stays as it is: beit leaves adapter and head, backbone leaves the head"
    group.add_argument("--freeze", choices=FREEZE_CHOICES, default="nothing", help=text)
    text = "of classes in the loss: 1,2,0.5 (all), or road:1,car:2.5 (others: 1); default: MODEL's"
    group.add_argument("--class-weights", metavar="WEIGHTS", help=text)
    group.add_argument("--adapter-form", help="builtin (default) or authors, see docs/usage.md")
    group = parser.add_argument_group("run")
    group.add_argument("--device", default="gpu", help="gpu (default), cpu or cuda:N")
    _add_options(group, "run")
    _add_options(parser.add_argument_group("recipe"), "recipe")


def _add_options(group: argparse._ArgumentGroup, part: str) -> None:
    for field in options_of(part):
        if field.name in OPTIONS:
            option, how = OPTIONS[field.name]
            is_number = isinstance(field.default, int | float)
            default = f"; default: {field.default:g}" if is_number else ""
            text = field.metadata["meaning"] + default
            group.add_argument(option, dest=field.name, **{"help": text, **how})


def run(arguments: argparse.Namespace) -> int:
    """Trains, and says where the result is."""
    recipe, options = _given(arguments, "recipe"), _given(arguments, "run")
    if recipe.get("clip_norm") == 0:
        recipe["clip_norm"] = None
    TrainConfig().changed("recipe", recipe).changed("run", options)  # told before much is imported
    parse_adapter_form(arguments.adapter_form)
    if arguments.beit is not None and not Path(arguments.beit).is_file():
        raise FileNotFoundError(f"--beit: there is no file '{arguments.beit}'")
    if arguments.crop is not None:
        check("crop", arguments.crop, CROP)
    names = None if arguments.classes is None else Path(arguments.classes)
    if names is not None and not names.is_file():
        raise FileNotFoundError(f"--classes: there is no file '{names}'")
    weights = arguments.class_weights
    class_weights = None if weights is None else parse_class_weights(weights)
    output, resume = Path(arguments.output), arguments.resume
    checkpoint = None
    if resume is not None:
        checkpoint = chosen_checkpoint(output if resume is True else Path(resume))
    check_free(output, checkpoint)

    from modelscope_vitadapter.datasets.open_dataset import read_classes
    from modelscope_vitadapter.plugin.trainer import VitAdapterSegmentationTrainer

    data = data_source(arguments.data, arguments.labels)
    trainer = VitAdapterSegmentationTrainer(
        arguments.model,
        train_dataset=data,
        eval_dataset=_evaluation_data(arguments, data),
        train_split=arguments.train_split,
        eval_split=arguments.val_split,
        work_dir=output,
        classes=None if names is None else read_classes(names),
        from_scratch=arguments.from_scratch,
        beit=arguments.beit,
        crop=arguments.crop,
        freeze=arguments.freeze,
        class_weights=class_weights,
        recipe=recipe,
        run=options,
        data_options=data_options(arguments),
        eval_data_options={"list": arguments.val_list},
        check_data=not arguments.no_check,
        adapter_form=arguments.adapter_form,
        device=arguments.device,
    )
    trainer.train(checkpoint_path=None if checkpoint is None else os.fspath(checkpoint))
    is_finished = trainer.iter >= trainer.max_iters
    if os.environ.get("RANK", "0") == "0":
        state = "finished" if is_finished else "stopped, --resume goes on"
        sys.stdout.write(f"{trainer.iter} of {trainer.max_iters} steps ({state})\n")
        if trainer.metric_values:
            values = (f"{name} {100 * value:.2f}" for name, value in trainer.metric_values.items())
            sys.stdout.write(f"last evaluation: {', '.join(values)}\n")
        best = output / "output_best"
        sys.stdout.write(f"model: {best if best.is_dir() else output / 'output'}\n")
    return 0 if is_finished else STOPPED


def _given(arguments: argparse.Namespace, part: str) -> dict[str, Any]:
    """The options of a part of `TrainConfig` that were given, by field."""
    values = {field.name: getattr(arguments, field.name, None) for field in options_of(part)}
    return {name: value for name, value in values.items() if value is not None}


def _evaluation_data(arguments: argparse.Namespace, data: Any) -> Any:
    """What is evaluated on: nothing, another dataset, or a part of the one that is trained on."""
    from modelscope_vitadapter.datasets.open_dataset import has_splits

    if arguments.no_evaluation:
        return None
    if arguments.val_data is not None:
        return data_source(arguments.val_data, arguments.val_labels)
    if arguments.val_labels is not None:
        raise DataSetError(f"--val-labels {arguments.val_labels}: expected only with --val-data")
    options = {**data_options(arguments), "list": None}
    if arguments.val_list is None and not has_splits(data, **options):
        raise DataSetError(
            f"dataset {arguments.data!r} has no parts: all of it would be trained on, and nothing "
            "left to evaluate on. Give --val-data DATA, or --no-evaluation"
        )
    return data
