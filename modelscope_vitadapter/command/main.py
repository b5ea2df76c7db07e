"""The command `vitadapter`: chooses the subcommand, and turns errors into a line and an exit code.

A subcommand is a module of this folder with `HELP` (a line), `add_arguments(parser)` and
`run(arguments)`, which returns an exit code; it imports what it needs when it runs.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from modelscope_vitadapter.hints import on_command_line
from modelscope_vitadapter.version import __version__

SUBCOMMANDS = ("data", "evaluate", "train")
"""Names of modules of this folder."""

FAILED, INTERRUPTED = 2, 130
"""Exit codes: of any error, as argparse has it, and of Ctrl+C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand with these arguments, by default the process's; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks letters shows others
            stream.reconfigure(errors="replace")
    arguments = build_parser().parse_args(argv)
    try:
        with on_command_line():
            code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        code, text = INTERRUPTED, "stopped"
    except Exception as error:  # whatever it is, a user reads one line
        if arguments.traceback:
            raise
        code, text = FAILED, str(error).strip()
        if not text or not isinstance(error, ValueError | OSError):
            text = f"{type(error).__name__}: {text}"
    else:
        return code
    sys.stderr.write(f"vitadapter {arguments.subcommand}: {text}\n")
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="vitadapter",
        description="Evaluates and fine-tunes ViT-Adapter segmentation models of ModelScope.",
    )
    parser.add_argument("--version", action="version", version=f"vitadapter {__version__}")
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for name in SUBCOMMANDS:
        module = importlib.import_module(f"modelscope_vitadapter.command.{name}")
        subparser = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.add_argument(
            "--traceback", action="store_true", help="show where in the program an error came from"
        )
        subparser.set_defaults(run=module.run, subcommand=name)
    return parser
