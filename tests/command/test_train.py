import json
import subprocess
import sys

import pytest

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.plugin.trainer import VitAdapterSegmentationTrainer
from modelscope_vitadapter.training.train_config import (
    TrainConfig,
    checkpoint_files,
    latest_checkpoint,
)
from tests.plugin.test_trainer import CLASSES, write_data
from tests.plugin.train_runs import tiny_model

QUICK = ["--batch-size", "2", "--workers", "0", "--device", "cpu", "--log-every", "1"]


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def train(data, output, *options):
    return main(["train", str(tiny_model()), str(data), "--output", str(output), *QUICK, *options])


def test_trains_evaluates_and_goes_on(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(data, output, "--iters", "1", "--crop", "96") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 steps (finished)" in shown
    assert "mIoU" in shown
    assert f"model: {output / 'output_best'}" in shown
    saved = load_model_config(output / "output_best")
    assert saved.settings.windows.crop_size == saved.settings.backbone.img_size == (96, 96)
    assert tuple(saved.classes) == CLASSES
    assert train(data, output, "--iters", "2", "--crop", "96", "--resume") == 0
    assert latest_checkpoint(output).name == "iter_2"


def test_a_run_that_was_stopped_says_so(data, tmp_path, capsys, monkeypatch):
    def stop(self, **_):
        self._iter = 3

    monkeypatch.setattr(VitAdapterSegmentationTrainer, "train", stop)
    assert train(data, tmp_path / "run", "--iters", "5") == 130
    assert "3 of 5 steps (stopped, --resume goes on)" in capsys.readouterr().out


def test_a_table_has_no_parts_to_evaluate_on(data, tmp_path, capsys, monkeypatch):
    trainers = []
    monkeypatch.setattr(
        VitAdapterSegmentationTrainer, "train", lambda self, **_: trainers.append(self)
    )
    rows = [f"images/train/{number}.png,labels/train/{number}.png" for number in range(4)]
    table = data / "table.csv"
    table.write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    given = ["--classes", str(data / "classes.txt")]
    assert train(table, tmp_path / "run", *given) == 2
    assert "has no parts: all of it would be trained on" in capsys.readouterr().err
    train(table, tmp_path / "run", *given, "--val-data", str(data))
    train(table, tmp_path / "run", *given, "--no-evaluation")
    evaluated = [trainer.eval_dataset for trainer in trainers]
    assert (len(evaluated[0]), evaluated[1]) == (4, None)
    assert len(trainers[0].train_dataset) == len(trainers[1].train_dataset) == 4


def test_options_reach_the_trainer(data, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(VitAdapterSegmentationTrainer, "train", lambda self, **_: seen.append(self))
    given = ["--epochs", "3", "--learning-rate", "0.5", "--freeze", "beit", "--clip-norm", "0"]
    given += ["--no-photometric", "--ratio-range", "1", "1.5", "--dtype", "bfloat16"]
    given += ["--evaluate-every", "7", "--warmup", "0", "--no-checkpoint-activations"]
    train(data, tmp_path / "run", *given)
    assert seen[0].train_config == TrainConfig(
        max_epochs=3,
        batch_size=2,
        learning_rate=0.5,
        clip_norm=None,
        photometric=False,
        ratio_range=(1.0, 1.5),
        dtype="bfloat16",
        warmup_iters=0,
        checkpoint_activations=False,
        workers=0,
        evaluation_interval=7,
        log_interval=1,
    )
    assert seen[0].freeze == "beit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "nowhere.txt"], "no file 'nowhere.txt'"),
        (["--batch-size", "100"], "fewer than the 100"),
        (["--device", "abacus"], "abacus"),
        (["--output", "{used}"], "--resume"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(data, tmp_path, capsys, options, message):
    used = tmp_path / "used"
    used.mkdir()
    for path in checkpoint_files(used / "iter_7"):
        path.touch()
    given = [option.format(used=used) for option in options]
    assert train(data, tmp_path / "run", "--iters", "1", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("vitadapter train: ")
    assert message in error


def test_a_model_that_is_not_there(data, tmp_path, capsys):
    assert main(["train", str(tmp_path / "no model"), str(data)]) == 2
    assert "no model" in capsys.readouterr().err


TOLD = """
import contextlib, io, json, sys
from modelscope_vitadapter.command.main import main
shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
    try:
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code
heavy = sorted({"torch", "numpy", "modelscope", "cv2"} & set(sys.modules))
print(json.dumps([code, shown.getvalue(), heavy]))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--help"], 0, "--learning-rate"),
        (["--iters", "many"], 2, "invalid int value"),
        (["--freeze", "head"], 2, "invalid choice"),
        (["--learning-rate", "-1"], 2, "learning_rate is -1.0: expected a number above 0"),
        (["--crop", "100"], 2, "crop is 100: expected a multiple of 32"),
        (["--resume"], 2, "there is no checkpoint"),
    ],
)
def test_help_and_mistakes_in_arguments_are_told_before_anything_heavy_is_imported(
    tmp_path, arguments, code, message
):
    line = ["train", "MODEL", "DATA", "--output", str(tmp_path), *arguments]
    done = subprocess.run(
        [sys.executable, "-c", TOLD, *line], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[0] == code
    assert message in found[1]
    assert found[2] == []
