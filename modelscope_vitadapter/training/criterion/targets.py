"""What the queries of an image are to find: one mask for each class that is there."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """The targets of one image, on one device.

    Attributes:
        labels: `(N,)` int64, class ids 0 ... K - 1.
        masks: `(N, H, W)` bool, the pixels of each.
    """

    labels: Tensor
    masks: Tensor


def targets_of(classes: Tensor) -> Targets:
    """One target for each class of a label map, in ascending order of class ids.

    Args:
        classes: `(H, W)` integers; ids below 0 (ignored) belong to no target.
    """
    labels = classes_in(classes)
    return Targets(labels, masks_of(classes, labels))


def batch_targets(classes: Tensor, device: torch.device | str) -> list[Targets]:
    """The targets of a batch, on `device`.

    Which classes are there is found where the label maps lie (on the host: nothing waits for an
    accelerator), and the maps cross over as they are, not as a mask for each class.

    Args:
        classes: `(B, H, W)` integers; ids below 0 (ignored) belong to no target.
        device: where the criterion computes.
    """
    labels = [classes_in(one) for one in classes]
    counts = [len(one) for one in labels]
    maps = classes.to(device)
    moved = torch.cat(labels).to(device).split_with_sizes(counts)
    return [Targets(own, masks_of(one, own)) for own, one in zip(moved, maps, strict=True)]


def classes_in(classes: Tensor) -> Tensor:
    """The class ids of a label map, `(N,)` int64, ascending, each once; none below 0.

    Counted and not sorted, which takes a tenth of the time for a crop.
    """
    ids = classes.flatten()
    return torch.bincount(ids[ids >= 0].long()).nonzero().flatten()


def masks_of(classes: Tensor, labels: Tensor) -> Tensor:
    """`(N, H, W)` bool: where a label map `(H, W)` has each of the class ids `(N,)`."""
    return classes == labels.to(classes.dtype)[:, None, None]
