"""Arguments that name a dataset, the same for every subcommand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import DataSetError

MODELSCOPE, HUGGING_FACE = "ms:", "hf:"
"""What the name of a dataset of a hub begins with."""

LABEL_IDS = ("as-is", "coco-stuff-182", "reduce-zero")
"""Names in `datasets.label_ids.NAMED`, which imports more than a command's help can wait for."""

DATA_HELP = (
    "the dataset: a folder with images/ beside labels/ (with or without splits below them), a "
    "table of paths (.csv or .jsonl), ms:OWNER/NAME for a dataset of ModelScope's hub, or "
    "hf:OWNER/NAME for one of Hugging Face's; @SUBSET may follow"
)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a dataset is to be read; its name and split are the subcommand's."""
    group = parser.add_argument_group("dataset")
    group.add_argument(
        "--labels", metavar="FOLDER", help="folder of the label maps, where DATA is of the images"
    )
    group.add_argument(
        "--label-ids",
        choices=LABEL_IDS,
        help="what the numbers in label maps mean. as-is: the class ids, 255 is not counted "
        "(default). reduce-zero: classes begin at 1, 0 is not counted. coco-stuff-182: "
        "COCO-Stuff's original ids (found by itself in stuffthingmaps/)",
    )
    group.add_argument("--image-column", metavar="NAME", help="column of the images in a table")
    group.add_argument("--label-column", metavar="NAME", help="column of the label maps in a table")
    group.add_argument(
        "--skip-missing", action="store_true", help="leave out images that have no label map"
    )


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `add_data_arguments` as options of `open_dataset`."""
    return {
        "label_ids": arguments.label_ids,
        "image_column": arguments.image_column,
        "label_column": arguments.label_column,
        "skip_missing": arguments.skip_missing,
    }


def data_source(name: str, labels: str | None = None, split: str | None = None) -> Any:
    """What `open_dataset` takes for a dataset's name on the command line.

    Args:
        name: see `DATA_HELP`.
        labels: folder of the label maps, where `name` is the folder of the images.
        split: the part to ask a hub for; `open_dataset` is to be told it too.

    Returns:
        A folder, a file, two folders, or the table or tables that a hub gave.

    Raises:
        DataSetError: label maps were given for something else than a folder, or a hub does not
            give the dataset.
    """
    if not name.startswith((MODELSCOPE, HUGGING_FACE)):
        return Path(name) if labels is None else (Path(name), Path(labels))
    if labels is not None:
        raise DataSetError(f"--labels {labels}: expected only with a folder of images")
    hub, (full_name, _, subset) = name[:3], name[3:].partition("@")
    load = _from_modelscope if hub == MODELSCOPE else _from_hugging_face
    try:
        return load(full_name, subset or None, split)
    except Exception as error:  # clients of hubs raise many classes
        raise DataSetError(
            f"dataset {name!r} can't be loaded ({type(error).__name__}: {error}); check its name, "
            "its subset and the network"
        ) from error


def _from_modelscope(name: str, subset: str | None, split: str | None) -> Any:
    from modelscope.msdatasets import MsDataset

    return MsDataset.load(name, subset_name=subset, split=split)


def _from_hugging_face(name: str, subset: str | None, split: str | None) -> Any:
    from datasets import load_dataset

    return load_dataset(name, subset, split=split)
