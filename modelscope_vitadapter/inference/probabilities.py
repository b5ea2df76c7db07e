"""Where the probabilities of all classes go while an image is decided: to memory or to a file."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.inference.memory import probability_bytes
from modelscope_vitadapter.inference.wanted import Wanted

Keep = Callable[[int, Tensor], None]
"""Takes probabilities `(K, N)` of N pixels that follow each other row by row, from this one on."""


@contextmanager
def kept_probabilities(
    wanted: Wanted, number: int, num_classes: int, size: Size
) -> Iterator[tuple[Keep | None, Tensor | Path | None]]:
    """What takes the probabilities of an image, and where they are once all were taken.

    Args:
        wanted: says where they go.
        number: the image's, counted from 0.
        num_classes: K.
        size: `(height, width)` of the image.

    Yields:
        Nothing where they are not wanted. In memory they are `(K, H, W)` float16, on the CPU; a
        file, which numpy reads as that, has its name once the context was left without an error.

    Raises:
        OSError: the file can't be written.
        ValueError: one file is named for several images.
    """
    where = wanted.probabilities
    if where is False:
        yield None, None
    elif where is True:
        array = torch.empty(num_classes, size[0] * size[1], dtype=torch.float16)

        def keep(first: int, chances: Tensor) -> None:
            array[:, first : first + chances.shape[1]] = chances.half().cpu()

        yield keep, array.view(num_classes, *size)
    else:
        if number and not callable(where):
            raise ValueError(
                f"{option('probabilities', str(where))}: expected one input for one file"
            )
        path = Path(where(number) if callable(where) else where)
        with _writing(path, num_classes, size) as keep_in_file:
            yield keep_in_file, path


@contextmanager
def _writing(path: Path, num_classes: int, size: Size) -> Iterator[Keep]:
    """Writes a `.npy` file, replaced once it is complete; missing folders are made.

    It is written as a file and not mapped: on a full disk a mapped one ends the process, and its
    pages count as memory of the process.
    """
    shape = (num_classes, *size)
    needed, pixels = probability_bytes(size, num_classes), size[0] * size[1]
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            raise OSError(f"{needed} bytes are needed and {free} are free there")
    with written_aside(path) as aside:
        with _named(path):
            file = aside.open("wb", buffering=0)
        with file:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()

            def keep(first: int, chances: Tensor) -> None:
                rows = np.ascontiguousarray(chances.half().cpu().numpy(), dtype="<f2")
                with _named(path):
                    for number, row in enumerate(rows):
                        file.seek(start + 2 * (number * pixels + first))
                        waiting = memoryview(row).cast("B")
                        while waiting:  # a disk that is almost full takes a part
                            waiting = waiting[file.write(waiting) :]

            yield keep


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says in an error of the system what was to be written."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"class probabilities can't be written to '{path}': {error}; expected a folder that "
            "can be written to, with enough free space"
        ) from error
