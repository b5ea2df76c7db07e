"""How much memory this package takes for large pictures, many windows and many classes.

Each case runs in a process of its own: load, one warm-up picture of one window, the picture.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.model_files import default_cache
from benchmarks.report import machine_line, markdown
from benchmarks.worker import OURS
from benchmarks.workers import Worker, own_side, run_to_end, tasks

PHOTO = (427, 640)
LARGE = (4000, 6000)
GEOMETRY = {"full": (896, 512, 3584), "small": (448, 256, 1792)}
"""Side of a window, step between windows and longest side of a picture, in pixels."""

WINDOWS = (1, 2, 4, 7)
MANY_CLASSES = "small-1000"


@dataclass(frozen=True)
class Case:
    """One picture `(height, width)` through the model of a size."""

    what: str
    size: str
    picture: tuple[int, int]
    options: tuple[tuple[str, str], ...] = ()


def cases(size: str) -> Iterator[Case]:
    """All cases of a model's size."""
    crop, stride, longest = GEOMETRY[size]
    yield Case("the photo", size, PHOTO)
    for count in WINDOWS:
        width = min(crop + (count - 1) * stride, longest)
        yield Case(f"{count} windows" if count > 1 else "1 window", size, (crop, width))
    yield Case("24 megapixels, mask_dtype=bool", size, LARGE, (("mask_dtype", "bool"),))
    crop, stride, _ = GEOMETRY["small"]
    for classes, model in ((171, "small"), (1000, MANY_CLASSES)):
        yield Case(f"small model, {classes} classes", model, (crop, crop + 3 * stride))


def measure(case: Case, helper: Worker, scratch: Path, options: Any) -> dict[str, Any]:
    """Runs a case.

    Returns:
        What the worker said of the picture, and `weight_bytes` of the model.
    """
    model = helper.ask("model", size=case.size, cache=str(options.cache))
    crop = GEOMETRY["full" if case.size == "full" else "small"][0]
    warm_up, picture = scratch / "warm-up.png", scratch / "picture.png"
    helper.ask("picture", path=str(warm_up), size=[crop, crop])
    helper.ask("picture", path=str(picture), size=list(case.picture))
    with own_side(case.what, threads=options.threads) as worker:
        worker.ask(
            "load",
            side=OURS,
            model_dir=model["directory"],
            threads=options.threads,
            dtype=options.dtype,
        )
        worker.ask("segment", picture=str(warm_up))
        measured = worker.ask("segment", picture=str(picture), options=dict(case.options))
    return {"weight_bytes": model["weight_bytes"], "picture": case.picture, **measured}


def table(results: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    rows = [("case", "picture", "windows", "s", "s / window", "peak", "- weights", "- masks")]
    for what, one in results["cases"].items():
        beyond = one["peak_bytes"] - one["weight_bytes"]
        left = beyond - one["returned_bytes"]
        windows, seconds = len(one["windows"]), one["wall_s"]
        rows.append(
            (
                what,
                "{} x {}".format(*one["picture"]),
                str(windows),
                f"{seconds:.2f}",
                f"{seconds / windows:.2f}",
                *(f"{bytes_ / 1e9:.2f}" for bytes_ in (one["peak_bytes"], beyond, left)),
            )
        )
    return markdown(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(description="Peak memory of this package, case by case.")
    parser.add_argument("--size", choices=tuple(GEOMETRY), default="full")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--json", type=Path, help="where the results are written, too")
    options = parser.parse_args(arguments)
    options.cache = options.cache.resolve()
    results: dict[str, Any] = {"machine": describe_machine(), "cases": {}}
    results["settings"] = {name: getattr(options, name) for name in ("size", "dtype", "threads")}

    def work() -> None:
        with (
            tempfile.TemporaryDirectory() as scratch,
            tasks(threads=options.threads) as helper,
        ):
            results["machine"] |= helper.ask("versions")
            for case in cases(options.size):
                print(case.what, file=sys.stderr, flush=True)
                results["cases"][case.what] = measure(case, helper, Path(scratch), options)
        print(
            f"{machine_line(results)}\n{options.size} model, {options.dtype}, {options.threads} "
            f"threads; GB, as peaks of the process, less the weights, less the masks returned\n\n"
            f"{table(results)}"
        )
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    return run_to_end(work)
