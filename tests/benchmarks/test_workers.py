import sys

import pytest

from benchmarks.workers import Worker, WorkerError

SERVER = """
import os, sys, time
from benchmarks.worker import serve

def add(*, a, b):
    print("a library talks on the standard output")
    return {"sum": a + b}

def fail():
    raise ValueError("no such picture")

def die():
    print("my last words", file=sys.stderr, flush=True)
    os._exit(7)

def sleep(*, seconds):
    time.sleep(seconds)

def threads():
    return {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}

serve({one.__name__: one for one in (add, fail, die, sleep, threads)})
"""


@pytest.fixture
def worker():
    with Worker("test", [sys.executable, "-c", SERVER], threads=3) as one:
        yield one


def test_answers_come_through_though_libraries_print(worker):
    assert worker.ask("add", a=1, b=2) == {"sum": 3}
    assert worker.ask("add", a=3, b=4) == {"sum": 7}
    assert worker.ask("threads")["threads"] == "3"


def test_a_failed_command_is_told_and_the_worker_lives(worker):
    with pytest.raises(WorkerError, match=r"'fail' failed with ValueError: no such picture"):
        worker.ask("fail")
    assert worker.ask("add", a=1, b=1) == {"sum": 2}


def test_a_dead_worker_is_told_with_its_last_words(worker):
    with pytest.raises(WorkerError, match=r"(?s)ended with status 7 at 'die'.*my last words"):
        worker.ask("die")
