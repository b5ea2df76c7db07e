"""Batches of an epoch, for one of several processes, from any batch on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar
from weakref import ReferenceType, ref

import torch
from torch.utils.data import DataLoader, Sampler

from modelscope_vitadapter.datasets.dataset import SegmentationDataset
from modelscope_vitadapter.errors import DataSetError, VitAdapterError
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings
from modelscope_vitadapter.training.samples import (
    AugmentedBatches,
    Batch,
    SampleKey,
    prepare_worker,
)
from modelscope_vitadapter.training.seeds import epoch_order

__all__ = ["Batch", "BatchLoader", "EpochBatches", "build_loader"]

Item = TypeVar("Item")


class EpochBatches(Sampler[list[SampleKey]]):
    """The keys of the batches of an epoch that one process computes.

    Global batch `b` of an epoch is the next `batch_size * processes` indices of the epoch's
    order; process `p` takes its rows `[p * batch_size, (p + 1) * batch_size)`. The last global
    batch is dropped unless it is whole, so that all processes take as many steps.

    Attributes:
        epoch: The epoch, counted from 0.
        first_batch: Batches of it that are left out at its beginning.

    Args:
        length: Samples in the data set.
        batch_size: Samples in a batch of one process.
        processes: How many share each global batch.
        process: Which one this is, counted from 0.
        seed: The training's.

    Raises:
        DataSetError: The data set has less than one global batch.
        ValueError: A number is out of its range.
    """

    def __init__(
        self, length: int, *, batch_size: int, processes: int, process: int, seed: int
    ) -> None:
        _check("batch_size", batch_size, 1)
        _check("processes", processes, 1)
        _check("process", process, 0, processes - 1)
        _check("seed", seed, 0)
        if length < batch_size * processes:
            shared = f" in each of {processes} processes" if processes > 1 else ""
            raise DataSetError(
                f"the data set for training has {length} sample(s), fewer than the "
                f"{batch_size * processes} of one step (batch size {batch_size}{shared}). Give "
                "more samples, or a smaller batch size or fewer processes"
            )
        self._length = length
        self._batch_size = batch_size
        self._processes = processes
        self._process = process
        self._seed = seed
        self.epoch = 0
        self.first_batch = 0

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what the next iterations go through.

        Args:
            epoch: Counted from 0.
            first_batch: Where they begin, up to the number of batches, which leaves none.

        Raises:
            ValueError: A number is out of its range.
        """
        _check("epoch", epoch, 0)
        _check("first_batch", first_batch, 0, len(self))
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return self._length // (self._batch_size * self._processes)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch = self.epoch
        order = epoch_order(self._length, self._seed, epoch)
        for batch in range(self.first_batch, len(self)):
            start = (batch * self._processes + self._process) * self._batch_size
            yield [(epoch, int(index)) for index in order[start : start + self._batch_size]]


class BatchLoader:
    """Goes through the batches of an epoch, made ahead by workers that live on between epochs.

    Every iteration goes from `first_batch` to the end of the epoch that `set_epoch` named (the
    first one, until then). One iteration at a time: beginning another ends the one before. A
    batch depends on the seed, the epoch and the indices of its samples alone: on no worker, no
    process and no earlier batch. The global random states stay untouched.

    Args:
        batches: Makes a batch of its samples' keys.
        sampler: Gives the keys.
        workers: Processes that make batches, or 0: this one makes them when they are asked for.
        start_method: `fork`, `spawn` or `forkserver`; None: what the system does as a rule.
        pin_memory: Whether batches lie in memory that a GPU can fetch from.
    """

    def __init__(
        self,
        batches: AugmentedBatches,
        sampler: EpochBatches,
        *,
        workers: int,
        start_method: str | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._made_from = batches
        self._sampler = sampler
        self._workers = workers
        self._start_method = start_method
        self._pin_memory = pin_memory
        self._loader: DataLoader[Batch | VitAdapterError] | None = None
        self._iterations = 0
        # A plain reference would be a cycle, and workers of loaders in cycles end late: `close`.
        self._running: ReferenceType[Generator[Batch, None, None]] | None = None

    @property
    def epoch(self) -> int:
        """The epoch that iterations go through, counted from 0."""
        return self._sampler.epoch

    @property
    def first_batch(self) -> int:
        """The batch that iterations begin with, counted from 0."""
        return self._sampler.first_batch

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what the next iterations go through; nothing before `first_batch` is read.

        Args:
            epoch: Counted from 0.
            first_batch: Counted from 0, up to `len(self)`, which leaves none.

        Raises:
            ValueError: A number is out of its range.
        """
        self._sampler.set_epoch(epoch, first_batch)

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever iterations begin."""
        return len(self._sampler)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches from `first_batch` on.

        Raises:
            DataSetError: A picture or a label map can't be used; the error names its file.
            RuntimeError: Another iteration has begun since.
        """
        self._iterations += 1
        batches = self._batches(self._iterations)
        self._running = ref(batches)
        return batches

    def _batches(self, iteration: int) -> Generator[Batch, None, None]:
        self._require_latest(iteration)
        if self._loader is None:
            self._loader = self._start()
        for batch in self._loader:
            if isinstance(batch, VitAdapterError):
                raise batch
            yield batch
            self._require_latest(iteration)

    def _require_latest(self, iteration: int) -> None:
        if iteration != self._iterations:
            raise RuntimeError(
                "another iteration over this loader has begun; go through one at a time"
            )

    def close(self) -> None:
        """End the workers and the iteration that goes on; another one would start new workers.

        Without it they end when the loader is no longer referred to. PyTorch then waits 5 s for
        each worker if that is found out by the garbage collector, as after an error whose
        traceback is kept.
        """
        running = self._running() if self._running is not None else None
        if running is not None:
            running.close()
        self._loader = None

    def _start(self) -> DataLoader[Batch | VitAdapterError]:
        return DataLoader(
            self._made_from,
            batch_size=None,  # the sampler's items are whole batches
            sampler=self._sampler,
            num_workers=self._workers,
            collate_fn=_unchanged,
            pin_memory=self._pin_memory,
            worker_init_fn=prepare_worker,
            multiprocessing_context=self._start_method if self._workers else None,
            persistent_workers=self._workers > 0,
            # Otherwise each iteration would draw from PyTorch's global random numbers.
            generator=torch.Generator(),
        )


def build_loader(
    pictures: SegmentationDataset,
    settings: AugmentationSettings,
    *,
    num_classes: int,
    batch_size: int,
    processes: int = 1,
    process: int = 0,
    seed: int = 0,
    workers: int = 0,
    start_method: str | None = None,
    pin_memory: bool = False,
) -> BatchLoader:
    """Return the loader of one process's training batches.

    Args:
        pictures: The data set. It can be pickled if workers are spawned, which are each sent a
            copy.
        settings: How views are drawn.
        num_classes: Classes of the model, which class ids are below.
        batch_size: Samples in a batch of one process.
        processes: How many processes share each global batch of `batch_size * processes` samples.
        process: Which one this is, counted from 0.
        seed: The training's, 0 or above, the same in all processes.
        workers: Processes that read and augment ahead; 0: this one does it when asked.
        start_method: How workers start: `fork`, `spawn` or `forkserver`; None: as the system does
            as a rule.
        pin_memory: Whether batches lie in memory that a GPU can fetch from.

    Returns:
        A loader whose `len()` is the number of batches in an epoch.

    Raises:
        DataSetError: The data set has less than one global batch.
        ValueError: A number is out of its range.
    """
    _check("workers", workers, 0)
    sampler = EpochBatches(
        len(pictures), batch_size=batch_size, processes=processes, process=process, seed=seed
    )
    batches = AugmentedBatches(pictures, settings, num_classes=num_classes, seed=seed)
    return BatchLoader(
        batches, sampler, workers=workers, start_method=start_method, pin_memory=pin_memory
    )


def _unchanged(item: Item) -> Item:
    return item


def _check(name: str, value: int, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
    if most is not None and value > most:
        raise ValueError(f"{name}={value!r}: expected a whole number from {least} to {most}")
