"""Checkpoints that torch reads as a whole.

These are files in the format that torch wrote before 1.6 (pickles followed by the data, without a
table of contents), and zip files where torch cannot describe them without their data.
"""

from __future__ import annotations

from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.container import find_state_dict
from modelscope_vitadapter.checkpoint.stored import StoredTensor
from modelscope_vitadapter.checkpoint.weights_only import load_weights_only


class WholeSource:
    """A checkpoint that is in memory as a whole; each tensor leaves it when it is read."""

    def __init__(self, content: object, path: Path) -> None:
        self._tensors, self.others = find_state_dict(content, path)
        self.tensors = {
            name: StoredTensor(tuple(tensor.shape), tensor.dtype, order, problem=_problem(tensor))
            for order, (name, tensor) in enumerate(self._tensors.items())
        }

    def read(self, name: str) -> torch.Tensor:
        """Copy one tensor and drop it here."""
        tensor = self._tensors.pop(name).detach()
        return tensor.clone(memory_format=torch.contiguous_format)

    def close(self) -> None:
        """Drop what was not read."""
        self._tensors.clear()


def _problem(tensor: torch.Tensor) -> str | None:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return "is not stored as an ordinary dense tensor"
    return None


def open_torch_whole(path: Path) -> WholeSource:
    """Read a checkpoint into memory.

    Args:
        path: the file.

    Returns:
        Its tensors.

    Raises:
        CheckpointError: the file is damaged, cut short, or asks for code to be run.
    """
    with path.open("rb") as file:
        return WholeSource(load_weights_only(file, path, map_location="cpu"), path)
