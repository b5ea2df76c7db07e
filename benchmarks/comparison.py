"""The comparison with the built-in model: who is started when, asked what, in which order."""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.agreement import compare_logits
from benchmarks.builtin_env import environment_python
from benchmarks.machine import available_memory, describe_machine
from benchmarks.model_files import CHECKPOINT, default_cache
from benchmarks.report import FLOAT32, SHARED_MASKS, summarise, tables
from benchmarks.worker import BUILTIN, OURS
from benchmarks.workers import (
    ROOT,
    Worker,
    builtin_side,
    own_side,
    run_to_end,
    tasks,
)

PHOTO_SIZE = (427, 640)
LOADS = 3
IMPORTS = 5
BUSY = 0.5
"""Load average from which on the machine is not idle: figures are then worth little."""

PAUSE_S = 0.5
"""Between two sides' turns: threads that wait actively for work give up long before."""

MEMORY = {"full": (10e9, 5e9), "small": (2e9, 1.5e9)}
"""Bytes that the built-in model and this package are reckoned with, to decide who may be loaded at
the same time."""

IMPORT_ALONE = (
    f"import sys; sys.path += {[str(ROOT), sysconfig.get_path('purelib')]!r}; "
    "import time; t = time.perf_counter(); import modelscope_vitadapter; "
    "print(time.perf_counter() - t)"
)
"""To be run with `-S`: otherwise the package's `.pth` file has imported it when Python starts."""


@dataclass
class Run:
    """What every step needs; `results` is what becomes the JSON."""

    options: argparse.Namespace
    results: dict[str, Any]
    scratch: Path
    model_dir: Path = Path()
    picture: Path = Path()

    def say(self, text: str) -> None:
        """Tells whoever waits what goes on."""
        print(text, file=sys.stderr, flush=True)

    @property
    def sides(self) -> dict[str, dict[str, Any]]:
        """Measurements by side."""
        sides: dict[str, dict[str, Any]] = self.results["sides"]
        return sides


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line.

    Raises:
        SystemExit: something is wrong with it; the message says what.
    """
    parser = argparse.ArgumentParser(
        description="Compares this package's speed, memory and answers with the built-in model's."
    )
    add = parser.add_argument
    add("--builtin-env", type=Path, help="folder that builtin_env.py made; in the cache by default")
    add("--size", choices=("full", "small"), default="full", help="size of the model")
    add("--pictures", type=int, default=3, help="measured pictures per side (default: 3)")
    add("--threads", type=int, default=2, help="of either side (default: 2)")
    add("--dtypes", default="float32,bfloat16", help="of this package (default: both)")
    add("--photo", type=Path, help="a picture; by default the tests' photo, enlarged")
    add("--cache", type=Path, default=default_cache(), help="where the model is kept")
    add("--json", type=Path, help="where the results are written, too")
    add("--profile", action="store_true", help="also time by stage, in one more picture")
    add("--only", choices=(OURS, BUILTIN), help="measure one side only")
    options = parser.parse_args(arguments)
    options.dtypes = options.dtypes.split(",")
    unknown = set(options.dtypes) - {"float32", "bfloat16", "float16"}
    if unknown or len(set(options.dtypes)) < len(options.dtypes):
        parser.error(f"--dtypes {','.join(options.dtypes)}: give float32, bfloat16 or both")
    if options.pictures < 1 or options.threads < 1:
        parser.error("--pictures and --threads must be at least 1")
    if options.photo is not None and not options.photo.is_file():
        parser.error(f"--photo {options.photo}: there is no such file")
    options.cache = options.cache.resolve()
    environment = (options.builtin_env or options.cache / "builtin-env").absolute()
    options.builtin_python = environment_python(environment)
    if options.only != OURS and not options.builtin_python.exists():
        parser.error(
            f"{environment} holds no environment with the built-in model: make it once with "
            f"`python benchmarks/builtin_env.py {environment}` (3 minutes, 3 GB), name another "
            "with --builtin-env, or measure this package alone with --only ours"
        )
    return options


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the whole comparison.

    Returns:
        What is written as JSON.

    Raises:
        WorkerError: a side failed.
    """
    results: dict[str, Any] = {"machine": describe_machine(), "sides": {}, "agreement": {}}
    settings = ("size", "pictures", "threads", "dtypes", "only")
    results["settings"] = {name: getattr(options, name) for name in settings}
    load = results["machine"]["load_average"]
    if load is not None and load > BUSY:
        print(
            f"warning: the load average is {load:.2f}: something else runs here, so the times "
            "below say little",
            file=sys.stderr,
        )
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(options, results, scratch)
        helper = stack.enter_context(tasks(threads=options.threads))
        _prepare(run, helper)
        own_dtypes = [] if options.only == BUILTIN else options.dtypes
        if own_dtypes:
            _measure_loading(run, helper)
        builtin: Worker | None = None
        for dtypes in _groups(run, own_dtypes):
            with contextlib.ExitStack() as group:
                workers = {}
                for dtype in dtypes:
                    name = f"{OURS} {dtype}"
                    worker = group.enter_context(own_side(name, threads=options.threads))
                    workers[name] = worker
                    _start(run, name, worker, side=OURS, dtype=dtype)
                if own_dtypes and "roofline" not in results:
                    _measure_roofline(run, helper)
                    helper.close()
                if options.only != OURS:
                    if builtin is None:
                        builtin = stack.enter_context(
                            builtin_side(options.builtin_python, threads=options.threads)
                        )
                        _start(run, BUILTIN, builtin, side=BUILTIN, dtype="float32")
                    workers[BUILTIN] = builtin
                _take_turns(run, workers)
                _examine(run, workers)
        _compare_answers(run)
    results["summary"] = summarise(results)
    return results


def _prepare(run: Run, helper: Worker) -> None:
    options = run.options
    run.say(f"model: {options.size}, in {options.cache} (written once)")
    model = helper.ask("model", size=options.size, cache=str(options.cache))
    run.model_dir = Path(model["directory"])
    run.picture = run.scratch / "picture.png"
    size = None if options.photo else list(PHOTO_SIZE)
    source = str(options.photo.resolve()) if options.photo else None
    what = helper.ask("picture", path=str(run.picture), size=size, source=source)["what"]
    run.results["machine"] |= helper.ask("versions")
    run.results["settings"]["picture"] = what
    run.results["model"] = {
        "weight_bytes": model["weight_bytes"],
        "checkpoint_bytes": (run.model_dir / CHECKPOINT).stat().st_size,
    }


def _groups(run: Run, own_dtypes: list[str]) -> list[list[str]]:
    """Which types are measured in one alternation: all of them, where memory allows it."""
    builtin, own = MEMORY[run.options.size]
    needed = len(own_dtypes) * own + (builtin if run.options.only != OURS else 0)
    free = available_memory()
    together = len(own_dtypes) < 2 or (free is not None and free > needed)
    run.results["settings"]["alternation"] = "all together" if together else "one type at a time"
    return [own_dtypes] if together else [[dtype] for dtype in own_dtypes]


def _measure_loading(run: Run, helper: Worker) -> None:
    """Loads the model in processes of their own, alternating with reading the same bytes."""
    checkpoint, dtype = str(run.model_dir / CHECKPOINT), run.options.dtypes[0]
    loading: dict[str, Any] = {"reads": [], "loads": []}
    helper.ask("read", checkpoint=checkpoint)  # warms the file cache
    for i in range(LOADS):
        # In a process of its own: one that has read before has memory that is not fresh any more.
        with tasks(threads=run.options.threads) as reader:
            loading["reads"].append(reader.ask("read", checkpoint=checkpoint))
        with own_side(f"load {i}", threads=run.options.threads) as worker:
            loading["loads"].append(_load(run, worker, side=OURS, dtype=dtype))
    command = [sys.executable, "-S", "-c", IMPORT_ALONE]
    alone = [
        float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(IMPORTS)
    ]
    loading["import_alone_s"] = statistics.median(alone)
    run.results["loading"] = loading


def _load(run: Run, worker: Worker, *, side: str, dtype: str) -> dict[str, Any]:
    return worker.ask(
        "load",
        side=side,
        model_dir=str(run.model_dir),
        threads=run.options.threads,
        dtype=dtype,
    )


def _start(run: Run, name: str, worker: Worker, *, side: str, dtype: str) -> None:
    """Loads a side and lets it segment its first picture, which is counted apart."""
    run.say(f"{name}: load")
    measured = run.sides[name] = _load(run, worker, side=side, dtype=dtype)
    measured["first"] = worker.ask("segment", picture=str(run.picture))
    measured["pictures"] = []
    run.say(f"{name}: first picture {measured['first']['wall_s']:.2f} s")


def _measure_roofline(run: Run, helper: Worker) -> None:
    run.say("roofline: operations and rates")
    first = next(iter(run.sides.values()))["first"]
    run.results["roofline"] = helper.ask(
        "roofline",
        size=run.options.size,
        windows=first["windows"],
        dtypes=run.options.dtypes,
        threads=run.options.threads,
    )


def _take_turns(run: Run, workers: dict[str, Worker]) -> None:
    for i in range(run.options.pictures):
        for name, worker in workers.items():
            time.sleep(PAUSE_S)
            answer = worker.ask("segment", picture=str(run.picture))
            run.sides[name]["pictures"].append(answer)
            run.say(f"{name}: picture {i + 1} of {run.options.pictures}: {answer['wall_s']:.2f} s")


def _examine(run: Run, workers: dict[str, Worker]) -> None:
    """Takes logits and profiles in further pictures, which are not timed."""
    for name, worker in workers.items():
        if not _logits_file(run, name).exists():
            run.say(f"{name}: logits")
            worker.ask("logits", picture=str(run.picture), out=str(_logits_file(run, name)))
        if run.options.profile and name != BUILTIN:
            run.say(f"{name}: profile")
            profile = worker.ask("profile", picture=str(run.picture))
            run.results.setdefault("profile", {})[name] = profile
    if BUILTIN in workers and FLOAT32 in workers:
        run.say(f"{FLOAT32}: logits with the built-in model's attention masks")
        shared, masks = (_logits_file(run, name) for name in (SHARED_MASKS, BUILTIN))
        workers[FLOAT32].ask("logits", picture=str(run.picture), out=str(shared), masks=str(masks))
        run.results["agreement"].setdefault(FLOAT32, {})[SHARED_MASKS] = compare_logits(
            shared, masks
        )


def _logits_file(run: Run, name: str) -> Path:
    return run.scratch / f"{name.replace(' ', '-')}.npz"


def _compare_answers(run: Run) -> None:
    for found, expected in _pairs_to_compare(run.sides):
        files = _logits_file(run, found), _logits_file(run, expected)
        run.results["agreement"].setdefault(found, {})[expected] = compare_logits(*files)


def _pairs_to_compare(sides: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every side of this package with the built-in one, and other types with float32."""
    for name in sides:
        if name != BUILTIN and BUILTIN in sides:
            yield name, BUILTIN
        if name not in (BUILTIN, FLOAT32) and FLOAT32 in sides:
            yield name, FLOAT32


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit status."""
    options = parse(arguments)

    def work() -> None:
        results = compare(options)
        print(tables(results))
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    return run_to_end(work)
