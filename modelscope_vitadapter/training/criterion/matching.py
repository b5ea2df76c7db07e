"""Matches queries with targets, one to one, at the least total cost (Hungarian matching)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelscope_vitadapter.errors import TrainingError


@dataclass(frozen=True)
class LayerMatches:
    """The pairs of one prediction.

    Attributes:
        images, queries: `(M,)` int64.
        targets: for each image the numbers of its targets, `[B]` int64.
    """

    images: Tensor
    queries: Tensor
    targets: Sequence[Tensor]


@dataclass(frozen=True)
class Matches:
    """Which query of which image and prediction is matched with which target.

    Pairs are in order of prediction, image and query.

    Attributes:
        layers, images, queries: `(S,)` int64, on the device of the costs.
        targets: `(S,)` int64, numbers of targets within their image.
        places: `(S,)` int64, numbers of the same targets within the batch.
        counts: how many pairs each image of each prediction has, `[L][B]`.
    """

    layers: Tensor
    images: Tensor
    queries: Tensor
    targets: Tensor
    places: Tensor
    counts: list[list[int]]

    def of_layer(self, layer: int) -> LayerMatches:
        """The pairs of one prediction; nothing waits for the device."""
        counts = self.counts[layer]
        start = sum(sum(before) for before in self.counts[:layer])
        own = slice(start, start + sum(counts))
        targets = self.targets[own].split_with_sizes(counts)
        return LayerMatches(self.images[own], self.queries[own], targets)


def match(costs: Sequence[Sequence[Tensor]]) -> Matches:
    """Hungarian matching of every image of every prediction.

    All costs go to the host in one transfer, and all pairs come back in one.

    Args:
        costs: `[L][B]` finite `(Q, N)`; N differs from image to image and may be 0.

    Raises:
        TrainingError: if scipy is not installed.
    """
    flat = torch.cat([cost.flatten() for layer in costs for cost in layer])
    host = flat.detach().cpu().numpy().astype(np.float64)
    found, counts, start = [], [], 0
    for number, layer in enumerate(costs):
        own, first = [], 0
        for image, cost in enumerate(layer):
            rows, columns = assignment(host[start : start + cost.numel()].reshape(cost.shape))
            place = np.array([[number], [image]], np.int64).repeat(len(rows), axis=1)
            found.append(np.concatenate([place, rows[None], columns[None], first + columns[None]]))
            own.append(len(rows))
            first += cost.shape[1]
            start += cost.numel()
        counts.append(own)
    pairs = torch.from_numpy(np.concatenate(found, axis=1)).to(flat.device)
    layers, images, queries, targets, places = pairs
    return Matches(layers, images, queries, targets, places, counts)


def assignment(cost: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows, ascending, and the column of each, such that the sum of their costs is least.

    Args:
        cost: `(Q, N)` finite. `min(Q, N)` pairs are found.

    Raises:
        TrainingError: if scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise TrainingError(
            "fine-tuning matches queries with targets by scipy, which can't be imported "
            f"({error}): install it, `pip install scipy`"
        ) from error
    rows, columns = linear_sum_assignment(cost)
    return rows.astype(np.int64), columns.astype(np.int64)
