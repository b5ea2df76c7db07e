"""What a run evaluates, saves, keeps and logs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modelscope.pipelines import pipeline
from modelscope.trainers.hooks.early_stop_hook import EarlyStopHook
from modelscope.trainers.hooks.priority import Priority

from modelscope_vitadapter.plugin import train_log
from modelscope_vitadapter.plugin import trainer as trainer_module
from modelscope_vitadapter.training.train_config import (
    PERIODIC,
    latest_checkpoint,
    saved_checkpoints,
)
from tests.plugin.train_runs import (
    AfterStep,
    Losses,
    files,
    new_trainer,
    stop_after,
    tiny_model,
    weights,
)
from tests.training.drawn_images import DrawnImages

EVERY_STEP = {"evaluation_interval": 1, "sample_pictures": 0}


@pytest.fixture
def metrics(monkeypatch):
    """Sets what evaluations find, one after the other."""

    def give(*values):
        given = iter(values)
        monkeypatch.setattr(trainer_module, "evaluate_segmenter", lambda *_: {"mIoU": next(given)})

    return give


def test_the_saved_model_answers_in_the_pipeline_as_the_trained_one_does(tmp_path):
    data = DrawnImages(3)
    run = {"evaluation_interval": 2, "sample_pictures": 2}
    trainer = new_trainer(tmp_path, eval_dataset=data, recipe={"max_iters": 3}, run=run)
    trainer.train()
    found = trainer.metric_values
    assert trainer.evaluate() == found
    assert set(found) == {"mIoU", "aAcc", "mAcc"}
    output = tmp_path / "output"
    names = ["configuration.json", "eval_result.txt", "mmcv_config.py", "pytorch_model.pt"]
    assert files(output, "*") == names
    assert (output / names[2]).read_bytes() == (tiny_model() / names[2]).read_bytes()
    assert json.loads((output / names[1]).read_text(encoding="utf-8")) == found
    segmentor = pipeline("image-segmentation", model=str(output), device="cpu")
    images = [data[number].image for number in range(3)]
    trainer.model.eval()
    for image, expected in zip(images, trainer.model.segmenter.segment(images), strict=True):
        answer = segmentor(image, output="class_map")["class_map"]
        assert np.array_equal(answer, expected.class_map.numpy())
    assert (tmp_path / "output_best" / "pytorch_model.pt").is_file()
    # after the last step too, whatever the interval is
    assert files(tmp_path, "samples/*/*.png") == ["0.png", "0.png", "1.png", "1.png"]
    assert files(tmp_path, "samples/*") == ["iter_2", "iter_3"]
    lines = [json.loads(line) for line in next(tmp_path.glob("*.log.json")).open(encoding="utf-8")]
    assert {"loss", "loss_cls", "d0.loss_mask", "grad_norm", "lr"} <= {*lines[0]}


def test_the_best_model_and_only_that_stays_where_later_ones_are_worse(tmp_path, metrics):
    metrics(0.2, 0.5, float("nan"), 0.4, 0.5)
    folder, after = tmp_path / "a path with mIoU in it", []
    keeper = AfterStep(2, lambda trainer: after.append(weights(trainer)))
    options = {"eval_dataset": DrawnImages(1), "run": EVERY_STEP}
    new_trainer(folder, callbacks=[keeper], **options).train()
    best, last = (
        torch.load(folder / name / "pytorch_model.pt", weights_only=True)
        for name in ("output_best", "output")
    )
    assert all(torch.equal(best[name], value) for name, value in after[0].items())
    assert any(not torch.equal(last[name], value) for name, value in after[0].items())
    name = "best_iter2_mIoU0.5000"
    assert files(folder, "best_*") == [f"{name}.pth", f"{name}_trainer_state.pth"]


def test_the_best_metric_is_remembered_whatever_other_hooks_there_are(tmp_path, metrics):
    options = {"eval_dataset": DrawnImages(1), "run": EVERY_STEP, "recipe": {"max_iters": 3}}
    metrics(0.9)
    new_trainer(tmp_path, callbacks=[stop_after(1), AfterStep(9, print)], **options).train()
    metrics(0.8, 0.7)
    new_trainer(tmp_path, **options).train(checkpoint_path=str(tmp_path / "iter_1"))
    assert files(tmp_path, "best_*.pth")[0] == "best_iter1_mIoU0.9000.pth"


def test_modelscopes_early_stop_counts_evaluations(tmp_path, metrics):
    metrics(0.5, 0.5)
    stop = EarlyStopHook("mIoU", early_stop_strategy="by_step", interval=2, patience=1)
    run = {"evaluation_interval": 2, "sample_pictures": 0}
    trainer = new_trainer(tmp_path, callbacks=[stop], eval_dataset=DrawnImages(1), run=run)
    trainer.train()
    assert trainer.iter == 4  # the second evaluation was no better than the first
    assert latest_checkpoint(tmp_path).name == "iter_4"


def test_only_so_many_checkpoints_are_kept_also_of_an_earlier_part(tmp_path):
    run = {"checkpoint_interval": 1, "max_checkpoints": 2}
    new_trainer(tmp_path, callbacks=[stop_after(3)], run=run).train()
    assert files(tmp_path, "iter_*_trainer_state.pth")[0].startswith("iter_2")
    for kept, expected in ((2, ["iter_3", "iter_4"]), (1, ["iter_4"])):
        # from an older one, what is written again is kept
        run["max_checkpoints"] = kept
        trainer = new_trainer(tmp_path, recipe={"max_iters": 4}, run=run)
        trainer.train(checkpoint_path=str(tmp_path / "iter_3"))
        found = [name for name in files(tmp_path, "iter_*.pth") if "state" not in name]
        assert found == [f"{name}.pth" for name in expected]


def test_from_an_older_checkpoint_on_the_later_ones_give_way(tmp_path):
    run = {"checkpoint_interval": 1, "max_checkpoints": 4}
    new_trainer(tmp_path, run=run).train()
    assert len(saved_checkpoints(tmp_path, PERIODIC)) == 4
    stopping = new_trainer(tmp_path, callbacks=[stop_after(3)], run=run)
    stopping.train(checkpoint_path=str(tmp_path / "iter_2"))
    assert [one.name for one in saved_checkpoints(tmp_path, PERIODIC)] == ["iter_2", "iter_3"]


def test_a_line_comes_after_the_first_step_at_intervals_and_when_time_has_passed(
    tmp_path, monkeypatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    clock = iter([0, 1, 2, 3, 4, 64, 65, 66, 67])  # at the start, then after each step
    monkeypatch.setattr(train_log, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    losses, recipe = Losses(), {"max_iters": 8, "batch_size": 1}  # all in one epoch
    run = {"log_interval": 3, "tensorboard": True}
    new_trainer(tmp_path, recipe, run, callbacks=[losses]).train()
    lines = [json.loads(line) for line in next(tmp_path.glob("*.log.json")).open(encoding="utf-8")]
    assert [line["iter"] for line in lines] == [1, 3, 5, 6]
    found = [one["loss"] for one in losses.found]
    expected = [np.mean(found[of]) for of in (slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 6))]
    assert [line["loss"] for line in lines] == pytest.approx(expected, abs=1e-4)
    events = EventAccumulator(str(tmp_path / "tensorboard_output")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [
        (step, pytest.approx(value)) for step, value in zip([1, 3, 5, 6], expected, strict=True)
    ]
    log = next(tmp_path.glob("*[0-9].log")).read_text(encoding="utf-8")
    assert log.count("Training Config Start") == 1
    assert log.count("loss: ") == 4


def test_tensorboard_gets_curves_and_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = {"tensorboard": True, "evaluation_interval": 1, "sample_pictures": 2}
    new_trainer(tmp_path, eval_dataset=DrawnImages(2), recipe={"max_iters": 1}, run=run).train()
    events = EventAccumulator(str(tmp_path / "tensorboard_output"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss", "loss_cls", "d0.loss_mask", "lr", "evaluation/mIoU"} <= set(tags["scalars"])
    assert {"predictions/0", "predictions/1"} <= set(tags["images"])


def test_hooks_see_the_rate_of_their_step_and_every_epoch(tmp_path):
    rates, epochs = [], []

    class Watcher(AfterStep):
        PRIORITY = Priority.LOW  # before the logs, which clear the buffer with their line

        def after_train_iter(self, trainer):
            rates.append(trainer.log_buffer.output["lr"])

        def after_train_epoch(self, trainer):
            epochs.append((trainer.epoch, trainer.inner_iter))

    run = {"log_interval": 9}
    new_trainer(tmp_path, {"max_iters": 4}, run, callbacks=[Watcher(0, None)]).train()
    shares = [1e-6, 0.75 * (1 - 0.5 * (1 - 1e-6)), 0.5, 0.25]  # two steps of warm-up
    assert rates == pytest.approx([1e-3 * share for share in shares])
    assert epochs == [(0, 1), (1, 1)]
