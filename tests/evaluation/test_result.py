import json

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.evaluation.result import (
    CARD,
    Evaluation,
    format_table,
    published_metrics,
    write_plot,
)


def evaluation(**changes):
    values = {
        "model": "some/model",
        "data": "val",
        "pictures": 2,
        "classes": ("sky", "草地", "$x$"),
        "counts": np.array([[60, 20, 0], [5, 15, 0], [0, 0, 0]]),
        "seconds": 1.23,
        "settings": {"device": "cpu"},
    }
    return Evaluation(**{**values, **changes})


def test_json_holds_metrics_classes_confusions_and_counts(tmp_path):
    path = tmp_path / "新" / "evaluation.json"
    evaluation(published=CARD).write_json(path)
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["aAcc"] == 0.75
    assert content["mIoU"] == pytest.approx((60 / 85 + 15 / 40) / 2)
    grass = {"id": 1, "name": "草地", "IoU": 15 / 40, "Acc": 0.75, "pixels": 20}
    assert content["classes"][1] == grass
    assert content["classes"][2]["IoU"] is None
    worst = {"class": "sky", "taken_for": "草地", "pixels": 20, "share": 0.25}
    assert content["worst_confusions"][0] == worst
    assert content["confusion_matrix"] == [[60, 20, 0], [5, 15, 0], [0, 0, 0]]
    assert content["published"]["mIoU"] == 0.4721
    assert content["settings"] == {"device": "cpu"}
    assert "草地" in text
    assert [one.name for one in path.parent.iterdir()] == ["evaluation.json"]
    evaluation(counts=np.zeros((3, 3), np.int64)).write_json(path)
    assert json.loads(path.read_text(encoding="utf-8"))["mIoU"] is None


def test_table_has_a_line_for_each_class_and_the_means():
    text = format_table(evaluation())
    lines = text.splitlines()
    assert lines[2] == "草地   37.50  75.00      20"  # two places for each Chinese letter
    rows = [line.split() for line in lines]
    assert rows[:2] == [["class", "IoU", "Acc", "pixels"], ["sky", "70.59", "75.00", "80"]]
    assert rows[3] == ["$x$", "-", "-", "0"]
    assert ["sky", "taken", "for", "草地", "25.00", "20"] in rows
    assert ["mIoU", "54.04"] in rows
    assert "card" not in text
    text = format_table(evaluation(published=CARD))
    rows = [line.split() for line in text.splitlines()]
    assert ["mIoU", "54.04", "47.21"] in rows
    assert "COCO-Stuff-164k val" in text


def test_the_card_is_of_the_hubs_model_and_of_coco_stuffs_classes():
    classes = ["person", *["x"] * 78, "toothbrush", "banner", *["y"] * 89, "wood"]
    assert published_metrics("a/directory", classes) is CARD
    assert published_metrics(CARD["model"], ["a"]) is CARD
    assert published_metrics("a/directory", classes[1:]) is None
    assert published_metrics("a/directory", ["other", *classes[1:]]) is None


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_plot(tmp_path, recwarn):
    import matplotlib

    before = dict(matplotlib.rcParams)
    path = tmp_path / "图" / "plot.png"
    write_plot(evaluation(), path)
    for colour in ((31, 119, 180), (214, 39, 40)):  # bars of classes, and of confusions
        assert (pixels(path) == colour).all(axis=2).sum() > 1000
    write_plot(evaluation(counts=np.zeros((3, 3), np.int64)), tmp_path / "empty.svg")
    assert "<svg" in (tmp_path / "empty.svg").read_text(encoding="utf-8")
    names = tuple(rf"$\nothing{k}$" for k in range(171))  # no formulas
    write_plot(evaluation(classes=names, counts=np.eye(171, dtype=np.int64)), tmp_path / "many.png")
    assert len(pixels(tmp_path / "many.png")) > 5 * len(pixels(path))
    with pytest.raises(ValueError, match="xyz"):
        write_plot(evaluation(), tmp_path / "plot.xyz")
    assert [str(one.message) for one in recwarn.list] == []
    assert dict(matplotlib.rcParams) == before
