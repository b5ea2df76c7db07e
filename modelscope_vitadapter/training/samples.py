"""Augmented samples, read and drawn wherever a worker happens to run."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from modelscope_vitadapter.datasets.dataset import Sample, SegmentationDataset
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, VitAdapterError
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings
from modelscope_vitadapter.training.augmentation.views import network_input, random_view
from modelscope_vitadapter.training.seeds import sample_seed

SampleKey = tuple[int, int]
"""What names a sample: the epoch and its index in the data set."""


@dataclass
class Batch:
    """What one process computes one step on."""

    images: Tensor
    """`(B, 3, H, W)` float32, normalised, RGB unless the model takes BGR."""
    classes: Tensor
    """`(B, H, W)` int16 class ids, `IGNORED` where there is none."""
    seeds: list[int]
    """Per sample, in [0, 2**63): everything random about it is drawn from its seed."""
    names: list[str]
    """Per sample, of its picture, for messages."""

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU can fetch from; PyTorch's loader calls it."""
        return Batch(
            self.images.pin_memory(), self.classes.pin_memory(), list(self.seeds), list(self.names)
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch with its tensors on a device."""
        return Batch(
            self.images.to(device, non_blocking=non_blocking),
            self.classes.to(device, non_blocking=non_blocking),
            list(self.seeds),
            list(self.names),
        )


class AugmentedBatches(Dataset["Batch | VitAdapterError"]):
    """Makes batches out of the keys of their samples.

    It holds no state that changes: the same keys give the same bits in any process.

    Args:
        pictures: The data set. Workers that are spawned are each sent a copy.
        settings: How views are drawn.
        num_classes: Classes of the model.
        seed: The training's, 0 or above.
    """

    def __init__(
        self,
        pictures: SegmentationDataset,
        settings: AugmentationSettings,
        *,
        num_classes: int,
        seed: int,
    ) -> None:
        self._pictures = pictures
        self._settings = settings
        self._num_classes = num_classes
        self._seed = seed

    def __getitem__(self, keys: Sequence[SampleKey]) -> Batch | VitAdapterError:
        """Read and augment the samples of a batch.

        Args:
            keys: One per sample.

        Returns:
            The batch; or the error that a sample raised, since PyTorch's loader puts the
            worker's traceback before the message of an error that passes through it.
        """
        try:
            return self._batch(keys)
        except VitAdapterError as error:
            return error

    def _batch(self, keys: Sequence[SampleKey]) -> Batch:
        images, classes, seeds, names = [], [], [], []
        for epoch, index in keys:
            sample = self._sample(index)
            picture = read_sample(sample, self._pictures.label_ids, self._num_classes)
            seed = sample_seed(self._seed, epoch, index)
            view = random_view(picture, self._settings, np.random.default_rng(seed))
            image, class_map = network_input(view, self._settings)
            images.append(image)
            classes.append(class_map)
            seeds.append(seed)
            names.append(sample.name)
        # Stacked by numpy: a forked worker had better not start PyTorch's threads.
        return Batch(
            images=torch.from_numpy(np.stack(images)),
            classes=torch.from_numpy(np.stack(classes)),
            seeds=seeds,
            names=names,
        )

    def _sample(self, index: int) -> Sample:
        try:
            return self._pictures[index]
        except (VitAdapterError, MemoryError):
            raise
        except Exception as error:  # a data set of someone else's, such as a Hugging Face one
            raise DataSetError(
                f"the data set failed to give sample {index} (counted from 0), "
                f"{type(error).__name__}: {error}. Repair the sample or leave it out"
            ) from error


def prepare_worker(worker: int) -> None:
    """Keep a worker to one thread: there are as many workers as the machine shall compute with.

    PyTorch's loader has limited PyTorch already. A forked worker must not count on the threads
    that OpenCV had started in its parent either.

    Args:
        worker: Its number, of no effect.
    """
    del worker
    cv2.setNumThreads(0)
    # Ctrl-C goes to a terminal's whole group: the trainer decides when workers end. It ends them
    # by SIGTERM, for which a forked worker would otherwise have the trainer's own handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
