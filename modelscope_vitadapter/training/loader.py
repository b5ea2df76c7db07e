"""The batches that one of several processes trains on, from any step of an epoch on.

Everything random about a sample follows from the run's seed, the epoch and the sample's number: not
from the state of a process or worker, nor from the batch that it is in.
"""

from __future__ import annotations

import atexit
import multiprocessing
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from modelscope_vitadapter.datasets.dataset import Sample, SegmentationDataset
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, TrainingError, VitAdapterError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.training.augmentation import Augmentation


class Batch(NamedTuple):
    """What one process computes one step on; a tuple, which PyTorch's loader can pin."""

    images: Tensor
    """`(B, 3, H, W)` float32, normalised, RGB unless the model takes BGR."""
    classes: Tensor
    """`(B, H, W)` int16 class ids, `IGNORED` where there is none."""
    seeds: list[int]
    """Of each sample, in [0, 2**63): everything random about it is drawn from its seed."""
    names: list[str]
    """Of each sample's image, for messages."""


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """The seed of a sample in an epoch of a run, in [0, 2**63), with any version of numpy."""
    hashed = np.random.SeedSequence(seed, spawn_key=(epoch, index)).generate_state(1, np.uint64)
    return int(hashed[0] >> np.uint64(1))


def epoch_order(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order `(length,)` in which an epoch goes through a dataset."""
    return np.random.default_rng((seed, epoch)).permutation(length)


@dataclass
class AugmentedBatches(Dataset["Batch | VitAdapterError"]):
    """Makes batches of samples, each named by its epoch and index; always with the same bits."""

    dataset: SegmentationDataset
    """It can be pickled if workers are spawned, which are each sent a copy."""
    augmentation: Augmentation
    num_classes: int
    seed: int
    """The run's, 0 or above."""

    def __getitem__(self, keys: Sequence[tuple[int, int]]) -> Batch | VitAdapterError:
        """The batch of some samples, or the error that one of them raised.

        PyTorch's loader puts the worker's traceback before the message of one that passes through.
        """
        seeds = [sample_seed(self.seed, epoch, index) for epoch, index in keys]
        views, names = [], []
        try:
            for (_, index), seed in zip(keys, seeds, strict=True):
                sample = self._sample(index)
                labelled = read_sample(sample, self.dataset.label_ids, self.num_classes)
                views.append(self.augmentation(labelled, np.random.default_rng(seed)))
                names.append(sample.name)
        except VitAdapterError as error:
            return error
        # Stacked by numpy: a forked worker had better not start PyTorch's threads.
        images, classes = (torch.from_numpy(np.stack(each)) for each in zip(*views, strict=True))
        if get_worker_info() is not None:
            # Otherwise the queue's own thread does it, and drops a batch for which there is no
            # room: the trainer would wait for it for ever.
            for part in (images, classes):
                part.share_memory_()  # type: ignore[no-untyped-call]
        return Batch(images, classes, seeds, names)

    def _sample(self, index: int) -> Sample:
        try:
            return self.dataset[index]
        except (VitAdapterError, MemoryError):
            raise
        except Exception as error:  # a dataset of someone else's, such as a Hugging Face one
            raise DataSetError(
                f"the data set failed to give sample {index} (counted from 0), "
                f"{type(error).__name__}: {error}. Repair the sample or leave it out"
            ) from error


class BatchLoader:
    """Goes through epochs, with workers that live on between them; `close` ends the workers.

    Of each `batch_size` samples in an epoch's order, a multiple of `processes`, each process takes
    an equal share. The last of them are dropped unless they are as many, so that all processes take
    as many steps. Global random states stay untouched.

    Args:
        batches: makes them.
        batch_size: samples of all processes together.
        processes: how many there are; this one is number `process`, counted from 0.
        workers: processes that make batches ahead; 0: this one makes them when they are asked for.
        timeout: seconds without a batch from the workers that are taken for a failure.
        pin_memory: whether batches lie in memory that a GPU can fetch from.

    Raises:
        DataSetError: the dataset has fewer samples.
    """

    def __init__(
        self,
        batches: AugmentedBatches,
        *,
        batch_size: int,
        processes: int = 1,
        process: int = 0,
        workers: int = 0,
        timeout: float = 600.0,
        pin_memory: bool = False,
    ) -> None:
        self._samples, self._seed, self._size = len(batches.dataset), batches.seed, batch_size
        share = batch_size // processes
        self._rows = slice(process * share, (process + 1) * share)
        if not len(self):
            raise DataSetError(
                f"the data set for training has {self._samples} sample(s), fewer than the "
                f"{batch_size} of one step (of {processes} process(es) together). Give more "
                "samples, or a smaller batch size"
            )
        self._keys: list[list[tuple[int, int]]] = []  # of the batches of the epoch that goes on
        self._loader: DataLoader[Batch | VitAdapterError] = DataLoader(
            batches,
            batch_size=None,  # the keys are of whole batches
            sampler=self._keys,
            num_workers=workers,
            timeout=timeout if workers else 0,
            pin_memory=pin_memory,
            worker_init_fn=prepare_worker,
            persistent_workers=workers > 0,
            # Otherwise each iteration would draw from PyTorch's global random numbers.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return self._samples // self._size

    def epoch(self, number: int, first_batch: int = 0) -> Generator[Batch, None, None]:
        """Yields an epoch's batches, both counted from 0, reading none before; one epoch at a time.

        Raises:
            DataSetError: an image or a label map can't be used; the error names its file.
        """
        order = epoch_order(self._samples, self._seed, number)[: len(self) * self._size]
        batches = order.reshape(-1, self._size)[first_batch:, self._rows].tolist()
        self._keys[:] = [[(number, index) for index in batch] for batch in batches]
        for batch in self._loader:
            if isinstance(batch, VitAdapterError):
                raise batch
            yield batch

    def close(self) -> None:
        """Ends the workers, for which PyTorch waits 5 s each where an error keeps this alive."""
        del self._loader


@contextmanager
def worker_failures() -> Iterator[None]:
    """Has the loss of a worker end a `with` block with a TrainingError that says what to do.

    PyTorch's own error may come anywhere in the block, for it is raised by the signal of the
    worker's end.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, VitAdapterError) or "DataLoader" not in str(error):
            raise
        atexit.register(_end_workers)
        reason = str(error).strip().splitlines()[-1].rstrip(".")
        longer = f", or wait longer ({option('worker_timeout')})" if "timed out" in reason else ""
        raise TrainingError(
            f"a worker, a process that reads images, failed: {reason}. Often shared memory "
            "(/dev/shm) is too small, 64 MB in a container unless it is started with more (docker "
            f"run --shm-size=8g). Give more, read without workers ({option('workers', 0)}){longer}"
        ) from error


def _end_workers() -> None:
    """Kills workers that are left at the interpreter's end, which would wait for them for ever.

    One that stands still, as on a network drive, doesn't hear the SIGTERM that they get otherwise.
    """
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise an error
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def prepare_worker(worker: int) -> None:
    """Keeps a worker to one thread, and leaves signals to the trainer; `worker` has no effect."""
    cv2.setNumThreads(0)  # a forked one must not count on its parent's; PyTorch is limited already
    # Ctrl-C goes to a terminal's whole group: the trainer decides when workers end. It ends them
    # by SIGTERM, for which a forked worker would otherwise have the trainer's own handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
