"""The command `vitadapter`: chooses the subcommand, and turns errors into a line and an exit code.

A subcommand is a module of this folder with `HELP` (a line), `add_arguments(parser)` and
`run(arguments)`, which returns an exit code; it imports what it needs when it runs.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from modelscope_vitadapter.command import language
from modelscope_vitadapter.command.language import translated
from modelscope_vitadapter.errors import VitAdapterError
from modelscope_vitadapter.hints import on_command_line
from modelscope_vitadapter.version import __version__

SUBCOMMANDS = ("predict", "info", "data", "evaluate", "train")
"""Names of modules of this folder."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: of an error, of options that can't be meant, as argparse has it, and of Ctrl+C."""

DESCRIPTION = (
    "Segments images with ViT-Adapter models of ModelScope; evaluates and fine-tunes them."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand with these arguments, by default the process's; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks letters shows others
            stream.reconfigure(errors="replace")
    language.choose(_language_in(sys.argv[1:] if argv is None else argv))
    parser = argparse.ArgumentParser(prog="vitadapter", description=translated(DESCRIPTION))
    parser.add_argument("--version", action="version", version=f"vitadapter {__version__}")
    add_subcommands(parser)
    with suppress(ImportError):  # optional: pip install modelscope-vitadapter[completion]
        import shtab

        shtab.add_argument_to(parser, "--print-completion")
    return run(parser.parse_args(argv))


def _language_in(arguments: Sequence[str]) -> str | None:
    """The language that is asked for; the parsers themselves are written in it."""
    for number, one in enumerate(arguments):
        name, _, value = one.partition("=")
        if name == "--language":
            value = value or "".join(arguments[number + 1 : number + 2])
            return value if value in language.LANGUAGES else None
    return None


def add_subcommands(parser: argparse.ArgumentParser) -> None:
    """Adds the parsers of all subcommands."""
    subparsers = parser.add_subparsers(
        title=translated("subcommands"), metavar="SUBCOMMAND", required=True
    )
    for name in SUBCOMMANDS:
        module = importlib.import_module(f"modelscope_vitadapter.command.{name}")
        subparser = subparsers.add_parser(
            name,
            help=translated(module.HELP),
            description="\n\n".join(map(translated, (module.__doc__ or "").split("\n\n"))),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        text = "show where in the program an error came from"
        subparser.add_argument("--traceback", action="store_true", help=text)
        text = "of help and messages: en or zh; default: that of the system"
        subparser.add_argument("--language", choices=language.LANGUAGES, help=text)
        for action in subparser._actions:
            action.help = action.help and translated(action.help)
        for group in subparser._action_groups:
            group.title = group.title and translated(group.title)
        subparser.set_defaults(run=module.run, subcommand=name)


def run(arguments: Any) -> int:
    """Runs the subcommand of parsed arguments; returns its exit code."""
    try:
        with on_command_line():
            code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        code, text = INTERRUPTED, translated("stopped")
    except Exception as error:  # whatever it is, a user reads one line
        if arguments.traceback:
            raise
        is_usage = isinstance(error, ValueError) and not isinstance(error, VitAdapterError)
        code, text = USAGE if is_usage else FAILED, str(error).strip()
        if not text or not isinstance(error, ValueError | OSError):
            text = f"{type(error).__name__}: {text}"
    else:
        return code
    sys.stderr.write(f"vitadapter {arguments.subcommand}: {text}\n")
    return code
