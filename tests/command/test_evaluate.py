"""The command as a process, on the embedded small model and drawn scenes."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.evaluation.evaluate import evaluate
from modelscope_vitadapter.segmenter import Segmenter
from tests.evaluation.makers import CLASSES, EXAMPLES, TINY_MODEL, drawn_scenes

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def run(*arguments):
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=EXAMPLES.parent,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


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
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["mIoU", f"{100 * expected.metrics.mIoU:.2f}"] in rows
    assert [row[0] for row in rows[1:8]] == list(CLASSES)
    assert "5/5" in result.stderr
    assert "Traceback" not in result.stderr
    names = sorted(path.name for path in output.iterdir())
    assert names == ["evaluation.json", "evaluation.png"]
    assert written(output)["confusion_matrix"] == expected.counts.tolist()
    assert written(output)["mIoU"] == expected.metrics.mIoU


@pytest.mark.slow
def test_two_processes_print_one_table_with_the_same_metrics(scenes, expected, tmp_path):
    arguments = [TINY_MODEL, scenes, "--device", "cpu", "--output", tmp_path]
    result = run(*TORCHRUN, "-m", "modelscope_vitadapter", "evaluate", *arguments)
    assert result.stdout.count("mIoU") == 1
    assert "process 0 of 2, its share" in result.stderr
    assert written(tmp_path)["confusion_matrix"] == expected.counts.tolist()
    assert written(tmp_path)["settings"]["processes"] == "2"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing/at/all", "data"], 1, "'nothing/at/all' does not exist"),
        ([TINY_MODEL, "nowhere"], 1, "'nowhere' does not exist"),
        (["x", "data", "--dtype", "int8"], 2, "--dtype int8: expected 'float32'"),
        (["x", "data", "--adapter-form", "y"], 2, "adapter_form='y': expected 'builtin'"),
        (["x", "data", "--limit", "0"], 2, "--limit 0: expected a whole number of at least 1"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(arguments, code, says, scenes, capsys, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_LOG_LEVEL", "30")
    given = [str(scenes if one == "data" else one) for one in arguments]
    assert main(["evaluate", *given, "--device", "cpu"]) == code
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("vitadapter evaluate: ")
    assert says in line
    assert shown.out == ""


def test_interrupted_it_goes_on_with_the_same_command(
    scenes, expected, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MODELSCOPE_LOG_LEVEL", "30")
    command = ["evaluate", TINY_MODEL, scenes, "--device", "cpu", "--output", tmp_path]
    segment = Segmenter.segment

    def stopped(self, images):
        yield from itertools.islice(segment(self, images), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Segmenter, "segment", stopped)
        assert main(list(map(str, command))) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(list(map(str, command))) == 0
    assert "| 2/5" in capsys.readouterr().err
    assert written(tmp_path)["confusion_matrix"] == expected.counts.tolist()
