"""A program: a process that has computed in several threads, and what its forked children answer.

`python -m tests.reliability.fork_parent FILE` writes JSON to the file: `threads`, those alive when
it forks, and `answers`, for each case `same` or what went wrong.
"""

import functools
import json
import multiprocessing
import os
import select
import signal
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map

PATIENCE = 60
"""Seconds after which a child is taken to hang."""


def in_child(work):
    """What a forked child says: `same`, `other`, its error, or `hangs`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = "same" if work() else "other"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:1000])
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], PATIENCE)
    said = os.read(reading, 1000).decode() if ready else "hangs"
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return said or "died"


class Segmented(Dataset):
    """Class maps of pictures, computed where they are asked for."""

    def __init__(self, segmentor):
        self.segmentor = segmentor

    def __len__(self):
        return len(PICTURES)

    def __getitem__(self, index):
        return class_map(self.segmentor, PICTURES[index])


def cases(segmentor, wanted):
    """Names and functions that tell whether a child's answer is the parent's."""

    def same(one, picture=0):
        return np.array_equal(class_map(one, PICTURES[picture]), wanted[picture])

    def same_in_a_thread():
        answers = []
        thread = threading.Thread(target=lambda: answers.append(same(segmentor)))
        thread.start()
        thread.join()
        return answers == [True] and same(segmentor)

    def same_after_asking_for_threads():
        torch.set_num_threads(2)
        return same(segmentor)

    plain, fresh, in_preparation = workers.build(), workers.build(), workers.build()
    plain.model.model.register_forward_hook(lambda *_: None)
    same(plain)
    in_preparation._preparing.acquire()
    in_preparation._model_prepare_lock.acquire()
    reduced = workers.build(torch_dtype="bfloat16")
    reduced_answer = class_map(reduced, PICTURES[0])
    stream = segmentor(iter(PICTURES), output="class_map")
    next(stream)
    return {
        "call": lambda: same(segmentor) and same(segmentor, 5),
        "plain modules": lambda: same(plain),
        "first call": lambda: same(fresh),
        "a thread of the parent prepares the model": lambda: same(in_preparation),
        "bfloat16": lambda: np.array_equal(class_map(reduced, PICTURES[0]), reduced_answer),
        "stream of the parent": lambda: np.array_equal(next(stream)["class_map"], wanted[1]),
        "list": lambda: all(
            map(
                np.array_equal,
                (one["class_map"] for one in segmentor(PICTURES, output="class_map")),
                wanted,
            )
        ),
        "own pipeline": lambda: same(workers.build()),
        "in a thread": same_in_a_thread,
        "threads asked for": same_after_asking_for_threads,
        "child of a child": lambda: in_child(lambda: same(segmentor)) == "same",
        "large picture": lambda: class_map(segmentor, LARGE).shape == LARGE.shape[:2],
    }


LARGE = cv2.resize(PICTURES[0], (2000, 1500))


def with_pool(wanted):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(workers.answer, range(6)).get(timeout=PATIENCE)
    return "same" if all(map(np.array_equal, found, wanted)) else "other"


def with_data_loader(segmentor, wanted):
    loader = DataLoader(
        Segmented(segmentor),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        timeout=PATIENCE,
    )
    return "same" if all(map(np.array_equal, loader, wanted)) else "other"


def attempt(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(target):
    torch.set_num_threads(2)
    workers.build_here()
    segmentor = workers.built
    wanted = [class_map(segmentor, picture) for picture in PICTURES]
    class_map(segmentor, LARGE)
    (torch.randn(1000, 1000) @ torch.randn(1000, 1000)).exp()
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.is_dir() else None
    answers = {name: in_child(work) for name, work in cases(segmentor, wanted).items()}
    answers["pool"] = attempt(functools.partial(with_pool, wanted))
    answers["data loader"] = attempt(functools.partial(with_data_loader, segmentor, wanted))
    answers["parent afterwards"] = (
        "same" if np.array_equal(class_map(segmentor, PICTURES[0]), wanted[0]) else "other"
    )
    content = json.dumps({"threads": threads, "answers": answers}, indent=1)
    Path(target).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
