"""Ctrl+C in the middle of the work."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from modelscope_vitadapter.checkpoint.stored import Checkpoint
from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map

ROOT = Path(__file__).parents[2]
ROUNDS = 20
PATIENCE = 900


@pytest.mark.slow
def test_the_pipeline_works_on_after_interrupts(tmp_path, record_property):
    target = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, "-m", "tests.reliability.interrupted", str(target), str(ROUNDS)],
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
    )
    report = json.loads(target.read_text(encoding="utf-8"))
    assert len(report) == 4
    for name, kind in report.items():
        record_property(f"interrupts in the middle of: {name}", kind["interrupted"])
        assert kind["problems"] == []
        assert kind["interrupted"] > ROUNDS / 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signal to a single process")
def test_an_interrupt_while_threads_read_a_checkpoint(monkeypatch, request, wanted):
    read, names = Checkpoint.read, []

    def interrupting(self, name):
        names.append(name)
        if len(names) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        return read(self, name)

    # A test run in the background of a shell ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "read", interrupting)
        with pytest.raises(KeyboardInterrupt):
            workers.build()
    assert 5 <= len(names) < 20  # the others are not read any more
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPool")]
    assert np.array_equal(class_map(workers.build(), PICTURES[0]), wanted[0])
