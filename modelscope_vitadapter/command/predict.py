"""Segments images, folders, lists, addresses and videos, and saves pictures and label maps.

Examples:
  vitadapter predict photo.jpg
  vitadapter predict photos --recursive --output results --save overlay labels polygons
  vitadapter predict 'photos/*.jpg' list.txt https://example.org/street.jpg --model my_model
  vitadapter predict film.mp4 --frame-step 10
  vitadapter predict examples/scene.png --model tiny

Started again with the same --output it does only what is missing or was changed. There,
manifest.jsonl has a line for each input, classes.csv the classes. Ctrl-C ends after the running
image. Exit codes: 0, 1 (an error), 2 (usage), 3 (some inputs failed), 130 (Ctrl-C).
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from modelscope_vitadapter.command.data_arguments import add_image_arguments
from modelscope_vitadapter.command.language import say, translated
from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.prediction.kinds import DEFAULT_KINDS, KINDS
from modelscope_vitadapter.validation import parse_count, parse_dtype_name

HELP = "segment images and save pictures and label maps"

CARD_MODEL = "damo/cv_vitadapter_semantic-segmentation_cocostuff164k"

MODEL_OPTIONS = ("model", "device", "dtype", "adapter_form", "batch_size", "trust_remote_code")
"""Options that `open_model` takes, beside threads."""

SOME_FAILED = 3
"""Exit code where some inputs failed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this subcommand."""
    add = parser.add_argument
    text = (
        "an image, a video, a folder, a pattern, an address, a list (.txt, .csv, .jsonl), ms: or "
        "hf:OWNER/NAME[@SUBSET][#SPLIT], or - for names on standard input"
    )
    add("source", metavar="SOURCE", nargs="+", help=text)
    text = "directory or id of the hub, or tiny: the embedded model; default: the hub's"
    add("--model", default=CARD_MODEL, metavar="MODEL", help=text)
    add("--output", default="vitadapter_results", metavar="DIR", help="default: vitadapter_results")
    text = f"what is written: {', '.join(KINDS)}; default: {' '.join(DEFAULT_KINDS)}"
    add("--save", nargs="+", choices=KINDS, default=DEFAULT_KINDS, metavar="KIND", help=text)
    add("--recursive", action="store_true", help="go into folders of folders")
    text = "of a video: every how many frames one is segmented; default: 1"
    add("--frame-step", type=int, default=1, metavar="N", help=text)
    text = "classes that are kept, names or ids with commas; others have no class"
    add("--classes", metavar="NAMES", help=text)
    text = "confidence, 0 to 1, below which a pixel has no class"
    add("--threshold", type=float, metavar="SHARE", help=text)
    add("--json", action="store_true", help="print the manifest's line of each input")
    group = parser.add_argument_group("cluster")
    text = "local: this process (default); ray: a Ray cluster, see docs/predict.md"
    group.add_argument("--engine", choices=("local", "ray"), default="local", help=text)
    text = "of a cluster that runs; default: one is started on this machine"
    group.add_argument("--address", metavar="ADDRESS", help=text)
    text = "of the cluster, each with a model; default: 2"
    group.add_argument("--workers", type=int, default=2, metavar="N", help=text)
    text = "share of a GPU that each worker has; default: 0"
    group.add_argument("--gpus-per-worker", type=float, default=0, metavar="SHARE", help=text)
    group = parser.add_argument_group("pictures")
    group.add_argument("--opacity", type=float, default=0.6, metavar="SHARE", help="default: 0.6")
    for name in ("outlines", "names", "legend"):
        group.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"draw no {name}")
    text = "the image beside the overlay"
    group.add_argument("--side-by-side", action="store_true", help=text)
    group.add_argument(
        "--font", metavar="FILE", help="for names; default: one that has the letters"
    )
    add_image_arguments(parser)
    group = parser.add_argument_group("model")
    group.add_argument("--device", default="gpu", help="cpu, gpu (default), cuda:N, ...")
    group.add_argument("--dtype", help="float32 (default), bfloat16 or float16")
    group.add_argument("--threads", type=int, metavar="N", help="of the processor; default: all")
    group.add_argument("--batch-size", type=int, metavar="N", help="windows; default: automatic")
    group.add_argument("--adapter-form", help="builtin (default) or authors, see docs/usage.md")
    text = "execute mmcv_config.py where it can't be read as data"
    group.add_argument("--trust-remote-code", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Segments what is left to do; 3 where some inputs failed."""
    _check(arguments)
    os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "30")
    from modelscope_vitadapter.interrupts import StopRequest
    from modelscope_vitadapter.prediction.job import run_job
    from modelscope_vitadapter.prediction.manifest import open_folder
    from modelscope_vitadapter.prediction.sources import items_of
    from modelscope_vitadapter.prediction.start import job_of, open_model, write_classes

    items: Any = items_of(arguments.source, recursive=arguments.recursive)
    if "-" not in arguments.source:
        items = list(items)  # so that what is not there is told at once, and the total is known
    folder = open_folder(Path(arguments.output))
    segmenter = open_model(arguments)
    job = job_of(arguments, segmenter, folder)
    write_classes(segmenter, folder)
    stop = StopRequest(translated("stopping after the running images; again: at once"))
    rows_of = _engine(arguments, segmenter)
    with stop.listening(), _progress(items) as bar:

        def tell(row: Any, line: str) -> None:
            bar.update()
            if row is not None and arguments.json:
                sys.stdout.write(line + "\n")
            if row is not None and row.error is not None:
                bar.write(f"{row.input}: {row.error}", file=sys.stderr)

        counts = run_job(
            items,
            job,
            rows_of,
            tell=tell,
            is_stopped=lambda: stop.asked,
        )
    say(
        "{segmented} segmented, {skipped} done before, {failed} failed: {folder}",
        segmented=counts.segmented,
        skipped=counts.skipped,
        failed=counts.failed,
        folder=folder,
    )
    if stop.asked:
        raise KeyboardInterrupt
    return SOME_FAILED if counts.failed else 0


def _engine(arguments: argparse.Namespace, segmenter: Any) -> Any:
    """What gives the rows of inputs: this process, or a cluster."""
    if arguments.engine == "local":
        from modelscope_vitadapter.prediction.engine import segment_items

        return partial(segment_items, segmenter)
    from modelscope_vitadapter.prediction.ray_engine import Cluster, segment_on_cluster

    model = {name: getattr(arguments, name) for name in MODEL_OPTIONS}
    cluster = Cluster(
        arguments.workers,
        arguments.address,
        cpus=arguments.threads or 1,
        gpus=arguments.gpus_per_worker,
        model={**model, "threads": arguments.threads or 1},
    )
    return partial(segment_on_cluster, cluster)


def _check(arguments: argparse.Namespace) -> None:
    """Refuses values that can't be meant, before much is imported."""
    parse_dtype_name(arguments.dtype)
    parse_adapter_form(arguments.adapter_form)
    for name in ("frame_step", "threads", "batch_size", "max_pixels", "workers"):
        if getattr(arguments, name) is not None:
            parse_count(name, getattr(arguments, name))
    for name in ("threshold", "opacity"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"--{name} {value}: expected a share from 0 to 1")


def _progress(items: Any) -> Any:
    """A bar with images a second and the time left; nothing where output is piped."""
    from tqdm import tqdm

    return tqdm(
        total=len(items) if isinstance(items, list) else None,
        unit=translated("image"),
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )
