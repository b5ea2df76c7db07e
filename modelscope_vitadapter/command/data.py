"""Shows how a dataset is understood: its layout, pairs, ids and names, and what is odd about it.

Examples:
  vitadapter data my_data
  vitadapter data my_data --split val --preview sheet.png
  vitadapter data scans --pairs 'photos/{}.jpg' 'masks/{}_L.png' --label-ids 0:0,255:1

It reads what evaluate and train read, with the same options. Of each part some images, evenly
spread, are looked at; --all looks at each.
"""

import argparse
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
from modelscope_vitadapter.validation import parse_count

HELP = "show how a dataset is understood"

LOOKED_AT, SHOWN = 100, 6
"""Images that are looked at, and that a preview shows, where nothing is said."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this subcommand."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--split", help="one of its parts; default: all of them")
    text = "draw a few images with their labels on top"
    parser.add_argument("--preview", metavar="FILE.png", help=text)
    text = f"images that are looked at, and at most {SHOWN} drawn; default: {LOOKED_AT}"
    parser.add_argument("--limit", type=int, default=LOOKED_AT, metavar="N", help=text)
    parser.add_argument("--all", action="store_true", help="look at every image")
    text = "how many the model has; default: as many as the dataset names or shows"
    parser.add_argument("--num-classes", type=int, metavar="K", help=text)
    add_data_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what is found of each part, and draws the preview; 1 if something can't be used."""
    for name in ("limit", "num_classes"):
        if getattr(arguments, name) is not None:
            parse_count(name, getattr(arguments, name))
    from modelscope_vitadapter.datasets.open_dataset import open_dataset, parts_of
    from modelscope_vitadapter.datasets.summary import preview, summary
    from modelscope_vitadapter.images.writing import write_image

    source = data_source(arguments.data, labels=arguments.labels, split=arguments.split)
    options: dict[str, Any] = data_options(arguments)
    parts = parts_of(source, **options) if arguments.split is None else [arguments.split]
    is_sound, sheets = True, []
    limit = None if arguments.all else arguments.limit
    for part in parts or [None]:
        try:
            dataset = open_dataset(source, split=part, **options)
        except DataSetError as error:  # the other parts may be sound
            if len(parts) < 2:
                raise
            sys.stdout.write(f"{part}: {error}\n\n")
            is_sound = False
            continue
        text, sound = summary(dataset, limit=limit, num_classes=arguments.num_classes)
        is_sound = is_sound and sound
        sys.stdout.write(f"{text}\n\n")
        sheets.append(dataset)
    if arguments.preview and sheets:
        count = min(SHOWN, arguments.limit)
        write_image(Path(arguments.preview), preview(sheets, count, arguments.num_classes))
        sys.stdout.write(f"preview: {arguments.preview}\n")
    return 0 if is_sound else 1
