import shutil

import pytest

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.plugin.trainer.checkpoints import latest_checkpoint
from tests.trainer.runs import MODEL
from tests.trainer.test_inputs import CLASSES, write_data

QUICK = ["--batch-size", "2", "--workers", "0", "--device", "cpu", "--log-every", "1"]


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data", count=4)


def train(data, output, *options):
    return main(["train", str(MODEL), str(data), "--output", str(output), *QUICK, *options])


def test_trains_evaluates_and_goes_on(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert train(data, output, "--iters", "2") == 0
    shown = capsys.readouterr().out
    assert "2 of 2 steps (finished)" in shown
    assert "mIoU" in shown
    assert f"model: {output / 'output_best'}" in shown
    assert train(data, output, "--iters", "3", "--resume") == 0
    assert latest_checkpoint(output).name == "iter_3"


def test_trains_with_windows_of_another_size(data, tmp_path):
    output = tmp_path / "run"
    assert train(data, output, "--iters", "1", "--crop", "96") == 0
    saved = load_model_config(output / "output_best").settings
    assert saved.windows.crop_size == saved.backbone.img_size == (96, 96)


def write_table(data):
    rows = [f"images/train/{number}.png,labels/train/{number}.png" for number in range(4)]
    (data / "table.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    return data / "table.csv"


def test_a_table_has_no_parts_to_evaluate_on(data, tmp_path, capsys):
    table, given = write_table(data), ["--iters", "1", "--classes", str(data / "classes.txt")]
    assert train(table, tmp_path / "run", *given) == 2
    assert "has no parts: all of it would be trained on" in capsys.readouterr().err
    assert train(table, tmp_path / "run", *given, "--val-data", str(data)) == 0
    assert "mIoU" in capsys.readouterr().out
    assert train(table, tmp_path / "other run", *given, "--no-evaluation") == 0


def test_options_reach_the_recipe(data, tmp_path, monkeypatch):
    from modelscope_vitadapter.plugin.trainer.segmentation_trainer import (
        VitAdapterSegmentationTrainer,
    )

    seen = []
    monkeypatch.setattr(VitAdapterSegmentationTrainer, "train", lambda self, **_: seen.append(self))
    given = ["--epochs", "3", "--learning-rate", "0.5", "--freeze", "beit", "--clip-norm", "0"]
    given += ["--no-photometric", "--ratio-range", "1", "1.5", "--dtype", "bfloat16"]
    train(data, tmp_path / "run", *given, "--crop", "96", "--no-checkpoint-activations")
    recipe = seen[0].recipe
    assert (recipe.max_epochs, recipe.learning_rate, recipe.clip_norm) == (3, 0.5, None)
    assert (recipe.photometric, recipe.ratio_range, recipe.dtype) == (False, (1.0, 1.5), "bfloat16")
    assert recipe.checkpoint_activations is False
    assert seen[0].freeze.value == "beit"
    assert seen[0].model.windows.crop_size == (96, 96)
    assert tuple(seen[0].model.CLASSES) == CLASSES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "there is no checkpoint"),
        (["--classes", "nowhere.txt"], "no file 'nowhere.txt'"),
        (["--batch-size", "100"], "fewer than the 100"),
        (["--device", "abacus"], "abacus"),
        (["--learning-rate", "-1"], "learning_rate is -1.0"),
        (["--crop", "100"], "crop is 100: expected a multiple of 32"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(data, tmp_path, capsys, options, message):
    assert train(data, tmp_path / "run", "--iters", "1", *options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("vitadapter train: ")
    assert message in error


def test_a_used_directory_is_refused(data, tmp_path, capsys):
    output = tmp_path / "run"
    output.mkdir()
    for name in ("iter_7.pth", "iter_7_trainer_state.pth"):
        (output / name).touch()
    assert train(data, output, "--iters", "1") == 2
    assert "--resume" in capsys.readouterr().err
    shutil.rmtree(output)


def test_a_model_that_is_not_there(data, tmp_path, capsys):
    code = main(["train", str(tmp_path / "no model"), str(data), "--output", str(tmp_path / "run")])
    assert code == 2
    assert "no model" in capsys.readouterr().err
