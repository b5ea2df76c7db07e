import json

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.plot import write_plot
from modelscope_vitadapter.evaluation.published import CARD, published_figures
from modelscope_vitadapter.evaluation.result import Evaluation
from modelscope_vitadapter.evaluation.table import format_table


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


def test_json_holds_figures_classes_confusions_and_counts(tmp_path):
    path = tmp_path / "新" / "evaluation.json"
    evaluation(published=CARD).write_json(path)
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["aAcc"] == 0.75
    assert content["mIoU"] == pytest.approx((60 / 85 + 15 / 40) / 2)
    assert content["classes"][1] == {
        **{"id": 1, "name": "草地", "IoU": 15 / 40, "Acc": 0.75, "pixels": 20}
    }
    assert content["classes"][2]["IoU"] is None
    assert content["worst_confusions"][0] == {
        **{"class": "sky", "taken_for": "草地", "pixels": 20, "share": 0.25}
    }
    assert content["confusion_matrix"] == [[60, 20, 0], [5, 15, 0], [0, 0, 0]]
    assert content["published"]["mIoU"] == 0.4721
    assert content["settings"] == {"device": "cpu"}
    assert "草地" in text
    assert [one.name for one in path.parent.iterdir()] == ["evaluation.json"]


def test_json_of_figures_that_are_no_numbers(tmp_path):
    evaluation(counts=np.zeros((3, 3), np.int64)).write_json(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["mIoU"] is None


def test_table_has_a_line_for_each_class_and_the_figures():
    lines = format_table(evaluation()).splitlines()
    assert lines[0].split() == ["class", "IoU", "Acc", "pixels"]
    assert lines[1].split() == ["sky", "70.59", "75.00", "80"]
    assert lines[3].split() == ["$x$", "-", "-", "0"]
    assert lines[2] == "草地   37.50  75.00      20"  # two places for each Chinese letter
    assert ["sky", "taken", "for", "草地", "25.00", "20"] in [line.split() for line in lines]
    assert ["mIoU", "54.04"] in [line.split() for line in lines]
    assert "card" not in "\n".join(lines)


def test_table_shows_the_card_beside_what_was_measured():
    text = format_table(evaluation(published=CARD))
    rows = [line.split() for line in text.splitlines()]
    assert ["aAcc", "75.00", "69.91"] in rows
    assert ["mIoU", "54.04", "47.21"] in rows
    assert ["mAcc", "75.00", "57.17"] in rows
    assert "COCO-Stuff-164k val" in text


def test_the_card_is_of_the_hubs_model_and_of_coco_stuffs_classes():
    from pathlib import Path

    from modelscope_vitadapter.config.reader import read_config

    golden = Path(__file__).parents[1] / "golden" / "full_size_mmcv_config.py"
    classes = read_config(golden)["CLASSES"]
    assert published_figures("a/directory", classes) is CARD
    assert published_figures(CARD.model, ["a"]) is CARD
    assert published_figures("a/directory", classes[1:]) is None
    assert published_figures("a/directory", ["other", *classes[1:]]) is None


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plot(tmp_path, suffix, recwarn):
    path = tmp_path / "图" / f"plot{suffix}"
    write_plot(evaluation(), path)
    if suffix == ".png":
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        blue, red = (31, 119, 180), (214, 39, 40)
        for colour in (blue, red):
            assert (pixels == colour).all(axis=1).sum() > 1000
    else:
        assert "<svg" in path.read_text(encoding="utf-8")
    assert not recwarn.list


def test_plot_of_nothing_and_of_many_classes(tmp_path):
    write_plot(evaluation(counts=np.zeros((3, 3), np.int64)), tmp_path / "empty.png")
    names = tuple(f"class {k}" for k in range(171))
    write_plot(evaluation(classes=names, counts=np.eye(171, dtype=np.int64)), tmp_path / "many.png")
    heights = [Image.open(tmp_path / name).height for name in ("empty.png", "many.png")]
    assert heights[1] > 5 * heights[0]


def test_plot_leaves_the_callers_backend_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_plot(evaluation(), tmp_path / "plot.png")
    assert dict(matplotlib.rcParams) == before


def test_plot_of_another_suffix_is_refused(tmp_path):
    with pytest.raises(DataSetError, match=r"plot\.xyz"):
        write_plot(evaluation(), tmp_path / "plot.xyz")
