"""The command `vitadapter`: chooses the subcommand, and turns errors into a line and an exit code.

A subcommand is a module of this folder with `HELP` (a line), `add_arguments(parser)` and
`run(arguments)`, which returns an exit code; it imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from modelscope_vitadapter.version import __version__

SUBCOMMANDS = ("evaluate", "train")
"""Names of modules of this folder."""

FAILED, INTERRUPTED = 2, 130
"""Exit codes: of any error, as argparse has it, and of Ctrl+C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        The exit code: 0, `FAILED` or `INTERRUPTED`.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks letters shows others
            stream.reconfigure(errors="replace")
    arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return _report(arguments, "stopped", INTERRUPTED)
    except Exception as error:  # whatever it is, a user reads one line
        if arguments.traceback:
            raise
        return _report(arguments, _message(error), FAILED)
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
        module: ModuleType = importlib.import_module(f"modelscope_vitadapter.command.{name}")
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


def _message(error: Exception) -> str:
    text = str(error).strip()
    return (
        text
        if text and isinstance(error, ValueError | OSError)
        else (f"{type(error).__name__}: {text}")
    )


def _report(arguments: argparse.Namespace, text: str, code: int) -> int:
    sys.stderr.write(f"vitadapter {arguments.subcommand}: {text}\n")
    return code
