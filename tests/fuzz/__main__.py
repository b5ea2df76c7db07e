"""The long run: `python -m tests.fuzz --minutes 30`; ends with status 1 where anything failed."""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import TRACED_EVERY, Tally, run_worker
from tests.fuzz.report import as_json, status_line, tables

DEFAULT_FAILURES = Path("build") / "fuzz-failures"


def main(arguments=None):
    """Run workers until the time is over; print a line a minute and the tables at the end."""
    options = parsed(arguments)
    if options.replay is not None:
        return _replay(options.replay)
    from tests.fuzz.kinds import KINDS

    kinds = options.kind or list(KINDS)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        sys.exit(f"There is no kind of input {', '.join(unknown)}; there are {', '.join(KINDS)}.")
    seed = random.randrange(2**31) if options.seed is None else options.seed
    _print(f"seed {seed}, {options.minutes:g} minutes; failing inputs go to {options.failures}")
    tally = Tally()
    begin = time.monotonic()
    end = begin + 60 * options.minutes
    told = begin

    def notify():
        nonlocal told
        if time.monotonic() - told >= 60:
            told = time.monotonic()
            _print(status_line(tally, told - begin))

    while time.monotonic() < end:
        run_worker(
            tally,
            kinds,
            options.failures,
            seed=seed + tally.workers,
            traced=tally.workers % TRACED_EVERY == 0,
            notify=notify,
            examples=options.examples,
            rounds=options.rounds,
            seconds=max(1.0, end - time.monotonic()),
        )
    _print(tables(tally))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(tally, seed), indent=2) + "\n", encoding="utf-8")
    return 1 if tally.failures else 0


def parsed(arguments):
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, help="of the inputs; another one each time by default")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--failures", type=Path, default=DEFAULT_FAILURES)
    parser.add_argument("--kind", action="append", help="try these kinds only")
    parser.add_argument("--examples", type=int, default=200, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=3, help="until a new process is started")
    parser.add_argument("--replay", type=Path, help="try one kept input again")
    return parser.parse_args(arguments)


def _replay(directory):
    """Try one kept input again, in this process."""
    import tempfile

    from tests.fuzz.kinds import KINDS
    from tests.fuzz.oracle import DefectError, judge
    from tests.fuzz.rounds import CASE_FILE, warm_up

    case = json.loads((directory / CASE_FILE).read_text(encoding="utf-8"))
    kind = KINDS[case["kind"]]
    files = {
        name: b"" if name.endswith("/") else (directory / "files" / name).read_bytes()
        for name in case["files"]
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        warm_up(Path(root), [kind])
        try:
            verdict = judge(kind, files, root)
        except DefectError as failure:
            _print(str(failure))
            return 1
    _print(f"{verdict.outcome}, {verdict.seconds:.2f} s, {verdict.grown / 2**20:.0f} MiB")
    return 0


def _print(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
