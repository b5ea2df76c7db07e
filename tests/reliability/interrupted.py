"""A program: interrupts itself at many moments of its work, and then works on.

`python -m tests.reliability.interrupted FILE ROUNDS` writes JSON to the file: for each kind of work
how often it was `interrupted`, and what `problems` there were afterwards.
"""

import _thread
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map


def interrupt():
    """What Ctrl+C does: a signal; where there is none to send to oneself, what stands for it."""
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        os.kill(os.getpid(), signal.SIGINT)


def interrupted_after(delay, work):
    """Whether the work was under way when the interrupt came."""
    done = False
    timer = threading.Timer(delay, interrupt)
    try:
        timer.start()
        work()
        done = True
        timer.join()
        time.sleep(0.01)  # the signal may reach this thread a little later
    except KeyboardInterrupt:
        timer.join()
    return not done


def problems_of(segmentor, wanted):
    found = []
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        found.append("a mode of PyTorch stays on")
    found += [
        f"picture {i} is answered otherwise"
        for i in (0, 5)
        if not np.array_equal(class_map(segmentor, PICTURES[i]), wanted[i])
    ]
    return found


def main(target, rounds):
    chance = random.Random(0)
    torch.set_num_threads(2)
    segmentor = workers.build()
    wanted = [class_map(segmentor, picture) for picture in PICTURES]

    def first_call():
        first_call.pipeline = workers.build()
        class_map(first_call.pipeline, PICTURES[0])

    works = {
        "call": lambda: class_map(segmentor, PICTURES[5]),
        "list": lambda: segmentor(PICTURES),
        "stream": lambda: list(segmentor(iter(PICTURES), on_error="skip")),
        "build and first call": first_call,
    }
    report = {}
    for name, work in works.items():
        started = time.perf_counter()
        work()
        duration = time.perf_counter() - started
        count, problems = 0, []
        for _ in range(rounds):
            count += interrupted_after(chance.uniform(0, duration), work)
            problems += problems_of(segmentor, wanted)
            if work is first_call:
                problems += problems_of(first_call.pipeline, wanted)
        report[name] = {"interrupted": count, "problems": problems}
    Path(target).write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
