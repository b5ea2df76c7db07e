"""Options of a call of the pipeline, sorted by what they are for, and checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.inference.results import parse_mask_dtype, parse_output
from modelscope_vitadapter.inference.wanted import Wanted, names_array

SERVER_OPTIONS = ("min_size", "max_size", "score_thr")
"""What ModelScope's server offers for this task; none of it has a meaning for semantic masks."""

READ_OPTIONS = tuple(one.name for one in fields(ReadOptions))

WANTED_OPTIONS = ("confidence", "top_k", "probabilities", "threshold", "ignore_id")

EXPECTED = (
    *("mask_dtype", "output", *WANTED_OPTIONS, *READ_OPTIONS),
    *("batch_size", "on_error", "frame_step"),
)
"""All that a call takes."""


@dataclass(frozen=True)
class CallOptions:
    """Options of one call."""

    read: ReadOptions
    wanted: Wanted
    postprocessing: Mapping[str, Any]
    """Arguments of the model's `postprocess`."""
    folder: Path | None = None
    """Where each of several inputs gets a file of its class probabilities."""

    @classmethod
    def parse(
        cls, given: Mapping[str, Any], defaults: ReadOptions, num_classes: int, *, several: bool
    ) -> "CallOptions":
        """Reads options, so that none is taken for the fault of the first input.

        Args:
            given: by name; None is the default.
            defaults: of those about reading.
            num_classes: of the model.
            several: whether the call is for more inputs than one.

        Raises:
            TypeError: one has an unknown name.
            ValueError: one has a value that is not allowed.
        """
        options = {name: value for name, value in given.items() if name not in SERVER_OPTIONS}
        unknown = sorted(set(options) - set(EXPECTED))
        if unknown:
            raise TypeError(
                f"unknown call option {unknown[0]!r}: expected {', '.join(EXPECTED[:-1])} or "
                f"{EXPECTED[-1]}"
            )
        options = {name: value for name, value in options.items() if value is not None}
        read = changed(defaults, {name: options.pop(name, None) for name in READ_OPTIONS})
        asked = {name: options.pop(name) for name in WANTED_OPTIONS if name in options}
        parse_mask_dtype(options.get("mask_dtype"))
        where, folder = asked.pop("probabilities", False), None
        output = parse_output(options.get("output", "masks" if where is False else "probabilities"))
        if several and not isinstance(where, bool):
            is_path = isinstance(where, str | os.PathLike) and str(where) != ""
            if not is_path or names_array(where):
                raise ValueError(
                    f"probabilities={where!r}: expected a folder, in which each of several inputs "
                    "gets a file"
                )
            folder, where = Path(where), True
        asked["probabilities"] = output == "probabilities" if where is False else where
        wanted = Wanted(**asked).checked(num_classes)
        return cls(read, wanted, {**options, "output": output}, folder)

    def wanted_of(self, indices: list[int]) -> Wanted:
        """What is wanted of inputs whose places in the list or data set are `indices`."""
        folder = self.folder
        if folder is None:
            return self.wanted
        return replace(
            self.wanted, probabilities=lambda number: folder / f"{indices[number]:06d}.npy"
        )


def changed(options: ReadOptions, given: Mapping[str, Any]) -> ReadOptions:
    """Options of which some are replaced, where a value is given."""
    return replace(options, **{name: value for name, value in given.items() if value is not None})
