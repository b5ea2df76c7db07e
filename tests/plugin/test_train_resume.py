"""A run goes on exactly where it was stopped, and only as the run that it was."""

import shutil
import signal
from types import SimpleNamespace

import pytest
import torch

from modelscope_vitadapter import interrupts
from modelscope_vitadapter.errors import CheckpointError, TrainingError
from modelscope_vitadapter.training.train_config import latest_checkpoint
from tests.plugin.train_runs import (
    IMAGES,
    RECIPE,
    AfterStep,
    Losses,
    files,
    new_trainer,
    stop_after,
    weights,
)
from tests.training.drawn_images import DrawnImages


def finished(work_dir, stops=(), **options):
    """Weights and losses of a run that was stopped after some steps, each time by a new trainer."""
    losses = []
    for stop in [*stops, None]:
        recorder = Losses()
        torch.manual_seed(len(losses))  # the global random state is no part of a run
        callbacks = [recorder] if stop is None else [stop_after(stop), recorder]
        trainer = new_trainer(work_dir, callbacks=callbacks, **options)
        checkpoint = latest_checkpoint(work_dir)
        trainer.train(checkpoint_path=None if checkpoint is None else str(checkpoint))
        losses += recorder.found
        assert trainer.iter == (stop or RECIPE["max_iters"])
        assert latest_checkpoint(work_dir).name == f"iter_{trainer.iter}"
    return weights(trainer), losses


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped."""
    return finished(tmp_path_factory.mktemp("whole"))


def check_equal(found, expected):
    assert repr(found[1]) == repr(expected[1])  # in which NaN is itself
    assert set(found[0]) == set(expected[0])
    for name, value in expected[0].items():
        assert torch.equal(found[0][name], value), name


# An epoch has two steps: 1 and 3 are in the middle of one, 2 is the end of one.
@pytest.mark.parametrize(("stops", "workers"), [([1, 2], 0), ([3], 2)])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, whole, stops, workers):
    check_equal(finished(tmp_path, stops, run={"workers": workers}), whole)
    before = torch.load(tmp_path / "iter_4.pth", weights_only=True)
    assert sum(not torch.equal(before[name], value) for name, value in whole[0].items()) > 100


def test_the_scale_of_float16_gradients_goes_on_too(tmp_path):
    recipe = {"dtype": "float16", "learning_rate": 1e-4}
    expected = finished(tmp_path / "whole", recipe=recipe)
    check_equal(finished(tmp_path / "parts", [2], recipe=recipe), expected)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The directory of a run that was stopped after a step."""
    folder = tmp_path_factory.mktemp("stopped")
    new_trainer(folder, callbacks=[stop_after(1)]).train()
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": "backbone"}, "freeze was 'nothing' and is 'backbone'"),
        ({"recipe": {"learning_rate": 1, "batch_size": 2}}, "batch_size was 4 and is 2; learning"),
        ({"seed": 1}, "seed was 42 and is 1"),
        ({"train_dataset": DrawnImages(IMAGES + 1)}, "data set was .* and is"),
        ({"classes": ["other", *"bcde"]}, "classes was"),
        ({"class_weights": [1, 1, 1, 1, 2]}, "class weights was None and is"),
        ({"adapter_form": "authors"}, "adapter form was 'builtin' and is 'authors'"),
        ({"crop": 96}, r"crop was \(64, 64\) and is \(96, 96\)"),
    ],
)
def test_a_run_does_not_go_on_as_another(tmp_path, stopped, options, message):
    trainer = new_trainer(tmp_path, **options)
    before = weights(trainer)
    with pytest.raises(CheckpointError, match=message):
        trainer.train(checkpoint_path=str(stopped / "iter_1"))
    assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_may_change_does(tmp_path, stopped, dtype):
    recipe = {"max_iters": 2, "accumulation": 2, "dtype": dtype}
    trainer = new_trainer(tmp_path, recipe=recipe, run={"max_checkpoints": 1})
    trainer.train(checkpoint_path=str(stopped / "iter_1.pth"))
    assert trainer.iter == 2


@pytest.mark.parametrize("spoiled", ["iter_1.pth", "iter_1_trainer_state.pth"])
def test_damaged_and_missing_files_are_named(tmp_path, stopped, spoiled):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)

    def resume():
        new_trainer(tmp_path / "run").train(checkpoint_path=str(tmp_path / "iter_1"))

    data = (tmp_path / spoiled).read_bytes()
    (tmp_path / spoiled).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{spoiled}.*(expected|does not exist)"):
        resume()
    (tmp_path / spoiled).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=f"{spoiled}' is damaged"):
        resume()
    torch.save({"meta": {}}, tmp_path / spoiled)
    with pytest.raises(CheckpointError, match=f"{spoiled}' (is no training state|holds no)"):
        resume()


def contents(folder):
    """All there is in a folder, by path; None stands for a folder."""
    paths = folder.rglob("*")
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


def test_a_directory_with_another_runs_checkpoints_is_refused_and_stays_as_it_is(tmp_path, stopped):
    new_trainer(tmp_path / "other", recipe={"max_iters": 1}).train()
    before = contents(stopped)
    for checkpoint in (None, str(tmp_path / "other" / "iter_1")):
        trainer = new_trainer(stopped)
        with pytest.raises(TrainingError, match="checkpoints of another run"):
            trainer.train(checkpoint_path=checkpoint)
        assert contents(stopped) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path, number):
    before = signal.getsignal(number)
    interrupt = AfterStep(2, lambda trainer: signal.raise_signal(number))
    trainer = new_trainer(tmp_path, callbacks=[interrupt])
    trainer.train()
    assert (trainer.iter, latest_checkpoint(tmp_path).name) == (2, "iter_2")
    assert signal.getsignal(number) is before


def test_a_second_signal_acts_at_once(tmp_path, monkeypatch):
    clock = iter([0.0, 0.5, 2.0])
    monkeypatch.setattr(interrupts, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    taken = []

    def interrupt(trainer):
        for _ in range(3):  # the second one comes with the first: torchrun passes on Ctrl-C
            taken.append(trainer.iter)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        new_trainer(tmp_path, callbacks=[AfterStep(1, interrupt)]).train()
    assert taken == [0, 0, 0]


def test_a_hook_may_end_a_run_too(tmp_path, caplog):
    caplog.set_level("INFO")
    enough = AfterStep(3, lambda trainer: setattr(trainer, "_stop_training", True))
    trainer = new_trainer(tmp_path, callbacks=[enough], run={"checkpoint_interval": 3})
    trainer.train()
    assert trainer.iter == 3
    assert files(tmp_path, "iter_*.pth") == ["iter_3.pth", "iter_3_trainer_state.pth"]
    assert caplog.text.count("Saved") == 1  # not again for the stop
