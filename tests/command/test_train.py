import re

import pytest

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.plugin.trainer import VitAdapterSegmentationTrainer
from modelscope_vitadapter.training.train_config import (
    PERIODIC,
    TrainConfig,
    checkpoint_files,
    latest_checkpoint,
    saved_checkpoints,
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


def test_goes_on_from_a_chosen_checkpoint(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(data, output, "--iters", "2", "--save-every", "1", "--no-evaluation") == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    options = ["--iters", "3", "--save-every", "1", "--no-evaluation"]
    assert train(data, tmp_path / "a", *options, "--resume", str(output / "iter_1.pth")) == 0
    assert train(data, tmp_path / "b", *options, "--resume", str(output)) == 0
    for name, steps in (("a", ["iter_2", "iter_3"]), ("b", ["iter_3"])):
        assert [one.name for one in saved_checkpoints(tmp_path / name, PERIODIC)] == steps
    capsys.readouterr()
    for given in ([], ["--resume", str(tmp_path / "a")], ["--resume", str(output / "iter_7")]):
        assert train(data, output, *options, *given) == 1
        assert re.search("another run|there are: iter_1, iter_2", capsys.readouterr().err)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


@pytest.fixture
def trainers(monkeypatch):
    """The trainers that are made; in place of training they claim to stop after three steps."""
    found = []

    def stop(self, **_):
        self._iter = 3
        found.append(self)

    monkeypatch.setattr(VitAdapterSegmentationTrainer, "train", stop)
    return found


def test_a_table_has_no_parts_to_evaluate_on(data, tmp_path, capsys, trainers):
    rows = [f"images/train/{number}.png,labels/train/{number}.png" for number in range(4)]
    table = data / "table.csv"
    table.write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    given = ["--classes", str(data / "classes.txt")]
    assert train(table, tmp_path / "run", *given) == 1
    assert "has no parts: all of it would be trained on" in capsys.readouterr().err
    train(table, tmp_path / "run", *given, "--val-data", str(data))
    train(table, tmp_path / "run", *given, "--no-evaluation")
    evaluated = [trainer.eval_dataset for trainer in trainers]
    assert (len(evaluated[0]), evaluated[1]) == (4, None)
    assert len(trainers[0].train_dataset) == len(trainers[1].train_dataset) == 4


def test_options_reach_the_trainer_and_a_run_that_was_stopped_says_so(
    data, tmp_path, trainers, capsys
):
    given = ["--epochs", "3", "--learning-rate", "0.5", "--freeze", "beit", "--clip-norm", "0"]
    given += ["--no-photometric", "--ratio-range", "1", "1.5", "--dtype", "bfloat16"]
    given += ["--class-weights", "tree:2", "--worker-timeout", "9"]
    given += ["--evaluate-every", "7", "--warmup", "0", "--no-checkpoint-activations"]
    assert train(data, tmp_path / "run", *given) == 130
    assert "steps (stopped, --resume goes on)" in capsys.readouterr().out
    assert trainers[0].train_config == TrainConfig(
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
        worker_timeout=9.0,
        evaluation_interval=7,
        log_interval=1,
    )
    assert trainers[0].freeze == "beit"
    assert trainers[0].class_weights == (1.0, 2.0, 1.0)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--batch-size", "100"], 1, "fewer than the 100"),
        (["--device", "abacus"], 2, "abacus"),
        (["--class-weights", "1,x"], 2, "--class-weights: 'x' is no weight"),
        (["--class-weights", "trees:2"], 2, "no class 'trees'; expected names such as tree"),
        ([], 1, "--resume"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(data, tmp_path, capsys, options, code, message):
    if not options:
        for path in checkpoint_files(tmp_path / "iter_7"):
            path.touch()
    assert train(data, tmp_path, "--iters", "1", *options) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("vitadapter train: ")
    assert message in error
