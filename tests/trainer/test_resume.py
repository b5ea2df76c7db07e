import signal

import pytest
import torch

from modelscope_vitadapter.errors import CheckpointError, TrainingError
from modelscope_vitadapter.plugin.trainer.checkpoints import latest_checkpoint
from modelscope_vitadapter.plugin.trainer.hooks import BestHook
from tests.trainer.runs import PICTURES, RECIPE, Recorder, StopAfter, new_trainer, weights
from tests.training.drawn_pictures import DrawnPictures


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights and losses of a run that was not stopped."""
    recorder = Recorder()
    trainer = new_trainer(tmp_path_factory.mktemp("whole"), callbacks=[recorder])
    trainer.train()
    return weights(trainer), recorder.losses


def stopped_and_resumed(work_dir, steps, **options):
    recorder = Recorder()
    trainer = new_trainer(work_dir, callbacks=[StopAfter(steps), recorder], **options)
    trainer.train()
    assert trainer.iter == steps
    checkpoint = latest_checkpoint(work_dir)
    assert checkpoint is not None
    assert checkpoint.name == f"iter_{steps}"
    rest = Recorder()
    again = new_trainer(work_dir, callbacks=[rest], **options)
    again.train(checkpoint_path=str(checkpoint))
    return weights(again), recorder.losses + rest.losses


def check_equal(found, expected):
    assert found[1] == expected[1]
    assert set(found[0]) == set(expected[0])
    for name, value in expected[0].items():
        assert torch.equal(found[0][name], value), name


# An epoch has two steps: 3 and 5 are in the middle of one, 4 is the end of one.
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, whole, steps):
    check_equal(stopped_and_resumed(tmp_path, steps), whole)


def test_with_workers_too(tmp_path, whole):
    found = stopped_and_resumed(tmp_path, 5, run={"workers": 2})
    check_equal(found, whole)


def test_a_run_that_was_stopped_twice(tmp_path, whole):
    new_trainer(tmp_path, callbacks=[StopAfter(2)]).train()
    second = new_trainer(tmp_path, callbacks=[StopAfter(3)])
    second.train(checkpoint_path=str(latest_checkpoint(tmp_path)))
    third = new_trainer(tmp_path)
    third.train(checkpoint_path=str(latest_checkpoint(tmp_path)))
    for name, value in whole[0].items():
        assert torch.equal(weights(third)[name], value), name


def test_the_best_figure_is_remembered_whatever_other_hooks_there_are(tmp_path):
    options = {"eval_dataset": DrawnPictures(2), "run": {"evaluation_interval": 1}}

    class Pretend(Recorder):
        def after_train_iter(self, trainer):
            (best,) = (hook for hook in trainer.hooks if isinstance(hook, BestHook))
            best._best_metric = 0.99

    trainer = new_trainer(tmp_path, callbacks=[StopAfter(2), Pretend(), Recorder()], **options)
    trainer.train()
    again = new_trainer(tmp_path, **options)
    again.train(checkpoint_path=str(tmp_path / "iter_2"))
    (best,) = (hook for hook in again.hooks if isinstance(hook, BestHook))
    assert best._best_metric == 0.99
    assert again.iter == RECIPE["max_iters"]


def test_weights_do_change_from_step_to_step(tmp_path, whole):
    trainer = new_trainer(tmp_path, callbacks=[StopAfter(6)])
    trainer.train()
    assert any(not torch.equal(weights(trainer)[name], whole[0][name]) for name in whole[0])


def test_the_global_random_state_is_no_part_of_it(tmp_path, whole):
    trainer = new_trainer(tmp_path)
    torch.manual_seed(999)
    trainer.train()
    for name, value in whole[0].items():
        assert torch.equal(weights(trainer)[name], value), name


def test_an_interrupt_saves_and_returns(tmp_path):
    class Interrupt(StopAfter):
        def after_train_iter(self, trainer):
            if trainer.iter + 1 == self.steps:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    trainer = new_trainer(tmp_path, callbacks=[Interrupt(2)])
    trainer.train()
    assert trainer.iter == 2
    assert latest_checkpoint(tmp_path).name == "iter_2"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_with_other_frozen_parts_does_not_take_the_state(tmp_path):
    new_trainer(tmp_path, callbacks=[StopAfter(1)]).train()
    other = new_trainer(tmp_path, freeze="backbone")
    with pytest.raises(CheckpointError, match="freeze was 'nothing' and is 'backbone'"):
        other.train(checkpoint_path=str(latest_checkpoint(tmp_path)))


def test_a_missing_or_damaged_state_is_named(tmp_path):
    trainer = new_trainer(tmp_path, callbacks=[StopAfter(1)])
    trainer.train()
    state = tmp_path / "iter_1_trainer_state.pth"
    data = state.read_bytes()
    state.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"iter_1_trainer_state\.pth' can't be read"):
        new_trainer(tmp_path).train(checkpoint_path=str(tmp_path / "iter_1"))
    state.unlink()
    with pytest.raises(FileNotFoundError, match=r"iter_1_trainer_state\.pth"):
        new_trainer(tmp_path).train(checkpoint_path=str(tmp_path / "iter_1"))


def test_a_run_does_not_go_on_with_other_options(tmp_path):
    new_trainer(tmp_path, callbacks=[StopAfter(1)]).train()
    other = new_trainer(tmp_path, recipe={"learning_rate": 1e-5, "batch_size": 2})
    with pytest.raises(CheckpointError, match=r"batch_size was 4 and is 2; learning_rate was"):
        other.train(checkpoint_path=str(latest_checkpoint(tmp_path)))


def test_the_scale_of_float16_gradients_goes_on_too(tmp_path):
    recipe = {"dtype": "float16", "max_iters": 4}
    recorder = Recorder()
    trainer = new_trainer(tmp_path / "whole", callbacks=[recorder], recipe=recipe)
    trainer.train()
    found = stopped_and_resumed(tmp_path / "parts", 2, recipe=recipe)
    check_equal(found, (weights(trainer), recorder.losses))


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    new_trainer(tmp_path, callbacks=[StopAfter(1)]).train()
    pictures = DrawnPictures(PICTURES)
    pictures.identity = "as many others"
    names = [f"other {number}" for number in range(17)]
    for options, message in (
        ({"train_dataset": pictures}, "data set was .* and is 'as many others'"),
        ({"classes": names}, "classes was"),
        ({"adapter_form": "authors"}, "adapter form was 'builtin' and is 'authors'"),
    ):
        with pytest.raises(CheckpointError, match=message):
            new_trainer(tmp_path, **options).train(checkpoint_path=str(tmp_path / "iter_1"))


def test_a_run_does_not_go_on_with_another_crop(tmp_path):
    new_trainer(tmp_path, callbacks=[StopAfter(1)]).train()
    other = new_trainer(tmp_path, crop=96)
    with pytest.raises(CheckpointError, match=r"crop was \(64, 64\) and is \(96, 96\)"):
        other.train(checkpoint_path=str(latest_checkpoint(tmp_path)))


def test_a_directory_with_another_runs_checkpoints_is_refused(tmp_path):
    new_trainer(tmp_path, callbacks=[StopAfter(1)]).train()
    with pytest.raises(TrainingError, match="checkpoints of another run"):
        new_trainer(tmp_path).train()


def test_a_stop_where_a_checkpoint_was_just_written_keeps_it(tmp_path):
    run = {"checkpoint_interval": 2, "max_checkpoints": 1}
    new_trainer(tmp_path, callbacks=[StopAfter(2)], run=run).train()
    assert latest_checkpoint(tmp_path).name == "iter_2"


def test_a_hook_may_end_a_run_too(tmp_path):
    class Enough(StopAfter):
        def after_train_iter(self, trainer):
            trainer._stop_training = trainer.iter + 1 == self.steps

    trainer = new_trainer(tmp_path, callbacks=[Enough(3)])
    trainer.train()
    assert trainer.iter == 3
    assert latest_checkpoint(tmp_path).name == "iter_3"


def test_going_on_from_an_older_checkpoint_keeps_what_it_writes_again(tmp_path):
    run = {"checkpoint_interval": 1, "max_checkpoints": 2}
    new_trainer(tmp_path, recipe={"max_iters": 7}, run=run).train()
    older = tmp_path / "iter_6"
    run["max_checkpoints"] = 1
    new_trainer(tmp_path, run=run).train(str(older))
    assert [path.name for path in sorted(tmp_path.glob("iter_*.pth"))] == [
        "iter_7.pth",
        "iter_7_trainer_state.pth",
    ]


def test_only_so_many_checkpoints_are_kept_also_of_an_earlier_part(tmp_path):
    run = {"checkpoint_interval": 1, "max_checkpoints": 2}
    new_trainer(tmp_path, callbacks=[StopAfter(3)], run=run).train()
    trainer = new_trainer(tmp_path, run=run)
    trainer.train(checkpoint_path=str(latest_checkpoint(tmp_path)))
    last = RECIPE["max_iters"]
    assert sorted(path.name for path in tmp_path.glob("iter_*_trainer_state.pth")) == [
        f"iter_{number}_trainer_state.pth" for number in (last - 1, last)
    ]
