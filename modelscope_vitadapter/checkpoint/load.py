"""Put the tensors of a checkpoint into a network."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import torch

from modelscope_vitadapter.checkpoint.names import is_left_over, is_optional, plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.stored import Checkpoint
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

logger = get_logger()

MAX_READERS = 4  # threads


def load_into(network: torch.nn.Module, path: Path, *, device: torch.device | str = "cpu") -> None:
    """Give a network the weights of a checkpoint.

    Nothing is read before all names and shapes agree; names may carry the prefixes of training
    wrappers. Unexpected names, and those of tensors that hold NaN or infinity, are logged.

    Args:
        network: built on the meta device, or anywhere; only its names, shapes and types matter.
            Afterwards each parameter and persistent buffer has memory of its own on `device`, and
            the type and `requires_grad` that it had. Other buffers stay as they are.
        path: file written by `torch.save` or safetensors.
        device: where the tensors go.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: the file cannot be read, or lacks entries, or has entries of other shapes
            or kinds than the network; one error lists them all.
    """
    held = network.state_dict()
    with open_checkpoint(path) as file:
        try:
            used = plan_names(file.tensors, held)
        except CheckpointError as error:
            raise CheckpointError(f"'{path}': {error}") from error
        _check_fit(held, used, file)
        file.check_growth(used.values())
        tensors, not_finite = _read(held, used, file, torch.device(device))
    network.load_state_dict(tensors, assign=True)
    taken = set(used.values())
    unexpected = [name for name in file.tensors if name not in taken and not is_left_over(name)]
    if unexpected:
        what = "entries that the network has no place for; they were not read"
        logger.warning("%s holds %d %s: %s", path, len(unexpected), what, listing(unexpected))
    if not_finite:
        logger.warning(
            "%s holds NaN or infinity in %d entries; what the model answers is likely to be wrong: "
            "%s. Download the file again, or use an earlier checkpoint of the training.",
            *(path, len(not_finite), listing(not_finite)),
        )


def _check_fit(held: Mapping[str, torch.Tensor], used: Mapping[str, str], file: Checkpoint) -> None:
    """Raise one error that lists every entry that is missing or does not fit."""
    missing = [name for name in held if name not in used and not is_optional(name)]
    problems = [f"'{name}' is missing, expected shape {list(held[name].shape)}" for name in missing]
    for name, entry in used.items():
        tensor, stored = held[name], file.tensors[entry]
        if stored.problem is not None:
            problems.append(f"'{name}' {stored.problem}")
        elif stored.shape != tuple(tensor.shape):
            shapes = f"{list(stored.shape)}, expected {list(tensor.shape)}"
            problems.append(f"'{name}' has shape {shapes}")
        elif stored.dtype.is_floating_point != tensor.is_floating_point():
            problems.append(f"'{name}' is of type {stored.dtype}, expected {tensor.dtype}")
    if problems:
        raise file.error(
            f"does not fit the network: {len(missing)} of {len(held)} entries are missing and "
            f"{len(problems) - len(missing)} have another shape or kind: "
            f"{listing(problems, '; ')}. The checkpoint and the configuration (mmcv_config.py) "
            "do not belong together, or the checkpoint is incomplete",
            "Use the pair of one model",
        )


def _read(
    held: Mapping[str, torch.Tensor],
    used: Mapping[str, str],
    file: Checkpoint,
    device: torch.device,
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Read what goes in the place of each tensor; and the entries that hold NaN or infinity."""
    not_finite: list[str] = []

    def read(name: str) -> torch.Tensor:
        dtype = held[name].dtype
        if name not in used:
            return torch.zeros(held[name].shape, dtype=dtype, device=device)
        tensor = file.read(used[name]).to(dtype)
        if not all_finite(tensor):  # now, while it is in the processor's cache
            not_finite.append(used[name])
        return tensor.to(device)

    # Front to back: a disk that reads ahead then does so to some purpose.
    places = {name: file.tensors[entry].position for name, entry in used.items()}
    names = sorted(held, key=lambda name: places.get(name, 0))
    # Copying from the page cache, and the kernel's clearing of the memory that it goes to, run
    # outside Python's lock. Huge pages were two to three times slower than plain ones where a
    # virtual machine had returned its large free blocks to the host, so they are not asked for.
    results: dict[str, torch.Tensor] = {}
    errors: list[Exception] = []
    left = deque(names)

    def work() -> None:
        while left and not errors:
            try:
                name = left.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                results[name] = read(name)
            except Exception as error:
                errors.append(error)

    # No executor: an interrupt within its `submit` leaves a lock taken that its threads wait for.
    threads = [Thread(target=work) for _ in range(min(MAX_READERS, torch.get_num_threads()))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        left.clear()
        for thread in threads:  # after an interrupt: the file is closed next
            if thread.is_alive():
                thread.join()
    if errors:
        raise errors[0]
    return {name: results[name] for name in names}, sorted(not_finite)


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether all elements are finite numbers, at about the cost of reading them once."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # One NaN or infinity makes the sum of squares one. Finite numbers can do so as well, and then
    # (or in types that BLAS doesn't know) each element is looked at.
    flat = tensor.detach().reshape(-1)
    if flat.dtype == torch.float32 and bool(torch.isfinite(torch.dot(flat, flat))):
        return True
    return bool(torch.isfinite(flat).all())
