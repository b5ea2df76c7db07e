"""Measures a model on a dataset: aAcc, mIoU, mAcc, and IoU and accuracy by class.

Examples:
  vitadapter evaluate my_model my_data --split val --output results
  vitadapter evaluate damo/cv_vitadapter_semantic-segmentation_cocostuff164k coco --split val2017
  torchrun --nproc_per_node=4 -m modelscope_vitadapter evaluate my_model my_data

With --output the result is also written to FOLDER/evaluation.json and FOLDER/evaluation.png, and
an evaluation that was stopped goes on where it was when the same command is given again.
"""

import argparse
import os
import sys
from pathlib import Path

from modelscope_vitadapter.command.data_arguments import (
    DATA_HELP,
    add_data_arguments,
    data_options,
    data_source,
)
from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.validation import parse_count, parse_dtype_name

HELP = "measure a model on a dataset"

STATE, JSON, PLOT = "evaluation.state", "evaluation.json", "evaluation.png"
"""Files in the folder of `--output`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this subcommand."""
    parser.add_argument("model", metavar="MODEL", help="the model: its directory, or its id")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--split", help="part of the dataset, as its folder or table is called")
    parser.add_argument(
        "--output", metavar="FOLDER", help="write the result there, and go on from what is there"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--check", action="store_true", help="look for problems in all of the dataset first"
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
    add_data_arguments(parser)
    group = parser.add_argument_group("model")
    group.add_argument("--device", help="cpu, gpu, cuda:N or another device of PyTorch")
    group.add_argument("--dtype", help="float32 (default), bfloat16 or float16")
    group.add_argument("--adapter-form", help="builtin (default) or authors, see docs/usage.md")
    group.add_argument("--window-batch-size", type=int, metavar="N", help="default: automatic")
    text = "execute mmcv_config.py where it can't be read as data"
    group.add_argument("--trust-remote-code", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, shows and writes the result; of several processes the first shows and writes."""
    parse_dtype_name(arguments.dtype)  # told before much is imported
    parse_adapter_form(arguments.adapter_form)
    for name in ("limit", "window_batch_size"):
        if getattr(arguments, name) is not None:
            parse_count(name, getattr(arguments, name))
    # Only warnings: notes of ModelScope would stand between progress bar and table.
    os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "30")
    from modelscope_vitadapter.evaluation.evaluate import evaluate
    from modelscope_vitadapter.evaluation.result import format_table, write_plot

    output = Path(arguments.output) if arguments.output else None
    if output:
        output.mkdir(parents=True, exist_ok=True)
    try:
        result = evaluate(
            arguments.model,
            data_source(arguments.data, labels=arguments.labels, split=arguments.split),
            split=arguments.split,
            limit=arguments.limit,
            check=arguments.check,
            state=output / STATE if output else None,
            progress=not arguments.no_progress,
            device=arguments.device,
            torch_dtype=arguments.dtype,
            adapter_form=arguments.adapter_form,
            window_batch_size=arguments.window_batch_size,
            trust_remote_code=arguments.trust_remote_code,
            **data_options(arguments),
        )
    except KeyboardInterrupt:
        if output:
            sys.stderr.write(f"what was counted is kept in {output}: the same command goes on\n")
        raise
    if os.environ.get("RANK", "0") == "0":
        if output:
            result.write_json(output / JSON)
            write_plot(result, output / PLOT)
        sys.stdout.write(format_table(result) + "\n")
    return 0
