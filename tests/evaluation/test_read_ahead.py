import threading
import time

import pytest

from modelscope_vitadapter.evaluation.read_ahead import read_ahead


def slow_for_small(number):
    time.sleep(0.01 * (5 - number % 5))
    return number * number


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_results_come_in_order(ahead):
    assert list(read_ahead(slow_for_small, range(9), ahead=ahead, threads=3)) == [
        number * number for number in range(9)
    ]


def test_no_more_than_asked_for_is_read_ahead():
    read = []
    results = read_ahead(lambda number: read.append(number) or number, range(100), ahead=3)
    next(results)
    time.sleep(0.05)
    assert len(read) <= 4
    results.close()
    assert len(read) <= 4


def test_it_does_read_ahead():
    second = threading.Event()

    def work(number):
        if number == 1:
            second.set()
        return number

    results = read_ahead(work, range(3), ahead=2)
    assert next(results) == 0
    assert second.wait(5)
    results.close()


@pytest.mark.parametrize("ahead", [0, 3])
def test_errors_come_in_their_place(ahead):
    def work(number):
        if number == 2:
            raise ValueError("the third")
        return number

    results = read_ahead(work, range(9), ahead=ahead)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
