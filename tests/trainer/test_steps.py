import math
import re

import pytest
import torch
from modelscope.pipelines import pipeline
from modelscope.trainers.hooks import Hook
from modelscope.trainers.hooks.early_stop_hook import EarlyStopHook
from modelscope.trainers.hooks.priority import Priority
from modelscope.utils.constant import Tasks

from modelscope_vitadapter.errors import NotFiniteLossError
from modelscope_vitadapter.training.criterion.points import SeededPoints
from modelscope_vitadapter.training.criterion.targets import batch_targets
from tests.trainer.runs import PICTURES, RECIPE, Recorder, new_trainer, weights
from tests.training.drawn_pictures import DrawnPictures


def trained(work_dir, **options):
    recorder = Recorder()
    trainer = new_trainer(work_dir, callbacks=[recorder], **options)
    trainer.train()
    return trainer, recorder


def test_the_loss_of_a_step_is_the_criterions_and_its_gradient_reaches_every_parameter(tmp_path):
    _, recorder = trained(tmp_path / "run", recipe={"max_iters": 1, "warmup_iters": 0})

    fresh = new_trainer(tmp_path / "other", recipe={"max_iters": 1})
    batch = next(iter(fresh.get_train_dataloader()))
    network = fresh.training_network.train()
    from modelscope_vitadapter.network.seeded_dropout import set_sample_seeds

    set_sample_seeds(network.network, batch.seeds)
    predictions = list(network.network.predictions(batch.images))
    losses = network.criterion(
        predictions, batch_targets(batch.classes, "cpu"), SeededPoints(batch.seeds, "cpu")
    )
    assert recorder.losses[0] == pytest.approx(float(losses["loss"].detach()), rel=1e-6)

    losses["loss"].backward()
    names = [name for name, _ in network.network.named_parameters()]
    assert sorted(recorder.gradients) == sorted(names)
    for name, parameter in network.network.named_parameters():
        assert recorder.gradients[name].abs().sum() > 0, name
        assert torch.allclose(recorder.gradients[name], parameter.grad, atol=1e-6), name


def test_accumulated_parts_give_the_mean_of_their_gradients(tmp_path):
    _, parts = trained(tmp_path / "parts", recipe={"max_iters": 1, "accumulation": 4})
    batch = next(iter(new_trainer(tmp_path / "batch").get_train_dataloader()))
    means: dict[str, torch.Tensor] = {}
    losses = []
    for row in range(4):
        network = new_trainer(tmp_path / "batch").training_network.train()
        one = slice(row, row + 1)
        result = network(batch.images[one], batch.classes[one], batch.seeds[one])
        result["loss"].backward()
        losses.append(float(result["loss"].detach()))
        for name, parameter in network.network.named_parameters():
            means[name] = means.get(name, 0) + parameter.grad / 4
    assert parts.losses[0] == pytest.approx(sum(losses) / 4, rel=1e-5)
    for name, expected in means.items():
        assert torch.allclose(parts.gradients[name], expected, atol=1e-5), name


@pytest.mark.parametrize(
    ("freeze", "trained_parts"),
    [
        ("backbone", {"decode_head"}),
        ("beit", {"decode_head", "spm", "interactions", "level_embed", "up", "norm1"}),
    ],
)
def test_frozen_parts_stay_to_the_last_bit(tmp_path, freeze, trained_parts):
    before = weights(new_trainer(tmp_path / "before"))
    trainer, recorder = trained(tmp_path / "run", freeze=freeze, recipe={"max_iters": 2})
    after = weights(trainer)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {name.split(".")[1] if name.startswith("backbone") else "decode_head" for name in moved}
    assert trained_parts <= parts
    assert not parts & {"blocks", "patch_embed", "cls_token"}
    if freeze == "backbone":
        assert parts == {"decode_head"}
    assert set(recorder.gradients) == {
        name
        for name, parameter in trainer.model.model.named_parameters()
        if parameter.requires_grad
    }


def test_a_loss_that_is_not_finite_names_the_pictures_and_keeps_the_last_checkpoint(
    tmp_path, monkeypatch
):
    trainer = new_trainer(tmp_path, run={"checkpoint_interval": 1})
    forward = trainer.training_network.forward
    calls = []

    def broken(images, classes, seeds):
        calls.append(seeds)
        losses = forward(images, classes, seeds)
        return losses if len(calls) < 3 else {**losses, "loss": losses["loss"] * math.nan}

    monkeypatch.setattr(trainer.training_network, "forward", broken)
    with pytest.raises(NotFiniteLossError, match=r"the loss \(loss\) became nan.*picture"):
        trainer.train()
    assert (tmp_path / "iter_2.pth").is_file()
    assert not (tmp_path / "iter_3.pth").exists()
    again = new_trainer(tmp_path / "again")
    again.train(checkpoint_path=str(tmp_path / "iter_2"))
    assert all(value.isfinite().all() for value in weights(again).values())


def test_a_gradient_that_is_not_finite_stops_before_the_step(tmp_path):
    class Spoil(Recorder):
        def after_train_iter(self, trainer):
            if trainer.iter == 1:
                next(trainer.training_network.parameters()).grad.fill_(math.inf)

    trainer = new_trainer(tmp_path, callbacks=[Spoil()], run={"checkpoint_interval": 1})
    with pytest.raises(NotFiniteLossError, match=r"gradients' norm became (inf|nan).*picture"):
        trainer.train()
    assert all(value.isfinite().all() for value in weights(trainer).values())
    assert not (tmp_path / "iter_2.pth").exists()


def test_the_best_checkpoint_is_the_last_one_of_its_kind(tmp_path):
    folder = tmp_path / "a path with mIoU in it"
    trained(folder, eval_dataset=DrawnPictures(2), run={"evaluation_interval": 1})
    found = list(folder.glob("best_*.pth"))
    assert len(found) == 2  # weights and state
    assert all(re.match(r"best_iter\d+_mIoU0\.\d{4}", path.name) for path in found)


def test_the_best_model_stays_where_a_later_one_is_worse(tmp_path, monkeypatch):
    from modelscope_vitadapter.plugin.trainer import segmentation_trainer

    figures = iter([0.5, 0.2])
    monkeypatch.setattr(segmentation_trainer, "evaluate_model", lambda *_: {"mIoU": next(figures)})
    after = []

    class Keeper(Hook):
        PRIORITY = Priority.LOWEST

        def after_train_iter(self, trainer):
            after.append(weights(trainer))

    trainer = new_trainer(
        tmp_path,
        callbacks=[Keeper()],
        eval_dataset=DrawnPictures(2),
        recipe={"max_iters": 2},
        run={"evaluation_interval": 1},
    )
    trainer.train()
    best, last = (
        torch.load(tmp_path / name / "pytorch_model.pt", weights_only=True)
        for name in ("output_best", "output")
    )
    name = "decode_head.cls_embed.weight"
    assert torch.equal(best[name], after[0][name])
    assert torch.equal(last[name], after[1][name])
    assert not torch.equal(best[name], last[name])


def test_modelscopes_early_stop_counts_evaluations(tmp_path, monkeypatch):
    from modelscope_vitadapter.plugin.trainer import segmentation_trainer

    monkeypatch.setattr(segmentation_trainer, "evaluate_model", lambda *_: {"mIoU": 0.5})
    stop = EarlyStopHook("mIoU", early_stop_strategy="by_step", interval=2, patience=1)
    trainer = new_trainer(
        tmp_path,
        callbacks=[stop],
        eval_dataset=DrawnPictures(2),
        recipe={"max_iters": 9},
        run={"evaluation_interval": 2},
    )
    trainer.train()
    assert trainer.iter == 4  # the second evaluation was no better than the first


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_trains_float32_weights(tmp_path, dtype):
    trainer, recorder = trained(tmp_path, recipe={"max_iters": 2, "dtype": dtype})
    assert all(math.isfinite(loss) for loss in recorder.losses)
    assert {p.dtype for p in trainer.model.model.parameters()} == {torch.float32}


def test_the_saved_model_answers_in_the_pipeline_as_the_trained_one_does(tmp_path):
    data = DrawnPictures(3)
    trainer, _ = trained(
        tmp_path, eval_dataset=data, recipe={"max_iters": 3}, run={"evaluation_interval": 2}
    )
    figures = trainer.evaluate()
    assert set(figures) == {"mIoU", "aAcc", "mAcc"}
    folder = tmp_path / "output"
    assert sorted(path.name for path in folder.glob("*.p[ty]")) == [
        "mmcv_config.py",
        "pytorch_model.pt",
    ]
    segmentor = pipeline(Tasks.image_segmentation, model=str(folder), device="cpu")
    from modelscope_vitadapter.plugin.trainer.evaluating import class_maps

    trainer.model.eval()
    for number in range(3):
        image = data[number].image
        (expected,) = class_maps(trainer.model, [image])
        found = segmentor(image, output="class_map")["class_map"]
        assert (found == expected).all()
    assert (tmp_path / "output_best" / "pytorch_model.pt").is_file()
    assert (tmp_path / "samples" / "iter_2" / "0.png").is_file()
    assert (tmp_path / "samples" / "iter_3" / "0.png").is_file()  # after the last step too


def test_batches_that_cannot_be_divided_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size is 4: expected a multiple of 3"):
        new_trainer(tmp_path, recipe={"accumulation": 3})


def test_epochs_count_whole_passes(tmp_path):
    trainer = new_trainer(tmp_path, recipe={"max_epochs": 3})
    assert trainer.iters_per_epoch == PICTURES // RECIPE["batch_size"]
    assert trainer.max_iters == 3 * trainer.iters_per_epoch
