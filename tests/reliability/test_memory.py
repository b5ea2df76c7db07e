"""Memory in use over many calls."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.reliability.workers import memory_over_calls

CALLS = 500
SETTLED = 50
"""Calls after which all that is kept for later ones is there."""

MOST_GROWTH = 20e6
"""Bytes."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory in use is read from /proc")
def test_memory_does_not_grow_with_the_calls(record_property):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        used = pool.submit(memory_over_calls, CALLS).result(timeout=1200)
    growth = max(used[SETTLED:]) - used[SETTLED - 1]
    record_property(f"bytes grown over calls {SETTLED} to {CALLS}", growth)
    assert len(used) == CALLS
    assert growth < MOST_GROWTH
