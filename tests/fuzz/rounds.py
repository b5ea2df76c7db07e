"""Rounds of inputs of one kind, each drawn and, where one fails, shrunk by hypothesis."""

import contextlib
import faulthandler
import json
import re
import time
import warnings
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

from tests.fuzz.checkpoint_bytes import BARE_ZIPPED
from tests.fuzz.oracle import DefectError, judge, write_files
from tests.fuzz.watch import watch

TINY = (Path(__file__).parents[2] / "examples" / "tiny_model" / "mmcv_config.py").read_bytes()
CASE_FILE = "case.json"
KIND_FILE = "kind.txt"
"""In the root: the kind that is being tried, for whoever finds the process ended."""


def warm_up(root, kinds):
    """Load something of each kind before anything is measured or watched."""
    warnings.simplefilter("ignore")  # torch's, on odd pickles
    (root / "secret.py").write_text("model = dict(stolen=1)\n", encoding="utf-8")
    watch()
    for files in ({"mmcv_config.py": TINY, "pytorch_model.pt": BARE_ZIPPED}, {}):
        write_files(root / "warm", files)
        for kind in kinds:
            with contextlib.suppress(Exception):
                kind.check(root / "warm", kind.load(root / "warm"))


def save(failures, kind, files, signature, detail):
    """Keep an input that failed, so that it can be tried again.

    Returns:
        The directory with its files and a `case.json` that says what it is.
    """
    slug = re.sub(r"[^\w.]+", "-", f"{kind} {signature}")[:100].strip("-")
    directory = Path(failures) / slug
    write_files(directory, {f"files/{name}": content for name, content in files.items()})
    case = {"kind": kind, "signature": signature, "detail": detail, "files": sorted(files)}
    (directory / CASE_FILE).write_text(json.dumps(case, indent=2) + "\n", encoding="utf-8")
    return directory


def known_signatures(failures):
    """Signatures of the failures that are kept in a directory, with their kinds."""
    cases = (
        json.loads(path.read_text(encoding="utf-8")) for path in failures.glob(f"*/{CASE_FILE}")
    )
    return {(case["kind"], case["signature"]) for case in cases}


def _size(files):
    return sum(len(name) + len(content) for name, content in files.items())


class Rounds:
    """Tries inputs and counts what became of them.

    Args:
        root: directory in which inputs are written.
        failures: directory where failing inputs are kept.
        limit: seconds of real time until an input counts as hanging and the process is ended.
        slowness: see `judge`.
        say: called with the fields of each report.
    """

    def __init__(self, root, *, failures, limit, slowness, say):
        self._root = root
        self._failures = failures
        self._limit = limit
        self._slowness = slowness
        self._say = say
        self._known = known_signatures(failures)

    def run(self, kind, seed, examples):
        """Draw and try `examples` inputs; the same ones each time where `seed` is None."""
        (self._root / KIND_FILE).write_text(kind.name, encoding="utf-8")
        counts = {"tried": 0, "loaded": 0, "refused": 0, "failed": 0, "seconds": 0.0, "grown": 0}
        smallest = {}

        def one(files):
            counts["tried"] += 1
            faulthandler.dump_traceback_later(self._limit, exit=True)
            try:
                verdict = judge(kind, files, self._root, slowness=self._slowness)
            except DefectError as failure:
                counts["failed"] += 1
                self._meet(kind, files, failure, smallest)
            else:
                counts[verdict.outcome] += 1
                counts["seconds"] = max(counts["seconds"], verdict.seconds)
                counts["grown"] = max(counts["grown"], verdict.grown)

        begin = time.monotonic()
        self._drawn(kind, seed, examples, one)
        faulthandler.cancel_dump_traceback_later()
        for (name, signature), (files, detail) in smallest.items():
            self._known.add((name, signature))
            directory = save(self._failures, name, files, signature, detail)
            self._say(event="failure", kind=name, signature=signature, directory=str(directory))
        self._say(event="round", kind=kind.name, took=time.monotonic() - begin, **counts)

    def _meet(self, kind, files, failure, smallest):
        key = (kind.name, failure.signature)
        if key in self._known:
            return
        if key not in smallest or _size(files) <= _size(smallest[key][0]):
            smallest[key] = (files, failure.detail)
        if not failure.costly:
            raise failure

    def _drawn(self, kind, seed, examples, one):
        test = settings(
            database=None,
            deadline=None,
            derandomize=seed is None,
            max_examples=examples,
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )(given(kind.files)(one))
        if seed is not None:
            test = seeded(seed)(test)
        try:
            test()
        except (DefectError, Flaky):
            return  # what failed was noted by `one`
