"""Tries inputs in this process and reports on standard output, one JSON object a line.

Started by `campaign`; an input that hangs or ends the process is the one in `case` of the root.
"""

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path

from modelscope_vitadapter.logs import get_logger

SPARE_BYTES = 3 * 2**30
"""Address space beyond what the process takes at its start; what asks for more fails at once."""


def main(arguments=None):
    """Try inputs until the time is over or enough were tried."""
    options = parsed(arguments)
    lines, slowness = None, 3.0 if options.traced else 1.0
    if options.traced:
        from tests.fuzz.lines import Lines

        lines = Lines()
    from tests.fuzz.rounds import Rounds, warm_up

    root = Path(options.root).resolve()
    os.chdir(root)
    say = _quietly()
    kinds = [_kind(name) for name in options.kind]
    if lines is not None:
        lines.after_import()
    warm_up(root, kinds)
    _limit_memory()
    rounds = Rounds(
        root,
        failures=Path(options.failures),
        limit=options.limit * slowness,
        slowness=slowness,
        say=say,
    )
    end = time.monotonic() + options.seconds
    number = 0
    while time.monotonic() < end and number < options.rounds:
        for kind in kinds:
            if time.monotonic() < end:
                seed = None if options.seed is None else options.seed * 1_000_003 + number
                rounds.run(kind, seed, options.examples or kind.examples)
        number += 1
    say(event="end", lines={} if lines is None else lines.reached())


def parsed(arguments):
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.worker", description=__doc__)
    parser.add_argument("--root", required=True, help="directory in which inputs are written")
    parser.add_argument("--failures", required=True, help="directory where failures are kept")
    parser.add_argument("--kind", action="append", required=True)
    parser.add_argument("--seed", type=int, help="without it, the same inputs every time")
    parser.add_argument("--examples", type=int, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds until an input hangs")
    parser.add_argument("--traced", action="store_true", help="report the lines reached")
    return parser.parse_args(arguments)


def _kind(name):
    from tests.fuzz.kinds import KINDS
    from tests.fuzz.planted import PLANTED

    return {**KINDS, **PLANTED}[name]


def _quietly():
    """Keep standard output for reports; answer the function that writes one."""
    output = sys.stdout
    sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115, PTH123
    get_logger().propagate = False
    get_logger().addHandler(logging.NullHandler())

    def say(**report):
        output.write(json.dumps(report) + "\n")
        output.flush()

    return say


def _limit_memory():
    """Let a request for very much memory fail, where the platform can."""
    try:
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main()
