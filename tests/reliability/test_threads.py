"""One pipeline, many threads."""

import threading

import numpy as np
import pytest

from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map

THREADS = 16
PATIENCE = 120
"""Seconds after which a thread is taken to hang."""


def at_once(work, count=THREADS):
    """Calls `work(i)` in `count` threads that start together; gives the results in order."""
    barrier = threading.Barrier(count)
    results, errors = [None] * count, []

    def run(i):
        barrier.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    assert errors == []
    return results


def test_first_calls_at_the_same_time(wanted):
    """ModelScope moves the model to its device in the first call."""
    for _ in range(2):
        fresh = workers.build()
        moves, prepare = [], fresh.model.eval
        fresh.model.eval = lambda moves=moves, prepare=prepare: (moves.append(1), prepare())
        found = at_once(lambda i, fresh=fresh: class_map(fresh, PICTURES[i % 6]))
        assert moves == [1]
        for i, one in enumerate(found):
            assert np.array_equal(one, wanted[i % 6])


def test_calls_of_all_kinds_at_the_same_time(segmentor, wanted):
    def work(i):
        order = [(i + k) % 6 for k in range(3)]
        inputs = [PICTURES[k] for k in order]
        options = {"output": "class_map", "confidence": i % 4 == 3}
        if i % 4 == 0:
            return order, segmentor(inputs, **options)
        if i % 4 == 1:
            return order, list(segmentor(iter(inputs), **options))
        return order, [segmentor(one, **options) for one in inputs]

    for order, results in at_once(work):
        assert len(results) == 3
        for k, result in zip(order, results, strict=True):
            assert np.array_equal(result["class_map"], wanted[k])


def test_failures_of_one_thread_stay_with_it(segmentor, wanted):
    def work(i):
        failures = []
        inputs = [PICTURES[0], *[f"missing-{i}-{k}.png" for k in range(i % 3)], PICTURES[1]]
        return segmentor(inputs, output="class_map", on_error=failures.append), failures

    for i, (results, failures) in enumerate(at_once(work)):
        assert [result["index"] for result in results] == [0, i % 3 + 1]
        assert [failure.index for failure in failures] == list(range(1, i % 3 + 1))
        assert all(f"missing-{i}-" in failure.name for failure in failures)
        assert np.array_equal(results[1]["class_map"], wanted[1])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("out of memory")])
def test_a_first_call_that_fails_leaves_no_lock(wanted, error):
    fresh = workers.build()

    def fail():
        del fresh.model.eval
        raise error

    fresh.model.eval = fail
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        fresh(PICTURES[0])
    (found,) = at_once(lambda i: class_map(fresh, PICTURES[0]), 1)
    assert np.array_equal(found, wanted[0])
