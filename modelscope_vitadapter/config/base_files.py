"""Reads a config file and the files that it names in `_base_`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

from modelscope_vitadapter.config.dependencies import Dependencies
from modelscope_vitadapter.config.limits import (
    MAX_BASE_DEPTH,
    MAX_FILES,
    Budget,
    RefusedValueError,
    WorkExceededError,
)
from modelscope_vitadapter.config.merging import merge
from modelscope_vitadapter.config.scanning import BASE_KEY, Statement, summarise
from modelscope_vitadapter.config.source import Source, refusal
from modelscope_vitadapter.config.statements import Runner
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.config.values import BaseDict, as_base_value

MAX_PATH = 1000
"""Characters of a `_base_` entry."""


class FileReader:
    """Reads the files of one config, all inside one directory and within one budget.

    Args:
        directory: The model directory; `_base_` files must lie in it.
        budget: Pays for what all files evaluate.
    """

    def __init__(self, directory: Path, budget: Budget) -> None:
        self._directory = directory.resolve()
        self._budget = budget

    def read(
        self, path: Path, names: Iterable[str], chain: tuple[Path, ...] = ()
    ) -> dict[str, Any]:
        """Values of names of a file, merged with those of its base files.

        Args:
            path: The file, absolute.
            names: Which names to evaluate.
            chain: The files that led here, resolved.

        Returns:
            The values of those of `names` that are defined and of the names that they are made of;
            some may be `Unreadable`.

        Raises:
            ConfigNotFoundError: The file or one of its base files does not exist.
            ConfigError: A file can't be parsed, names a file outside the directory, itself or too
                many files, or two base files define the same name.
        """
        self._budget.files -= 1
        if self._budget.files < 0 or len(chain) > MAX_BASE_DEPTH:
            problem = f"more than {MAX_FILES} files, or more than {MAX_BASE_DEPTH} in a chain"
            raise refusal(str(path), problem, "Put them together into fewer files.")
        source = Source(path, self._budget)
        statements = summarise(source.tree, source.templates)
        dependencies = Dependencies(statements, names)
        counting = [each for each in statements if dependencies.concerns(each)]
        base = self._read_bases(
            source,
            statements,
            names={*names}.union(*(each.base_names for each in counting)),
            chain=(*chain, path.resolve()),
        )
        values = Runner(source, dependencies, self._budget, base).run(statements)
        own = {
            name: value
            for name, value in values.items()
            if name in dependencies.wanted and name != BASE_KEY and not name.startswith("__")
        }
        if base is None:
            return own
        merged_base = values[BASE_KEY]
        if isinstance(merged_base, Unreadable):
            raise merged_base.error
        try:
            return merge(own, merged_base, place=str(path), budget=self._budget)
        except WorkExceededError:
            raise refusal(str(path), "merging it takes too much work", "Simplify it.") from None

    def _read_bases(
        self,
        source: Source,
        statements: list[Statement],
        names: set[str],
        chain: tuple[Path, ...],
    ) -> dict[str, Any] | None:
        """Values of names of all base files, None where the file has no `_base_`."""
        # Later statements that change _base_.x mean the values of the base files.
        last = max((i for i, each in enumerate(statements) if BASE_KEY in each.binds), default=-1)
        statements = statements[: last + 1]
        dependencies = Dependencies(statements, [BASE_KEY])
        found = Runner(source, dependencies, self._budget).run(statements).get(BASE_KEY)
        if isinstance(found, Unreadable):
            raise found.error
        if found is None:
            return None
        entries = list(found) if isinstance(found, list | tuple) else [found]
        base = BaseDict()
        for entry in entries:
            try:
                path = self._locate(entry, source.path.parent, chain)
            except ValueError as error:
                remedy = "Name a .py file of the model directory, relative to this file."
                raise source.refusal(statements[-1].node, str(error), remedy) from None
            values = self.read(path, names, chain)
            twice = sorted(base.keys() & values.keys())
            if twice:
                problem = f"{entry!r} and another _base_ file both define {', '.join(twice)}"
                remedy = "Define each name in one of them."
                raise source.refusal(statements[-1].node, problem, remedy)
            base.update({name: self._apart(value, path) for name, value in values.items()})
        return base

    def _apart(self, value: Any, path: Path) -> Any:
        """A value of a base file as mmengine hands it on, see `as_base_value`."""
        try:
            return as_base_value(value, self._budget)
        except RefusedValueError as error:
            return Unreadable(str(refusal(str(path), str(error), "Simplify it.")))

    def _locate(self, entry: Any, directory: Path, chain: tuple[Path, ...]) -> Path:
        """The path that a `_base_` entry means, once it is known to be inside the directory.

        Raises:
            ValueError: It isn't, or names a file that is being read; the message says which.
        """
        if not isinstance(entry, str):
            raise ValueError(f"{type(entry).__name__} is no path")
        shown = repr(entry[:100])
        if len(entry) > MAX_PATH:
            raise ValueError(f"{shown}… is too long for a path")
        if "::" in entry or Path(entry).is_absolute() or PureWindowsPath(entry).anchor:
            raise ValueError(f"{shown} is not relative to the file")
        path = Path(os.path.normpath(directory / entry))
        try:
            resolved = path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{shown} is no path ({error})") from None
        if not resolved.is_relative_to(self._directory):
            raise ValueError(f"{shown} lies outside the model directory")
        if resolved in chain:
            raise ValueError(f"{shown} leads back to a file that is being read")
        if path.suffix != ".py":
            raise ValueError(f"{shown} is no Python file")
        return path
