"""From what a person typed to a model and a job."""

import argparse
import csv
from pathlib import Path
from typing import Any

import torch

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.devices import arrange_network
from modelscope_vitadapter.distributed import named_device
from modelscope_vitadapter.formats.files import hexadecimal
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.prediction.job import Job
from modelscope_vitadapter.prediction.manifest import digest
from modelscope_vitadapter.segmenter import Segmenter, model_directory, model_identity
from modelscope_vitadapter.validation import listing

TINY = "tiny"
"""Name of the embedded model."""

DRAWING = ("opacity", "outlines", "names", "legend", "side_by_side", "font")
"""Options of `visualization.draw`."""


def open_model(arguments: Any) -> Segmenter:
    """The model that was named, on its device."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = named_device(arguments.device)
    segmenter = Segmenter.load(
        directory_of(arguments.model),
        torch_dtype=arguments.dtype,
        adapter_form=arguments.adapter_form,
        window_batch_size=arguments.batch_size,
        trust_remote_code=arguments.trust_remote_code,
        device=device,
    )
    arrange_network(segmenter.network, device)
    return segmenter


def directory_of(model: str) -> Path:
    """The directory of a model, that of the embedded one for `tiny`."""
    if model != TINY or Path(model).is_dir():
        return model_directory(model)
    package = Path(__file__).parents[1]
    places = package / "tiny_model", package.parent / "examples" / "tiny_model"
    return next(one for one in places if one.is_dir())


def job_of(arguments: argparse.Namespace, segmenter: Segmenter, folder: Path) -> Job:
    """What is done with each input. ValueError for a class that the model does not have."""
    options = ReadOptions(
        arguments.max_pixels, arguments.exif, arguments.bands, arguments.value_range
    )
    drawing = {name: getattr(arguments, name) for name in DRAWING}
    keep = None if arguments.classes is None else kept(arguments.classes, segmenter.config.classes)
    depends = {
        "model": arguments.model,
        "weights": model_identity(segmenter, arguments.adapter_form),
        "save": sorted(arguments.save),
        "keep": keep,
        "threshold": arguments.threshold,
        "options": repr(options),
        "frame_step": arguments.frame_step,
        "drawing": drawing if "overlay" in arguments.save else None,
    }
    return Job(
        folder,
        arguments.model,
        tuple(dict.fromkeys(arguments.save)),
        digest(depends),
        keep,
        arguments.threshold,
        options,
        arguments.frame_step,
        drawing,
    )


def kept(names: str, classes: Any) -> tuple[int, ...]:
    """The ids of classes by name or id, with commas between them."""
    found = []
    for name in (one.strip() for one in names.split(",")):
        if name in classes:
            found.append(list(classes).index(name))
        elif name.isdecimal() and int(name) < len(classes):
            found.append(int(name))
        else:
            raise ValueError(
                f"--classes {name}: the model has no such class; expected some of "
                f"{listing(list(classes))}"
            )
    return tuple(sorted(set(found)))


def write_classes(segmenter: Segmenter, folder: Path) -> None:
    """Writes `classes.csv`: id, name and colour of each class."""
    config = segmenter.config
    with (
        written_aside(folder / "classes.csv") as aside,
        aside.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(("id", "name", "colour"))
        for number, name in enumerate(config.classes):
            table.writerow((number, name, hexadecimal(config.palette[number])))
