"""Keeps workers going: reads their reports, notes those that hang or end, adds everything up."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.lines import merged
from tests.fuzz.rounds import KIND_FILE, save

ROOT = Path(__file__).parents[2]
TRACED_EVERY = 4
"""One worker in so many reports the lines reached, and is slower for it."""


@dataclass
class Tally:
    """What became of the inputs.

    Attributes:
        counts: by kind: inputs tried, loaded, refused, failed; the most seconds and bytes of one.
        failures: distinct failures: kind, signature and the directory of the input.
        reports: lines reached, of each traced worker.
        workers: processes that were started.
        seconds: real time that all took.
    """

    counts: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    reports: list[dict[str, list]] = field(default_factory=list)
    workers: int = 0
    seconds: float = 0.0

    def add(self, report):
        """Take one line of a worker."""
        if report["event"] == "failure":
            self.failures.append({key: report[key] for key in ("kind", "signature", "directory")})
        elif report["event"] == "end":
            self.reports += [report["lines"]] if report["lines"] else []
        else:
            before = self.counts.setdefault(report["kind"], {})
            for name in ("tried", "loaded", "refused", "failed", "took"):
                before[name] = before.get(name, 0) + report[name]
            for name in ("seconds", "grown"):
                before[name] = max(before.get(name, 0), report[name])

    def total(self, name):
        """The sum of a count over all kinds."""
        return sum(counts.get(name, 0) for counts in self.counts.values())

    @property
    def lines(self):
        """By file: counted lines, and how many of them were reached."""
        return merged(self.reports)


class WorkerError(RuntimeError):
    """A worker ends for a reason of its own."""


def run_worker(tally, kinds, failures, *, seed=None, traced=False, notify=None, **options):
    """Run one worker to its end, and note where an input ended it.

    Args:
        tally: a `Tally`, added to.
        kinds: names of kinds.
        failures: directory where failing inputs are kept.
        seed: of the inputs; None for the same ones each time.
        traced: whether the lines reached are reported.
        notify: called without arguments after each report.
        **options: of the worker, see its help: `examples`, `rounds`, `seconds`, `limit`.

    Raises:
        WorkerError: it ended, and not at an input.
    """
    failures = Path(failures).resolve()
    failures.mkdir(parents=True, exist_ok=True)
    tally.workers += 1
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as root:
        command = [sys.executable, "-m", "tests.fuzz.worker"]
        command += ["--root", root, "--failures", str(failures)]
        command += [part for name in kinds for part in ("--kind", name)]
        command += [] if seed is None else ["--seed", str(seed)]
        command += ["--traced"] if traced else []
        for name, value in options.items():
            command += [] if value is None else [f"--{name}", str(value)]
        errors = Path(root) / "errors.txt"
        ended = False
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=stream
            )
            with process:
                for line in process.stdout:
                    report = json.loads(line)
                    ended = report["event"] == "end"
                    tally.add(report)
                    if notify is not None:
                        notify()
        if not ended:
            said = errors.read_text(encoding="utf-8", errors="replace")
            _note_end(tally, kinds, failures, Path(root), process.returncode, said)
    tally.seconds += time.monotonic() - begin


def _environment():
    """The environment of a worker: the same order of sets each time, few threads, no network."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("COV_")},
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "2",
    }


def _note_end(tally, kinds, failures, root, code, said):
    """Keep the input at which a worker hung or ended."""
    case = root / "case"
    hung = "Timeout (" in said
    if not case.is_dir() or (code == 1 and not hung):
        raise WorkerError(f"The worker ended with status {code}:\n{said[-4000:]}")
    files = {
        path.relative_to(case).as_posix(): path.read_bytes()
        for path in sorted(case.rglob("*"))
        if path.is_file()
    }
    frames = re.findall(r'File ".*?modelscope_vitadapter[\\/](.*?)", line \d+ in (\w+)', said)
    place = f" in {frames[0][0]} {frames[0][1]}" if frames else ""
    signature = f"hang{place}" if hung else f"process ended with status {code}{place}"
    kind = _kind_of(root, kinds)
    directory = save(failures, kind, files, signature, said[-4000:])
    if not any(each["directory"] == str(directory) for each in tally.failures):
        failure = {"kind": kind, "signature": signature, "directory": str(directory)}
        tally.failures.append(failure)
    counts = tally.counts.setdefault(kind, {})
    for name in ("tried", "failed"):
        counts[name] = counts.get(name, 0) + 1


def _kind_of(root, kinds):
    path = root / KIND_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else kinds[0]
