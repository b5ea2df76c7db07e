import threading
import time

import pytest

from modelscope_vitadapter.datasets.read_ahead import read_ahead


@pytest.mark.parametrize(("ahead", "threads"), [(1, 1), (4, 3)])
def test_results_and_errors_come_in_order(ahead, threads):
    def slow_for_small(number):
        time.sleep(0.01 * (5 - number % 5))
        if number == 7:
            raise ValueError("the eighth")
        return number * number

    results = read_ahead(slow_for_small, range(9), ahead=ahead, threads=threads)
    assert [next(results) for _ in range(7)] == [number * number for number in range(7)]
    with pytest.raises(ValueError, match="the eighth"):
        next(results)


def test_it_reads_ahead_and_no_more_than_asked_for():
    read, second = [], threading.Event()

    def work(number):
        read.append(number)
        if number == 1:
            second.set()
        return number

    results = read_ahead(work, range(100), ahead=3)
    assert next(results) == 0
    assert second.wait(5)
    results.close()
    assert len(read) <= 4
