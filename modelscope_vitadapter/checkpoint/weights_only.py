"""`torch.load(weights_only=True)` with a small, scoped addition, and errors that name the cause.

mmcv stores training information under `meta`, with numpy numbers in it. Their pickles call
`numpy.dtype` and `numpy.core.multiarray.scalar` (numpy 1) or `numpy._core.multiarray.scalar`
(numpy 2). While a checkpoint is read, these names stand for a class that does nothing: `meta` is
not used, so no numpy function needs to run on what a file says.
"""

from __future__ import annotations

import contextlib
import pickletools
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch

from modelscope_vitadapter.errors import CheckpointError

NUMPY_NAMES = (
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)
"""Names that may occur in a checkpoint beyond those that torch allows."""

_HARMLESS = re.compile(
    r"torch(\._utils\._rebuild_\w+|\._tensor\._rebuild_from_type_v2|\.serialization\._get_layout"
    r"|\.\w*(Storage|Tensor)|\.storage\.\w+Storage|\.nn\.parameter\.Parameter"
    r"|\.(Size|device|per_\w+|b?float\d*|u?int\d*|bool|complex\d*))"
    r"|collections\.(OrderedDict|Counter)|builtins\.(set|bytearray|complex)|_codecs\.encode"
)
_REFUSED_BY_TORCH = re.compile(r"GLOBAL (\S+?),? (?:was not an allowed|whose module)")
# torch writes a file in its old format as five pickles, followed by the data.
_PICKLES_PER_FILE = 5

# torch keeps one list of allowed names for the whole process.
_lock = threading.Lock()


class _Ignored:
    """Stands for a numpy dtype or number: takes whatever the pickle passes and keeps nothing."""

    __slots__ = ()

    def __new__(cls, *_: object) -> _Ignored:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


@contextlib.contextmanager
def _numpy_names_allowed() -> Iterator[None]:
    """Let `NUMPY_NAMES` stand for `_Ignored`, and leave the process's list as it was."""
    with _lock:
        before = torch.serialization.get_safe_globals()
        # Real numpy functions that the program allowed for itself would be mixed with ours.
        clashing = [entry for entry in before if _allowed_name(entry) in NUMPY_NAMES]
        if clashing:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals([e for e in before if e not in clashing])
        try:
            with torch.serialization.safe_globals([(_Ignored, name) for name in NUMPY_NAMES]):
                yield
        finally:
            if clashing:
                torch.serialization.add_safe_globals(clashing)


def _allowed_name(entry: object) -> str:
    if isinstance(entry, tuple):
        return str(entry[1])
    return f"{getattr(entry, '__module__', '')}.{getattr(entry, '__qualname__', '')}"


def load_weights_only(
    file: BinaryIO, path: Path, *, map_location: str, pickle_start: int = 0
) -> object:
    """Unpickle what `torch.save` wrote; run none of the code that a pickle can hold.

    Args:
        file: the checkpoint, or a stand-in for it, at its start.
        path: the checkpoint, named in errors.
        map_location: device of the tensors.
        pickle_start: first byte of the pickle in `file`; it is looked at when loading fails.

    Returns:
        The object that was saved. numpy numbers in it are replaced by an empty object.

    Raises:
        CheckpointError: the pickle asks for anything but tensors, containers, plain values and
            numpy numbers (named in the error), or is damaged.
    """
    try:
        with _numpy_names_allowed():
            # mmap is given explicitly because torch has a process-wide default for it.
            return torch.load(file, map_location=map_location, weights_only=True, mmap=False)
    except Exception as error:  # a damaged pickle can raise any error
        file.seek(pickle_start)
        refused = _foreign_names(file) or _REFUSED_BY_TORCH.findall(str(error))
        if refused:
            raise CheckpointError(
                f"The checkpoint '{path}' asks for Python code to be run: "
                f"{', '.join(dict.fromkeys(refused))}. It was refused and nothing ran; expected "
                "tensors, containers, plain values and numpy numbers only. Save the model's "
                "state_dict() alone, from a program that you trust."
            ) from error
        lines = str(error).strip().splitlines() or [""]
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be read as PyTorch weights "
            f"({type(error).__name__}: {lines[0]}); it is damaged, cut short or not "
            "a checkpoint. Download or copy it again."
        ) from error


def _foreign_names(file: BinaryIO) -> list[str]:
    """List the functions and classes that pickles ask for, without unpickling them.

    torch names the first one at most, and none of a newer pickle protocol, which it refuses as a
    whole.
    """
    found: list[str] = []
    # A damaged pickle ends the search with whatever error its bytes cause.
    with contextlib.suppress(Exception):
        for _ in range(_PICKLES_PER_FILE):
            strings: list[str] = []
            for opcode, argument, _position in pickletools.genops(file):
                if opcode.name in ("GLOBAL", "INST"):
                    name = str(argument).replace(" ", ".")
                    found.append(name.replace("__builtin__.", "builtins."))
                elif opcode.name == "STACK_GLOBAL":
                    found.append(".".join(strings[-2:]))
                elif "UNICODE" in opcode.name:
                    strings.append(str(argument))
    return [name for name in found if not _HARMLESS.fullmatch(name) and name not in NUMPY_NAMES]
