"""What each trick of `network/cpu` brings: time and peak memory of a window with it and without.

    python -m benchmarks.cpu_tricks > tricks.md               # the full-size model, 4 of 24 blocks
    python -m benchmarks.cpu_tricks --size small --repeats 1  # tries all tricks

A trick is switched off by putting its plain counterpart in its place, from outside
(`plain_counterparts.py`). For each trick a process alternates passes with it and without, so that
time is compared pairwise; peaks are those of processes that make one kind of pass only.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.machine import describe_machine
from benchmarks.model_files import model_config
from benchmarks.plain_counterparts import TRICKS
from benchmarks.random_weights import random_weight
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.network.build import build_network

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NONE = "none"
"""The name of the case in which every trick is on."""


BLOCKS = 4
"""Of the full-size model's 24, which are all alike."""


def build(options: argparse.Namespace) -> Callable[[], tuple[torch.Tensor, ...]]:
    """A function that makes a pass of the network, with seeded weights, over one window."""
    config = model_config(options.size)
    backbone = config["model"]["backbone"]
    backbone["depth"], backbone["interaction_indexes"] = BLOCKS, [[i, i] for i in range(BLOCKS)]
    settings = parse_model(config)
    with torch.device("meta"):
        network = build_network(settings).eval()
    state = {
        name: random_weight(name, tuple(value.shape)).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    height, width = settings.backbone.img_size
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    dtype = DTYPES[options.dtype]

    def run() -> tuple[torch.Tensor, ...]:
        reduced = dtype is not torch.float32
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=reduced):
            answer: tuple[torch.Tensor, ...] = network(image)
            return answer

    return run


@contextmanager
def without(trick: str) -> Iterator[None]:
    """Switches a trick off."""
    with ExitStack() as stack:
        for owner, name, replacement in () if trick == NONE else TRICKS[trick]():
            stack.enter_context(mock.patch.object(owner, name, replacement))
        yield


def measure_time(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds with a trick and without, pairwise, and how far the answers are apart."""
    run = build(options)
    on = run()
    with without(options.trick):
        off = run()
    error = max(float((a - b).norm() / b.norm()) for a, b in zip(on, off, strict=True))
    seconds: dict[str, list[float]] = {NONE: [], options.trick: []}
    for _ in range(options.repeats):
        for case, taken in seconds.items():
            with without(case):
                start = time.perf_counter()
                run()
                taken.append(time.perf_counter() - start)
    return {"on": seconds[NONE], "off": seconds[options.trick], "error": error}


def measure_peak(options: argparse.Namespace) -> dict[str, Any]:
    """The process's peak in bytes while it makes one pass; of Linux."""
    run = build(options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    with without(options.trick):
        run()
    status = Path("/proc/self/status").read_text()
    return {"peak": int(status.split("VmHWM:")[1].split()[0]) * 1024}


def child(options: argparse.Namespace, task: str, trick: str, dtype: str) -> dict[str, Any]:
    """Runs a task in a process of its own."""
    given = vars(options) | {"task": task, "trick": trick, "dtype": dtype}
    command = [sys.executable, "-m", "benchmarks.cpu_tricks", "--child", json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task} of {trick!r} in {dtype} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def report(options: argparse.Namespace) -> Iterator[str]:
    """The lines of the table, as they come."""
    yield f"`{json.dumps(describe_machine())}`, {torch.get_num_threads()} threads"
    yield f"\nThe {options.size} model with {BLOCKS} blocks, {options.repeats} pairs of passes.\n"
    yield "| trick | type | s with | s without | saves | GB with | GB without | saves | error |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for dtype in options.dtypes:
        with_all = child(options, "peak", NONE, dtype)["peak"]
        for trick in options.tricks or TRICKS:
            times = child(options, "time", trick, dtype)
            peak = child(options, "peak", trick, dtype)["peak"]
            on, off = statistics.median(times["on"]), statistics.median(times["off"])
            pairs = zip(times["on"], times["off"], strict=True)
            saved = statistics.median((without - both) / without for both, without in pairs)
            seconds = f"{on:.2f} | {off:.2f} | {saved:+.1%}"
            memory = f"{with_all / 1e9:.2f} | {peak / 1e9:.2f} | {(peak - with_all) / 1e9:+.2f}"
            yield f"| {trick} | {dtype} | {seconds} | {memory} | {times['error']:.0e} |"


def main() -> None:
    """Prints the table, or what one child found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of timed passes of a trick")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--tricks", nargs="+", choices=TRICKS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is None:
        for line in report(options):
            print(line, flush=True)
        return
    given = argparse.Namespace(**json.loads(options.child))
    tasks = {"time": measure_time, "peak": measure_peak}
    print(json.dumps(tasks[given.task](given)))


if __name__ == "__main__":
    main()
