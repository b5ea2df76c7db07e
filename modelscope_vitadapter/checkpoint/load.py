"""Put the tensors of a checkpoint into a network."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.names import NamePlan, plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.stored import Checkpoint, StoredTensor
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

logger = get_logger()

READERS_AT_MOST = 4


@dataclass(frozen=True)
class LoadReport:
    """What became of the entries of a checkpoint's state dict, by their names in the file.

    Attributes:
        used: those that the network took.
        ignored: known left-overs of training, which were not read.
        unexpected: others that the network has no place for; not read either.
        not_finite: those used that hold NaN or infinity in the network's type.
    """

    used: tuple[str, ...]
    ignored: tuple[str, ...]
    unexpected: tuple[str, ...]
    not_finite: tuple[str, ...]


def load_into(
    network: torch.nn.Module, path: Path, *, device: torch.device | str = "cpu"
) -> LoadReport:
    """Give a network the weights of a checkpoint.

    Tensors are read in the order of the file, by up to four threads (at most
    `torch.get_num_threads()`), into memory that belongs to the process alone; beside the network
    there are never more than the few that these threads hold. Names may carry the prefixes of
    training wrappers (see `names`). Nothing is read before all names and shapes agree.

    Args:
        network: built on the meta device, or anywhere; only its names, shapes and types matter.
            Afterwards each parameter and persistent buffer is on `device`, with the type and
            `requires_grad` that it had. Buffers that are not persistent stay as they are.
        path: file written by `torch.save` or safetensors.
        device: where the tensors go.

    Returns:
        What was used and what was left unread. Unexpected names, and those of tensors that hold
        NaN or infinity, are also logged, once each.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: the file cannot be read, or lacks entries, or has entries of other shapes
            or kinds than the network; one error lists them all.
    """
    held = network.state_dict(keep_vars=True)
    with open_checkpoint(path) as file:
        try:
            plan = plan_names(file.tensors, held)
        except CheckpointError as error:
            raise CheckpointError(f"'{path}': {error}") from error
        _check_fit(held, plan, file)
        file.check_growth(plan.used.values())
        not_finite = _fill(network, held, plan.used, file, torch.device(device))
    if plan.unexpected:
        logger.warning(
            "%s holds %d entries that the network has no place for; they were not read: %s",
            path,
            len(plan.unexpected),
            listing(plan.unexpected),
        )
    if not_finite:
        logger.warning(
            "%s holds NaN or infinity in %d entries; what the model answers is likely to be wrong: "
            "%s. Download the file again, or use an earlier checkpoint of the training.",
            path,
            len(not_finite),
            listing(not_finite),
        )
    return LoadReport(tuple(plan.used.values()), plan.ignored, plan.unexpected, not_finite)


def _check_fit(held: Mapping[str, torch.Tensor], plan: NamePlan, file: Checkpoint) -> None:
    """Raise one error that lists every entry that is missing or does not fit."""
    problems = [
        f"'{name}' is missing, expected shape {list(held[name].shape)}" for name in plan.missing
    ]
    for name, entry in plan.used.items():
        problem = _misfit(held[name], file.tensors[entry])
        problems += [] if problem is None else [f"'{name}' {problem}"]
    if problems:
        missing = len(plan.missing)
        raise CheckpointError(
            f"The checkpoint '{file.path}' does not fit the network: {missing} of {len(held)} "
            f"entries are missing and {len(problems) - missing} have another shape or kind: "
            f"{listing(problems, '; ')}. The checkpoint and the configuration (mmcv_config.py) "
            "do not belong together, or the checkpoint is incomplete: use the pair of one model."
        )


def _misfit(tensor: torch.Tensor, stored: StoredTensor) -> str | None:
    """Say why a stored tensor cannot become a tensor of the network."""
    if stored.problem is not None or stored.dtype is None:
        return stored.problem
    if stored.shape != tuple(tensor.shape):
        return f"has shape {list(stored.shape)}, expected {list(tensor.shape)}"
    if stored.dtype.is_floating_point != tensor.is_floating_point():
        return f"is of type {stored.dtype}, expected {tensor.dtype}"
    return None


def _fill(
    network: torch.nn.Module,
    held: Mapping[str, torch.Tensor],
    used: Mapping[str, str],
    file: Checkpoint,
    device: torch.device,
) -> tuple[str, ...]:
    """Put every tensor in its place; give the entries of those that hold NaN or infinity."""
    not_finite: set[str] = set()

    def read(name: str) -> torch.Tensor:
        dtype = held[name].dtype
        if name not in used:
            return torch.zeros(held[name].shape, dtype=dtype, device=device)
        tensor = file.read(used[name]).to(dtype)
        if not all_finite(tensor):  # now, while it is in the processor's cache
            not_finite.add(used[name])
        return tensor.to(device)

    # Front to back: a disk that reads ahead then does so to some purpose.
    places = {name: file.tensors[entry].position for name, entry in used.items()}
    names = sorted(held, key=lambda name: places.get(name, 0))
    # Copying from the page cache, and the kernel's clearing of the memory that it goes to, run
    # outside Python's lock. Huge pages were two to three times slower than plain ones where a
    # virtual machine had returned its large free blocks to the host, so they are not asked for.
    pool = ThreadPoolExecutor(min(READERS_AT_MOST, torch.get_num_threads()))
    try:
        for name, tensor in zip(names, pool.map(read, names), strict=True):
            if isinstance(held[name], torch.nn.Parameter):
                tensor = torch.nn.Parameter(tensor, requires_grad=held[name].requires_grad)
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, tensor)
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(used[name] for name in names if used.get(name) in not_finite)


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether all elements are finite numbers, at about the cost of reading them once.

    Args:
        tensor: any shape and type, on the CPU; integers are always finite.
    """
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # One NaN or infinity makes the sum of squares one. Finite numbers can do so as well, and then
    # (or in types that BLAS doesn't know) each element is looked at.
    flat = tensor.detach().reshape(-1)
    if flat.dtype == torch.float32 and bool(torch.isfinite(torch.dot(flat, flat))):
        return True
    return bool(torch.isfinite(flat).all())
