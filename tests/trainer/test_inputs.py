import shutil

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from modelscope_vitadapter.errors import DataSetError, TrainingError
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from tests.trainer.runs import MODEL, new_trainer
from tests.training.drawn_pictures import DrawnPictures

CLASSES = ("sky", "tree", "water")


def write_data(folder, *, count=5, classes=CLASSES):
    """A folder with parts `train` and `val`, every picture of its own size."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            rng = np.random.default_rng(number)
            size = (40 + number, 50)
            picture = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
            picture.save(folder / "images" / split / f"{number}.png")
            labels = rng.integers(0, len(classes), size, np.uint8)
            Image.fromarray(labels).save(folder / "labels" / split / f"{number}.png")
    (folder / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    return folder


def folder_trainer(data, work_dir, **options):
    return new_trainer(work_dir, train_dataset=data, eval_dataset=data, check_data=True, **options)


def test_a_folder_gives_both_parts_and_the_classes(tmp_path):
    trainer = folder_trainer(str(write_data(tmp_path / "数据")), tmp_path / "run")
    assert tuple(trainer.model.CLASSES) == CLASSES
    assert len(trainer.inputs.training) == len(trainer.inputs.evaluation) == 5
    trainer.train()
    assert set(trainer.metric_values) == {"mIoU", "aAcc", "mAcc"}
    assert tuple(VitAdapterSemanticSegmentation(tmp_path / "run" / "output").CLASSES) == CLASSES


def spoiled(folder, what):
    label = folder / "labels" / "train" / "3.png"
    picture = folder / "images" / "train" / "3.png"
    if what == "id":
        Image.fromarray(np.full((43, 50), 77, np.uint8)).save(label)
    elif what == "size":
        Image.fromarray(np.zeros((43, 51), np.uint8)).save(label)
    elif what == "missing":
        label.unlink()
    elif what == "unreadable":
        picture.write_bytes(b"no picture")
    else:
        for path in (folder / "images" / "train").iterdir():
            path.unlink()
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("id", r"3\.png.*77"),
        ("size", r"3\.png"),
        ("missing", r"3\.png"),
        ("unreadable", r"3\.png"),
        ("empty", "train"),
    ],
)
def test_bad_data_is_named_before_training_starts(tmp_path, what, message):
    folder = spoiled(write_data(tmp_path / "data"), what)
    with pytest.raises(DataSetError, match=message):
        folder_trainer(str(folder), tmp_path / "run")


def test_bad_data_in_the_middle_of_a_run_is_named_too(tmp_path):
    folder = spoiled(write_data(tmp_path / "data"), "id")
    trainer = new_trainer(
        tmp_path / "run", train_dataset=str(folder), recipe={"batch_size": 5, "max_iters": 1}
    )
    with pytest.raises(DataSetError, match=r"3\.png.*77"):
        trainer.train()


def test_a_hugging_face_data_set_with_columns(tmp_path):
    rng = np.random.default_rng(0)
    rows = {"image": [], "annotation": []}
    for number in range(4):
        rows["image"].append(Image.fromarray(rng.integers(0, 256, (40, 50 + number, 3), np.uint8)))
        rows["annotation"].append(Image.fromarray(rng.integers(0, 3, (40, 50 + number), np.uint8)))
    data = Dataset.from_dict(rows)
    trainer = new_trainer(
        tmp_path,
        train_dataset=data,
        classes=CLASSES,
        check_data=True,
        recipe={"max_iters": 1},
        data_options={"label_column": "annotation"},
    )
    trainer.train()
    assert trainer.iter == 1


def test_a_model_object_is_trained_in_place(tmp_path):
    model = VitAdapterSemanticSegmentation(MODEL)
    trainer = new_trainer(tmp_path, model=model, recipe={"max_iters": 1})
    assert trainer.model is model


def test_training_without_data_says_what_to_give(tmp_path):
    trainer = new_trainer(tmp_path, train_dataset=None, eval_dataset=DrawnPictures(2))
    assert set(trainer.evaluate()) == {"mIoU", "aAcc", "mAcc"}
    with pytest.raises(TrainingError, match="train_dataset"):
        trainer.train()


def test_fewer_pictures_than_a_batch(tmp_path):
    trainer = new_trainer(tmp_path, train_dataset=DrawnPictures(3))
    with pytest.raises(DataSetError, match=r"3 sample\(s\), fewer than the 4"):
        trainer.train()


@pytest.mark.parametrize(
    "options",
    [{"recipe": {"rate": 1}}, {"run": {"rate": 1}}, {"rate": 1}, {"run": {"log_interval": 0}}],
)
def test_unknown_options_are_refused(tmp_path, options):
    with pytest.raises((ValueError, TypeError), match=r"rate|log_interval is 0"):
        new_trainer(tmp_path, **options)


def test_arguments_of_modelscopes_trainer_go_into_the_recipe(tmp_path):
    trainer = new_trainer(tmp_path, max_epochs=2, seed=7)
    assert (trainer.recipe.max_epochs, trainer.recipe.seed) == (2, 7)


def test_a_folder_without_parts(tmp_path):
    folder = write_data(tmp_path / "data")
    for kind in ("images", "labels"):
        for path in (folder / kind / "train").iterdir():
            path.rename(folder / kind / path.name)
        shutil.rmtree(folder / kind / "train")
        shutil.rmtree(folder / kind / "val")
    trainer = new_trainer(tmp_path / "run", train_dataset=str(folder), train_split="")
    assert len(trainer.inputs.training) == 5


def test_a_missing_part_for_evaluation_says_what_to_do(tmp_path):
    folder = write_data(tmp_path / "data")
    for kind in ("images", "labels"):
        shutil.rmtree(folder / kind / "val")
    with pytest.raises(DataSetError, match="--no-evaluation"):
        folder_trainer(str(folder), tmp_path / "run")


def test_a_model_object_with_other_classes_is_refused(tmp_path):
    model = VitAdapterSemanticSegmentation(MODEL)
    with pytest.raises(TrainingError, match="give its directory"):
        new_trainer(tmp_path, model=model, classes=CLASSES)


def test_tensorboard_gets_curves_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = new_trainer(
        tmp_path,
        eval_dataset=DrawnPictures(2),
        recipe={"max_iters": 2},
        run={"tensorboard": True, "evaluation_interval": 2},
    )
    trainer.train()
    events = EventAccumulator(str(tmp_path / "tensorboard_output"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss", "loss_cls", "d0.loss_mask", "lr", "evaluation/mIoU"} <= set(tags["scalars"])
    assert {"predictions/0", "predictions/1"} <= set(tags["images"])
