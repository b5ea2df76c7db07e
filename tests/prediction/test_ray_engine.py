"""A job on a local Ray cluster, one of whose workers is killed in the middle."""

import os
import signal
import threading
import time

import psutil
import pytest

from modelscope_vitadapter.command.main import main
from tests.command.test_predict import rows_in
from tests.evaluation.makers import drawn_scenes

ray = pytest.importorskip("ray")


def workers():
    """The processes of the cluster's workers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if line.startswith("ray::Worker"):
            found.append(process)
    return found


@pytest.mark.slow
def test_two_workers_one_killed_give_the_same_bytes_and_nothing_twice(tmp_path):
    scenes = drawn_scenes(tmp_path / "scenes", 60) / "images" / "val"
    command = ["predict", str(scenes), "--model", "tiny", "--device", "cpu", "--threads", "1"]
    killed = []

    def kill_one():
        manifest = tmp_path / "cluster" / "manifest.jsonl"
        while not (manifest.is_file() and workers()):
            time.sleep(0.05)
        victim = workers()[0]
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(victim.pid)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    cluster = ["--output", str(tmp_path / "cluster"), "--engine", "ray", "--workers", "2"]
    assert main([*command, *cluster]) == 0
    thread.join(timeout=10)
    assert killed
    assert main([*command, "--output", str(tmp_path / "one")]) == 0
    rows, alone = rows_in(tmp_path / "cluster"), rows_in(tmp_path / "one")
    lines = (tmp_path / "cluster" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == len(rows) == len(alone) == 60
    for name, row in alone.items():
        assert rows[name]["classes"] == row["classes"]
        for place in row["outputs"].values():
            first, second = (tmp_path / one / place for one in ("cluster", "one"))
            assert first.read_bytes() == second.read_bytes()
    assert not list((tmp_path / "cluster").rglob(".*.tmp"))
