"""The command as a process, on the embedded small model and drawn scenes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.evaluation.evaluate import evaluate
from tests.evaluation.makers import CLASSES, EXAMPLES, TINY_MODEL, drawn_scenes

IMAGES = 12
"""Of the evaluation that is interrupted: it takes seconds."""

EVALUATE = ("-m", "modelscope_vitadapter", "evaluate")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SURROUNDINGS = {
    **{"cwd": EXAMPLES.parent, "stdin": subprocess.DEVNULL, "text": True, "encoding": "utf-8"},
    "env": {**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
}


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=300, check=False, **SURROUNDINGS)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("场景"), 5)


@pytest.fixture(scope="module")
def expected(scenes):
    return evaluate(TINY_MODEL, scenes, device="cpu", progress=False)


def written(output):
    return json.loads((output / "evaluation.json").read_text(encoding="utf-8"))


WITHOUT_MODELSCOPE = """
import sys
from modelscope_vitadapter.command.main import main
code = main(sys.argv[1:])
sys.exit(code or "modelscope" in sys.modules)
"""


def test_metrics_on_the_terminal_in_json_and_as_a_plot(scenes, expected, tmp_path):
    output = tmp_path / "结果"
    arguments = ["evaluate", TINY_MODEL, scenes, "--device", "cpu", "--output", output, "--check"]
    result = run("-c", WITHOUT_MODELSCOPE, *arguments)  # a directory needs no import of it
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["mIoU", f"{100 * expected.metrics.mIoU:.2f}"] in rows
    assert [row[0] for row in rows[1:8]] == list(CLASSES)
    assert "5/5" in result.stderr
    assert "Traceback" not in result.stderr
    names = sorted(path.name for path in output.iterdir())
    assert names == ["evaluation.json", "evaluation.png"]
    assert written(output)["confusion_matrix"] == expected.counts.tolist()
    assert written(output)["mIoU"] == expected.metrics.mIoU


def test_two_processes_print_one_table_with_the_same_metrics(scenes, expected, tmp_path):
    arguments = [TINY_MODEL, scenes, "--device", "cpu", "--output", tmp_path]
    result = run(*TORCHRUN, *EVALUATE, *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("mIoU") == 1
    assert "process 0 of 2, its share" in result.stderr
    assert written(tmp_path)["confusion_matrix"] == expected.counts.tolist()
    assert written(tmp_path)["settings"]["processes"] == "2"


LIGHT = """
import sys
from modelscope_vitadapter.command import main
main.SUBCOMMANDS = ("evaluate",)
try:
    main.main(sys.argv[1:])
finally:
    print(sorted({"numpy", "torch", "PIL", "modelscope", "tqdm"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--help"], 0, "--label-ids {as-is,coco-stuff-182,reduce-zero}"),
        (["model", "data", "--label-ids", "x"], 2, "invalid choice: 'x'"),
    ],
)
def test_help_and_errors_of_arguments_import_nothing_heavy(arguments, code, says):
    result = run("-c", LIGHT, "evaluate", *arguments)
    assert result.returncode == code
    assert says in result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing/at/all", "data"], "'nothing/at/all' does not exist"),
        ([TINY_MODEL, "nowhere"], "'nowhere' does not exist"),
        ([TINY_MODEL, "data", "--dtype", "int8"], "torch_dtype='int8': expected 'float32'"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(arguments, says, scenes, capsys, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_LOG_LEVEL", "30")
    given = [str(scenes if one == "data" else one) for one in arguments]
    assert main(["evaluate", *given, "--device", "cpu"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("vitadapter evaluate: ")
    assert says in line
    assert shown.out == ""


def hear_interrupts():
    """A shell has what it runs in the background ignore interrupts, and its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_interrupted_it_goes_on_with_the_same_command(tmp_path):
    scenes, output = drawn_scenes(tmp_path / "scenes", IMAGES), tmp_path / "output"
    arguments = [*EVALUATE, TINY_MODEL, scenes, "--device", "cpu", "--output", output]
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
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
    assert 0 < done < IMAGES
    again = run(*arguments)
    assert again.returncode == 0, again.stderr
    assert f"| {done}/{IMAGES}" in again.stderr
    assert written(output)["pictures"] == IMAGES
    assert sum(map(sum, written(output)["confusion_matrix"])) == IMAGES * 64 * 80
