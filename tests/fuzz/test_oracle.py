"""The oracle notices what it is there for, and the report says it."""

import json
import sys
from pathlib import Path

import pytest

from tests.fuzz.campaign import Tally, WorkerError, run_worker
from tests.fuzz.oracle import DefectError, judge
from tests.fuzz.planted import PLANTED
from tests.fuzz.report import as_json, status_line, tables
from tests.fuzz.rounds import Rounds, warm_up

FEW, MANY = {"mmcv_config.py": b"x = 1\n"}, {"mmcv_config.py": b"x = 50\n"}
NOTICED = {
    "code": "code ran: exec",
    "writing": "code ran: open",
    "canary": "code ran: touch",
    "outside": "code ran: open",
    "exception": "escaped: KeyError",
    "message": "names no file",
    "difference": "check: AssertionError",
    "afterwards": "a good directory no longer loads",
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.py").write_text("model = dict(stolen=1)\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", NOTICED)
def test_planted_faults_are_noticed(root, name):
    assert judge(PLANTED[name], FEW, root).outcome == "loaded"
    with pytest.raises(DefectError) as failure:
        judge(PLANTED[name], MANY, root)
    assert failure.value.signature.startswith(NOTICED[name])


def test_an_input_without_a_fault_passes(root):
    assert judge(PLANTED["none"], MANY, root).outcome == "loaded"
    assert judge(PLANTED["message"], FEW, root).outcome == "loaded"


def test_too_much_time_is_noticed(root):
    judge(PLANTED["slow"], FEW, root)
    with pytest.raises(DefectError, match="slow"):
        judge(PLANTED["slow"], MANY, root, slowness=0.1)


def test_failures_are_shrunk_kept_and_counted_once(root):
    said = []
    rounds = Rounds(
        root,
        failures=root / "failures",
        limit=60,
        slowness=1.0,
        say=lambda **report: said.append(report),
    )
    warm_up(root, [PLANTED["exception"]])
    rounds.run(PLANTED["exception"], 5, 100)
    rounds.run(PLANTED["exception"], 6, 100)
    failures = [report for report in said if report["event"] == "failure"]
    assert [failure["signature"] for failure in failures] == ["escaped: KeyError"]
    kept = root / "failures"
    (directory,) = kept.iterdir()
    assert (directory / "files" / "mmcv_config.py").read_bytes() == b"x = 40\n"
    assert json.loads((directory / "case.json").read_text())["kind"] == "exception"
    second = said[-1]
    assert second["failed"] > 0
    assert second["tried"] == second["loaded"] + second["failed"] == 100


def test_too_much_memory_and_a_hang_are_noticed(tmp_path):
    held = bytearray(b"\1") * (700 * 2**20)  # the worker must not inherit this process's peak
    del held
    tally = Tally()
    run_worker(tally, ["memory", "hang"], tmp_path / "failures", seed=1, examples=12, limit=3)
    *memory, failure = tally.failures
    if sys.platform != "win32":  # which doesn't say how much memory was used
        assert [each["signature"] for each in memory] == ["memory: memory"]
    assert failure["signature"].startswith("hang")
    assert tally.counts["hang"]["failed"] == 1
    directory = Path(failure["directory"])
    assert directory.parent == tmp_path.resolve() / "failures"
    assert int((directory / "files" / "mmcv_config.py").read_bytes().split()[2]) >= 40
    assert f"{len(tally.failures)} distinct failures" in status_line(tally, 60.0)
    assert failure["directory"] in tables(tally)
    assert failure in as_json(tally, 1)["failures"]


def test_a_worker_that_cannot_start_is_an_error(tmp_path):
    with pytest.raises(WorkerError, match="KeyError"):
        run_worker(Tally(), ["no such kind"], tmp_path / "failures", seed=1)


def test_watching_leaves_no_trace(root):
    judge(PLANTED["none"], FEW, root)
    exec("x = 1", {})
    assert judge(PLANTED["none"], FEW, root).outcome == "loaded"
    assert "tests.fuzz.untouched" not in sys.modules
