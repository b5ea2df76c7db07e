"""Arguments that name a dataset, the same for every subcommand."""

import argparse
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.label_ids import NAMED
from modelscope_vitadapter.errors import DataSetError

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
        choices=sorted(NAMED),
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
    names = ("label_ids", "image_column", "label_column", "skip_missing")
    return {name: getattr(arguments, name) for name in names}


def data_source(name: str, labels: str | None = None, split: str | None = None) -> Any:
    """What `open_dataset` takes for a name as `DATA_HELP` says.

    `labels` is the folder of the label maps, where `name` is that of the images; `split` the part
    to ask a hub for, which `open_dataset` is to be told too.

    Raises:
        DataSetError: label maps were given for something else than a folder, or a hub does not
            give the dataset.
    """
    hub, (hub_name, _, subset) = name[:3], name[3:].partition("@")
    if hub not in ("ms:", "hf:"):
        return Path(name) if labels is None else (Path(name), Path(labels))
    if labels is not None:
        raise DataSetError(f"--labels {labels}: expected only with a folder of images")
    try:
        if hub == "hf:":
            from datasets import load_dataset

            return load_dataset(hub_name, subset or None, split=split)
        from modelscope.msdatasets import MsDataset

        return MsDataset.load(hub_name, subset_name=subset or None, split=split)
    except Exception as error:  # clients of hubs raise many classes
        raise DataSetError(
            f"dataset {name!r} can't be loaded ({type(error).__name__}: {error}); check its name, "
            "its subset and the network"
        ) from error
