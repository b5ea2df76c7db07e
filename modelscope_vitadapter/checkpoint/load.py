"""Put the tensors of a checkpoint into a network."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.names import plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.stored import Checkpoint, StoredTensor
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

logger = get_logger()

READERS_AT_MOST = 4


@dataclass(frozen=True)
class LoadReport:
    """What became of the entries of a checkpoint.

    Attributes:
        path: the file.
        used: number of its tensors that the network took.
        ignored: names of known training left-overs, which were not read.
        unexpected: names of other tensors that the network has no place for; not read either.
        not_finite: names of used tensors that hold NaN or infinity in the network's type.
    """

    path: Path
    used: int
    ignored: tuple[str, ...]
    unexpected: tuple[str, ...]
    not_finite: tuple[str, ...]


@dataclass(frozen=True)
class _Slot:
    """A parameter or persistent buffer, its names, and the entry of the file that it takes."""

    tensor: torch.Tensor
    names: list[str]
    entry: str | None


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
    path = Path(path)
    held = network.state_dict(keep_vars=True)
    with open_checkpoint(path) as file:
        try:
            plan = plan_names(file.tensors, held)
        except CheckpointError as error:
            raise CheckpointError(f"'{path}': {error}") from error
        slots = _slots(held, plan.used)
        _check_fit(slots, set(plan.missing), file)
        file.check_growth(slot.entry for slot in slots if slot.entry is not None)
        not_finite = _fill(network, slots, file, torch.device(device))
        report = LoadReport(
            path=path,
            used=len(plan.used),
            ignored=(*file.others, *plan.ignored),
            unexpected=plan.unexpected,
            not_finite=not_finite,
        )
    if report.unexpected:
        logger.warning(
            "%s holds %d entries that the network has no place for; they were not read: %s",
            path,
            len(report.unexpected),
            listing(report.unexpected),
        )
    if report.not_finite:
        logger.warning(
            "%s holds NaN or infinity in %d entries; what the model answers is likely to be wrong: "
            "%s. Download the file again, or use an earlier checkpoint of the training.",
            path,
            len(report.not_finite),
            listing(report.not_finite),
        )
    return report


def _slots(held: Mapping[str, torch.Tensor], used: Mapping[str, str]) -> list[_Slot]:
    """Tensors that several names share are one slot, which takes the first entry of several."""
    sharing: dict[int, list[str]] = {}
    for name, tensor in held.items():
        sharing.setdefault(id(tensor), []).append(name)
    return [
        _Slot(held[names[0]], names, next((used[name] for name in names if name in used), None))
        for names in sharing.values()
    ]


def _check_fit(slots: list[_Slot], required: set[str], file: Checkpoint) -> None:
    """Raise one error that lists every entry that is missing or does not fit."""
    missing = [
        f"'{slot.names[0]}' is missing, expected shape {list(slot.tensor.shape)}"
        for slot in slots
        if slot.entry is None and slot.names[0] in required
    ]
    taken = ((slot, file.tensors[slot.entry]) for slot in slots if slot.entry is not None)
    found = ((slot, _misfit(slot.tensor, stored)) for slot, stored in taken)
    problems = missing + [f"'{slot.names[0]}' {problem}" for slot, problem in found if problem]
    if problems:
        raise CheckpointError(
            f"The checkpoint '{file.path}' does not fit the network: {len(missing)} of "
            f"{len(slots)} entries are missing and {len(problems) - len(missing)} have another shape or kind: "
            f"{'; '.join(problems)}. The checkpoint and the configuration (mmcv_config.py) "
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
    network: torch.nn.Module, slots: list[_Slot], file: Checkpoint, device: torch.device
) -> tuple[str, ...]:
    """Put every tensor in its place; give the entries of those that hold NaN or infinity."""
    not_finite: set[str] = set()

    def read(slot: _Slot) -> torch.Tensor:
        dtype = slot.tensor.dtype
        if slot.entry is None:
            return torch.zeros(slot.tensor.shape, dtype=dtype, device=device)
        tensor = file.read(slot.entry).to(dtype)
        if not all_finite(tensor):  # now, while it is in the processor's cache
            not_finite.add(slot.entry)
        return tensor.to(device)

    # Front to back: a disk that reads ahead then does so to some purpose.
    slots = sorted(slots, key=lambda slot: file.tensors[slot.entry].position if slot.entry else -1)
    # Copying from the page cache, and the kernel's clearing of the memory that it goes to, run
    # outside Python's lock. Huge pages were two to three times slower than plain ones where a
    # virtual machine had returned its large free blocks to the host, so they are not asked for.
    pool = ThreadPoolExecutor(min(READERS_AT_MOST, torch.get_num_threads()))
    try:
        for slot, tensor in zip(slots, pool.map(read, slots), strict=True):
            _put(network, slot, tensor)
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(slot.entry for slot in slots if slot.entry in not_finite and slot.entry)


def _put(network: torch.nn.Module, slot: _Slot, value: torch.Tensor) -> None:
    """Replace a tensor of a network under all its names."""
    if isinstance(slot.tensor, torch.nn.Parameter):
        value = torch.nn.Parameter(value, requires_grad=slot.tensor.requires_grad)
    for name in slot.names:
        owner, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(owner), attribute, value)


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
