"""The same command line below ModelScope's own: `modelscope vitadapter predict ...`."""

import sys
from typing import Any

from modelscope_vitadapter.command import language
from modelscope_vitadapter.command.main import DESCRIPTION, add_subcommands, run


class VitAdapterCommand:
    """A command of the entry point group `modelscope_hub.cli_plugins`, as its loader wants it."""

    name = "vitadapter"

    def __init__(self, args: Any) -> None:
        self.args = args

    @staticmethod
    def register(subparsers: Any) -> None:
        """Adds the parser; its own subcommands are those of `vitadapter`."""
        parser = subparsers.add_parser(
            VitAdapterCommand.name, help="segment images with ViT-Adapter", description=DESCRIPTION
        )
        add_subcommands(parser)
        parser.set_defaults(_command=VitAdapterCommand)

    def execute(self) -> None:
        """Runs the subcommand, and ends with its exit code."""
        language.choose(self.args.language)
        code = run(self.args)
        if code:
            sys.exit(code)
