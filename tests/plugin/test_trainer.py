"""What a trainer is given: data sets, classes, a model to start from, options."""

import json
import shutil

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from modelscope_vitadapter.config import model_config
from modelscope_vitadapter.errors import ConfigError, DataSetError, TrainingError
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from tests.plugin.train_runs import IMAGES, RECIPE, new_trainer, tiny_model, weights
from tests.training.drawn_images import DrawnImages
from tests.training.tiny_model import write_model

CLASSES = ("sky", "tree", "water")
ONE_STEP = {"max_iters": 1, "batch_size": 2}


def drawn_pair(number):
    """An image and its label map, of a size of its own."""
    rng, size = np.random.default_rng(number), (40 + number, 50)
    image = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
    return image, Image.fromarray(rng.integers(0, len(CLASSES), size, np.uint8))


def write_data(folder, splits=("train", "val")):
    """A folder with four images in each part."""
    for split in splits:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(4):
            for kind, image in zip(("images", "labels"), drawn_pair(number), strict=True):
                image.save(folder / kind / split / f"{number}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return folder


def folder_trainer(data, work_dir, **options):
    given = {"train_dataset": str(data), "eval_dataset": str(data), "check_data": True}
    return new_trainer(work_dir, **{**given, "recipe": ONE_STEP, **options})


def test_a_folder_gives_both_parts_and_the_classes_and_all_is_made_in_memory(tmp_path, monkeypatch):
    read, real = [], model_config.read_config
    monkeypatch.setattr(
        model_config, "read_config", lambda path, **_: read.append(path) or real(path)
    )
    model = shutil.copytree(tiny_model(), tmp_path / "model")
    (model / "README.md").write_text("of the model", encoding="utf-8")
    data, run = write_data(tmp_path / "数据"), tmp_path / "run"
    trainer = folder_trainer(data, run, model=str(model), crop=96)
    assert tuple(trainer.model.CLASSES) == CLASSES
    assert len(trainer.train_dataset) == len(trainer.eval_dataset) == 4
    trainer.train()
    assert set(trainer.metric_values) == {"mIoU", "aAcc", "mAcc"}
    assert not (run / "start").exists()
    assert read == [model / "mmcv_config.py"]
    for name in ("output", "output_best"):
        saved = VitAdapterSemanticSegmentation(run / name)
        assert tuple(saved.CLASSES) == CLASSES
        assert saved.windows == trainer.model.windows
        assert saved.segmenter.config == trainer.model.segmenter.config
        assert (run / name / "README.md").is_file()
        described = json.loads((run / name / "configuration.json").read_text(encoding="utf-8"))
        assert described["model"]["type"] == "vitadapter-semantic-segmentation"
    assert saved.windows.crop_size == (96, 96)
    trainer.model.save_pretrained(model)  # in place of what it came from
    assert model_config.load_model_config(model) == trainer.model.segmenter.config


def test_bad_data_is_named_before_training_starts(tmp_path):
    folder = write_data(tmp_path / "data")
    label = folder / "labels" / "train" / "3.png"
    Image.fromarray(np.full((43, 50), 77, np.uint8)).save(label)
    with pytest.raises(DataSetError, match=r"3\.png.*77"):
        folder_trainer(folder, tmp_path / "run")
    for kind in ("images", "labels"):
        shutil.rmtree(folder / kind / "val")
    with pytest.raises(DataSetError, match="without evaluation: eval_dataset=None"):
        folder_trainer(folder, tmp_path / "run")


def test_tables_and_folders_without_parts(tmp_path):
    pairs = [drawn_pair(number) for number in range(2)]
    columns = dict(zip(("image", "annotation"), map(list, zip(*pairs, strict=True)), strict=True))
    trainer = folder_trainer(
        tmp_path,
        tmp_path / "run",
        train_dataset=Dataset.from_dict(columns),
        eval_dataset=None,
        classes=CLASSES,
        data_options={"image_column": "image"},
        label_column="annotation",
    )
    trainer.train()
    assert trainer.iter == 1
    folder = write_data(tmp_path / "data", splits=[""])
    trainer = new_trainer(tmp_path / "other", train_dataset=str(folder), train_split="")
    assert len(trainer.train_dataset) == 4


def test_a_model_object_is_trained_in_place_with_its_own_classes_only(tmp_path):
    model = VitAdapterSemanticSegmentation(tiny_model())
    trainer = new_trainer(tmp_path, model=model, recipe={"max_iters": 1})
    before = weights(trainer)
    assert trainer.model is model
    trainer.train()
    assert any(not torch.equal(value, before[name]) for name, value in weights(trainer).items())
    for options in ({"classes": CLASSES}, {"crop": 96}, {"from_scratch": True}, {"beit": "b.pth"}):
        with pytest.raises(TrainingError, match="give its directory"):
            new_trainer(tmp_path, model=model, **options)


def test_a_checkpoint_may_be_evaluated_and_data_must_be_given(tmp_path):
    new_trainer(tmp_path / "run", recipe={"max_iters": 1}).train()
    other = new_trainer(tmp_path, train_dataset=None, eval_dataset=DrawnImages(2))
    assert set(other.evaluate(str(tmp_path / "run" / "iter_1.pth"))) == {"mIoU", "aAcc", "mAcc"}
    saved = torch.load(tmp_path / "run" / "iter_1.pth", weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in weights(other).items())
    with pytest.raises(TrainingError, match="train_dataset"):
        other.train()
    with pytest.raises(TrainingError, match="eval_dataset"):
        new_trainer(tmp_path).evaluate()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recipe": {"rate": 1}}, ValueError, "recipe has no option 'rate'"),
        ({"run": {"rate": 1}}, ValueError, "run has no option 'rate'"),
        ({"rate": 1}, TypeError, "takes no 'rate'.*label_ids, .*skip_missing"),
        ({"split": "test"}, TypeError, "takes no 'split'"),
        (
            {"label_ids": "as-is", "data_options": {"label_ids": "as-is"}},
            TypeError,
            "label_ids is given twice",
        ),
        ({"class_weights": [1, 2]}, ValueError, "there are 5 classes"),
        ({"recipe": {"accumulation": 3}}, ValueError, "batch_size is 4: expected a multiple of 3"),
        ({"freeze": "head"}, ValueError, "freeze is 'head'"),
        ({"device": "abacus"}, ValueError, "abacus"),
        ({"crop": 100}, ValueError, "crop is 100"),
        ({"classes": ["a", "a"]}, TrainingError, "'a' is given 2 times"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        new_trainer(tmp_path, **options)


def test_what_training_needs_is_asked_for_when_it_starts(tmp_path):
    few = new_trainer(tmp_path, train_dataset=DrawnImages(3))
    with pytest.raises(DataSetError, match=r"3 sample\(s\), fewer than the 4"):
        few.train()
    whole = write_model(tmp_path / "whole", {"model.test_cfg": {"mode": "whole"}})
    with pytest.raises(ConfigError, match="mode 'whole' and no crop_size"):
        new_trainer(tmp_path / "run", model=str(whole)).train()
    focal = {"model.decode_head.loss_cls": {"type": "FocalLoss"}}
    with pytest.raises(ConfigError, match="FocalLoss"):
        new_trainer(tmp_path / "run", model=str(write_model(tmp_path / "focal", focal)))


def test_class_weights_are_those_of_the_loss_and_no_object_keeps_its_own(tmp_path):
    trainer = new_trainer(
        tmp_path,
        recipe={"max_iters": 1},
        classes=["sky", *"bcde"],
        class_weights={"c": 2.5, "sky": 0},
    )
    trainer.train()
    weights = trainer.stepping.losses_of.criterion.class_weight
    assert weights.tolist() == pytest.approx([0, 1, 2.5, 1, 1, 0.1])


def test_arguments_of_modelscopes_trainer(tmp_path):
    seen = []
    trainer = new_trainer(
        tmp_path, max_epochs=2, seed=7, cfg_modify_fn=lambda cfg: seen.append(cfg) or cfg
    )
    assert (trainer.train_config.max_epochs, trainer.train_config.seed) == (2, 7)
    assert trainer.iters_per_epoch == IMAGES // RECIPE["batch_size"]
    assert trainer.max_iters == 2 * trainer.iters_per_epoch
    assert seen[0].task == "image-segmentation"
