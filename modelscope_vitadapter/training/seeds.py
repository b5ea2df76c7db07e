"""Random numbers that belong to a sample, not to a process: seeds and the order of an epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return the seed of everything that is random about a sample in an epoch.

    Args:
        seed: The training's, 0 or above.
        epoch: Counted from 0.
        index: The sample's place in the data set, counted from 0.

    Returns:
        A hash in [0, 2**63), the same on every machine and in every version of numpy
        (`SeedSequence`, whose answers numpy promises to keep).
    """
    hashed = np.random.SeedSequence(seed, spawn_key=(epoch, index)).generate_state(1, np.uint64)
    return int(hashed[0] >> np.uint64(1))


def epoch_order(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch goes through a data set.

    Args:
        length: Samples in the data set.
        seed: The training's, 0 or above.
        epoch: Counted from 0.

    Returns:
        `(length,)` a permutation of the indices.
    """
    return np.random.default_rng((seed, epoch)).permutation(length)
