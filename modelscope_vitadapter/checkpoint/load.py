"""Put the tensors of a checkpoint into a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.finite import all_finite
from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.checkpoint.keys import KeyPlan, plan_keys
from modelscope_vitadapter.checkpoint.stored import FileSource, StoredTensor
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

logger = get_logger()

BATCH_BYTES = 16 * 2**20
"""A thread reads at least so much at a time: most tensors are too small to hand over singly."""

READERS_AT_MOST = 4

LARGEST_GROWTH = 4
"""Times a file's size that may be read from it, or become weights.

Tensors can share data, or repeat an element by a stride of 0: a file of a kilobyte could ask for
all the memory that there is.
"""

ALWAYS_READ = 2**28
"""Bytes of weights that are read whatever the file's size."""


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
    not_finite: tuple[str, ...] = ()


@dataclass
class _Slot:
    """A parameter or buffer of a network and all places that share it."""

    tensor: torch.Tensor
    places: list[tuple[str, torch.nn.Module, str]]

    def put(self, value: torch.Tensor) -> None:
        """Replace the tensor in all places."""
        if isinstance(self.tensor, torch.nn.Parameter):
            value = torch.nn.Parameter(value, requires_grad=self.tensor.requires_grad)
        for _name, module, attribute in self.places:
            setattr(module, attribute, value)


def load_into(
    network: torch.nn.Module, path: Path, *, device: torch.device | str = "cpu"
) -> LoadReport:
    """Give a network the weights of a checkpoint.

    Tensors are read in the order of the file, by up to four threads (at most
    `torch.get_num_threads()`), into memory that belongs to the process alone; beside the network
    there are never more than the few that these threads hold. Names may carry the prefixes of
    training wrappers (see `keys`). Nothing is read before all names and shapes agree.

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
    slots = _slots(network)
    with contextlib.closing(open_checkpoint(path)) as source:
        plan = _plan(source, network, path)
        _check(slots, plan, source.tensors, path)
        _check_growth(slots, plan, source, path)
        not_finite = _fill(slots, plan, source, torch.device(device))
        report = LoadReport(
            path=path,
            used=len(plan.used),
            ignored=(*source.others, *plan.ignored),
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


def _plan(source: FileSource, network: torch.nn.Module, path: Path) -> KeyPlan:
    try:
        return plan_keys(source.tensors, [name for name, _, _ in _places(network)])
    except CheckpointError as error:
        raise CheckpointError(f"'{path}': {error}") from error


def _places(network: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, str]]:
    """Yield name, module and attribute of each parameter and persistent buffer."""
    for prefix, module in network.named_modules(remove_duplicate=False):
        start = f"{prefix}." if prefix else ""
        # The only record of which buffers are persistent, used by state_dict() itself.
        transient = module._non_persistent_buffers_set
        buffers = (name for name in module._buffers if name not in transient)
        for attribute in (*module._parameters, *buffers):
            if getattr(module, attribute) is not None:
                yield start + attribute, module, attribute


def _slots(network: torch.nn.Module) -> list[_Slot]:
    slots: dict[int, _Slot] = {}
    for place in _places(network):
        _name, module, attribute = place
        tensor = getattr(module, attribute)
        slots.setdefault(id(tensor), _Slot(tensor, [])).places.append(place)
    return list(slots.values())


def _file_name(slot: _Slot, plan: KeyPlan) -> str | None:
    """Name the entry of the file that a slot takes; a shared one takes the first of several."""
    names = (plan.used[name] for name, _, _ in slot.places if name in plan.used)
    return next(names, None)


def _check(
    slots: list[_Slot], plan: KeyPlan, stored: Mapping[str, StoredTensor], path: Path
) -> None:
    """Raise one error that lists every entry that is missing or does not fit."""
    required = set(plan.missing)
    problems: list[str] = []
    missing = 0
    for slot in slots:
        name = slot.places[0][0]
        file_name = _file_name(slot, plan)
        if file_name is not None:
            problem = _misfit(slot.tensor, stored[file_name])
            problems += [] if problem is None else [f"'{name}' {problem}"]
        elif name in required:
            missing += 1
            problems.append(f"'{name}' is missing, expected shape {list(slot.tensor.shape)}")
    if problems:
        raise CheckpointError(
            f"The checkpoint '{path}' does not fit the network: {missing} of {len(slots)} entries "
            f"are missing and {len(problems) - missing} have another shape or kind: "
            f"{'; '.join(problems)}. The checkpoint and the configuration (mmcv_config.py) "
            "do not belong together, or the checkpoint is incomplete: use the pair of one model."
        )


def _check_growth(slots: list[_Slot], plan: KeyPlan, source: FileSource, path: Path) -> None:
    """Refuse weights that are much larger than the file that they come from."""
    names = [name for name in (_file_name(slot, plan) for slot in slots) if name is not None]
    size = sum(max(source.tensors[name].size, source.tensors[name].spread) for name in names)
    if size > max(ALWAYS_READ, LARGEST_GROWTH * source.file.size):
        raise CheckpointError(
            f"The checkpoint '{path}' has {source.file.size} bytes, and {size} bytes would be read "
            f"for its tensors, expected at most {LARGEST_GROWTH} times the file: they repeat the "
            "same data. Save contiguous tensors, each with data of its own, or download the file "
            "again."
        )


def _misfit(tensor: torch.Tensor, stored: StoredTensor) -> str | None:
    """Say why a stored tensor cannot become a tensor of the network."""
    if stored.problem is not None or stored.dtype is None:
        return stored.problem
    if stored.shape != tuple(tensor.shape):
        return f"has shape {list(stored.shape)}, expected {list(tensor.shape)}"
    if stored.dtype.is_complex or stored.dtype.is_floating_point != tensor.is_floating_point():
        return f"is of type {stored.dtype}, expected {tensor.dtype}"
    return None


@dataclass
class _Read:
    """One tensor to be read, and who takes it."""

    file_name: str
    stored: StoredTensor
    slot: _Slot


def _fill(
    slots: list[_Slot], plan: KeyPlan, source: FileSource, device: torch.device
) -> tuple[str, ...]:
    """Put every tensor in its place; give the names of those that hold NaN or infinity."""
    reads: list[_Read] = []
    for slot in slots:
        file_name = _file_name(slot, plan)
        if file_name is None:
            shape, dtype = slot.tensor.shape, slot.tensor.dtype
            slot.put(torch.zeros(shape, dtype=dtype, device=device))
        else:
            reads.append(_Read(file_name, source.tensors[file_name], slot))

    not_finite: set[str] = set()

    def read(batch: list[_Read]) -> list[torch.Tensor]:
        tensors = []
        for item in batch:
            tensor = source.read(item.file_name).to(item.slot.tensor.dtype)
            if not all_finite(tensor):  # now, while it is in the processor's cache
                not_finite.add(item.file_name)
            tensors.append(tensor.to(device))
        return tensors

    batches = _batches(reads)
    # Copying from the page cache, and the kernel's clearing of the memory that it goes to, run
    # outside Python's lock. Reading the hub's 2.28 GB in such batches took 1.36 s with one thread
    # and 0.85 s with two (medians of 5, 2 cores). Huge pages took 0.24 s there, but two to three
    # times the plain time where a virtual machine had returned its large free blocks to the host,
    # so they are not asked for.
    pool = ThreadPoolExecutor(min(READERS_AT_MOST, torch.get_num_threads()))
    try:
        for batch, tensors in zip(batches, pool.map(read, batches), strict=True):
            for item, tensor in zip(batch, tensors, strict=True):
                item.slot.put(tensor)
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(item.file_name for item in reads if item.file_name in not_finite)


def _batches(reads: list[_Read]) -> list[list[_Read]]:
    """Order reads as the file is, and cut them into runs of at least `BATCH_BYTES`."""
    batches: list[list[_Read]] = []
    room = 0
    # Front to back: a disk that reads ahead then does so to some purpose.
    for item in sorted(reads, key=lambda item: (item.stored.position, item.file_name)):
        if room <= 0:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(item)
        room -= item.stored.size
    return batches
