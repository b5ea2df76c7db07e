"""The command as a process, on the embedded small model and drawn scenes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from modelscope_vitadapter.evaluation.evaluate import evaluate
from modelscope_vitadapter.evaluation.figures import figures
from tests.evaluation.makers import CLASSES, EXAMPLES, TINY_MODEL, drawn_scenes

PICTURES = 25
"""Of the evaluation that is interrupted: it takes seconds."""

COMMAND = [sys.executable, "-m", "modelscope_vitadapter", "evaluate"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
SURROUNDINGS = {
    **{"cwd": EXAMPLES.parent, "stdin": subprocess.DEVNULL, "text": True, "encoding": "utf-8"},
    "env": {**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
}


def run(*arguments, command=COMMAND):
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        timeout=300,
        check=False,
        **SURROUNDINGS,
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("场景"), 5)


@pytest.fixture(scope="module")
def expected(scenes):
    return evaluate(TINY_MODEL, scenes, device="cpu", progress=False)


def test_figures_on_the_terminal_in_json_and_as_a_plot(scenes, expected, tmp_path):
    output = tmp_path / "结果"
    result = run(TINY_MODEL, scenes, "--device", "cpu", "--output", output, "--check")
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["mIoU", f"{100 * expected.figures.mIoU:.2f}"] in rows
    assert [row[0] for row in rows[1:8]] == list(CLASSES)
    assert "5/5" in result.stderr
    assert "Traceback" not in result.stderr
    names = sorted(path.name for path in output.iterdir())
    assert names == ["evaluation.json", "evaluation.png"]
    content = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert content["confusion_matrix"] == expected.counts.tolist()
    assert content["mIoU"] == figures(expected.counts).mIoU


def test_two_processes_print_one_table_with_the_same_figures(scenes, expected, tmp_path):
    command = [*TORCHRUN, "-m", "modelscope_vitadapter", "evaluate"]
    result = run(TINY_MODEL, scenes, "--device", "cpu", "--output", tmp_path, command=command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("mIoU") == 1
    content = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert content["confusion_matrix"] == expected.counts.tolist()
    assert content["settings"]["processes"] == "2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing/at/all", "data"], "nothing/at/all"),
        ([TINY_MODEL, "nowhere"], "'nowhere' does not exist"),
        ([TINY_MODEL, EXAMPLES], "no label map"),
        ([TINY_MODEL, "data", "--dtype", "int8"], "expected"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(arguments, says, scenes):
    result = run(*(scenes if one == "data" else one for one in arguments), "--device", "cpu")
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[0].startswith("vitadapter evaluate: ")
    assert result.stdout == ""


def hear_interrupts():
    """A shell has what it runs in the background ignore interrupts, and its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_interrupted_it_goes_on_with_the_same_command(expected, tmp_path):
    scenes = drawn_scenes(tmp_path / "scenes", PICTURES)
    output = tmp_path / "output"
    command = [*COMMAND, str(TINY_MODEL), str(scenes), "--device", "cpu", "--output", str(output)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
        **SURROUNDINGS,
    )
    deadline = time.monotonic() + 200
    while not (output / "evaluation.state.part0").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    with np.load(output / "evaluation.state.part0") as stored:
        done = int(stored["done"].sum())
    assert 0 < done < PICTURES
    again = subprocess.run(command, capture_output=True, timeout=300, check=False, **SURROUNDINGS)
    assert again.returncode == 0, again.stderr
    assert f"| {done}/{PICTURES}" in again.stderr
    content = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert content["pictures"] == PICTURES
    labelled = sum(sum(row) for row in content["confusion_matrix"])
    assert labelled == PICTURES * 64 * 80
