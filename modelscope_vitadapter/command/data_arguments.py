"""Arguments that name a dataset, the same for every subcommand."""

import argparse
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.hub import HUBS, load
from modelscope_vitadapter.datasets.label_ids import EXPECTED, LabelIds, parse_ids, parse_label_ids
from modelscope_vitadapter.datasets.options import DATA_OPTIONS
from modelscope_vitadapter.errors import DataSetError

DATA_HELP = (
    "the dataset: a folder, in one of the layouts of docs/data.md; a table of paths (.csv, .tsv, "
    ".jsonl, .parquet), a list (.txt) or annotations (.json, .xml); ms:OWNER/NAME for a dataset of "
    "ModelScope's hub, or hf:OWNER/NAME for one of Hugging Face's; @SUBSET may follow"
)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a dataset is to be read; its name and split are the subcommand's."""
    group = parser.add_argument_group("dataset")
    add = group.add_argument
    add("--layout", metavar="NAME", help="of docs/data.md, where two fit or none is recognised")
    add("--labels", metavar="FOLDER", help="folder of the label maps, where DATA is of the images")
    add(
        "--pairs",
        nargs=2,
        metavar=("IMAGES", "LABELS"),
        help="what belongs together, such as 'images/{}.jpg' 'masks/{}_L.png'; {split} may stand "
        "in it",
    )
    text = "only the images that the file names, or pairs of an image and a label map"
    add("--list", metavar="FILE", help=text)
    text = "leave out images that have no label map"
    add("--skip-missing", action="store_true", help=text)
    add("--image-column", metavar="NAME", help="column of the images in a table")
    add("--label-column", metavar="NAME", help="column of the label maps in a table")
    group = parser.add_argument_group("label maps")
    add = group.add_argument
    add(
        "--label-ids",
        type=_label_ids,
        metavar="IDS",
        help="what the numbers mean: as-is (class ids, 255 is not counted; default), reduce-zero "
        "(classes begin at 1, 0 is not counted), coco-stuff-182 or cityscapes-34 (their original "
        "ids), a mapping such as 0:ignore,255:1, or a file with a pair in each line",
    )
    text = "ids that are not counted, such as 0,254, beside 255"
    add("--ignore-ids", type=_ids, metavar="IDS", help=text)
    text = "colours of classes, a colour and a name in each line, where label maps hold colours"
    add("--palette", metavar="FILE", help=text)
    text = "names or ids, with commas: not counted, and left out of the means"
    add("--exclude-classes", metavar="CLASSES", help=text)
    add_image_arguments(parser)


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says how images are to be read, see `images.options.ReadOptions`."""
    add = parser.add_argument_group("images").add_argument
    add("--max-pixels", type=int, metavar="N", help="largest image that is read")
    text = "turn images as their EXIF data says (default), or leave them as stored"
    add("--exif", choices=("apply", "ignore"), default="apply", help=text)
    text = "bands of a TIFF that are red, green and blue, counted from 1"
    add("--bands", type=int, nargs="+", metavar="N", help=text)
    text = "values that are black and white, where images use others than 0 and 255 or 65535"
    add("--value-range", type=float, nargs=2, metavar=("BLACK", "WHITE"), help=text)


def _label_ids(text: str) -> LabelIds | None:
    try:
        return parse_label_ids(text)
    except DataSetError as error:
        if str(error).endswith(EXPECTED):
            raise argparse.ArgumentTypeError(f"{text!r}: expected {EXPECTED}") from error
        raise argparse.ArgumentTypeError(str(error)) from error


def _ids(text: str) -> tuple[int, ...]:
    try:
        return parse_ids("ignore_ids", text)
    except DataSetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `add_data_arguments` that were given, as options of `open_dataset`."""
    given = {name: getattr(arguments, name, None) for name in DATA_OPTIONS - {"classes"}}
    return {name: value for name, value in given.items() if value is not None}


def data_source(name: str, labels: str | None = None, split: str | None = None) -> Any:
    """What `open_dataset` takes for a name as `DATA_HELP` says.

    `labels` is the folder of the label maps, where `name` is that of the images; `split` the part
    to ask a hub for, which `open_dataset` is to be told too.

    Raises:
        DataSetError: label maps were given for something else than a folder, or a hub does not
            give the dataset.
    """
    if not name.startswith(HUBS):
        return Path(name) if labels is None else (Path(name), Path(labels))
    if labels is not None:
        raise DataSetError(f"--labels {labels}: expected only with a folder of images")
    return load(name, split)
