"""`vitadapter data`: what it says of a dataset, and the sheet that it draws."""

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.command.main import main
from tests.datasets.layouts.miniatures import MINIATURES
from tests.datasets.makers import folder_of, write_image, write_labels


def told(capsys, *arguments, code=0):
    assert main(["data", *map(str, arguments)]) == code
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_layout_pairs_ids_and_names_of_every_part(tmp_path, capsys):
    MINIATURES["ade20k"].make(tmp_path)
    lines = told(capsys, tmp_path).splitlines()
    assert f"{tmp_path.name}/training: 2 images with label maps, layout ade20k" in lines
    assert f"{tmp_path.name}/validation: 2 images with label maps, layout ade20k" in lines
    assert "  looked at 2; sizes (height x width): 40 x 48 (2)" in lines
    assert "  id     0    8.33 %  in 2 of 2  not counted" in lines
    assert "  id     2   45.83 %  in 2 of 2  building" in lines
    assert "training" not in told(capsys, tmp_path, "--split", "val")


def test_what_is_odd_or_can_not_be_used(tmp_path, capsys):
    for number, ids in enumerate(([[0, 255]], [[0, 0]])):
        write_image(tmp_path / "images" / f"{number}.jpg", (1, 2))
        write_labels(tmp_path / "labels" / f"{number}.png", ids)
    shown = told(capsys, tmp_path, code=1)
    assert "  odd: In the 2 label maps that were looked at there are only the ids 0, 255" in shown
    assert "--label-ids 0:0,255:1" in shown
    assert "class 1" in told(capsys, tmp_path, "--label-ids", "0:0,255:1")
    write_labels(tmp_path / "labels" / "1.png", [[0]])
    shown = told(capsys, tmp_path, "--label-ids", "0:0,255:1", code=1)
    assert "can't be used: " in shown
    assert "1.png' has height 1 and width 1" in shown


def test_the_rest_is_told_where_a_part_can_not_be_opened(tmp_path, capsys):
    folder_of(tmp_path, split="train")
    folder_of(tmp_path, split="val")
    (tmp_path / "labels" / "val" / "2.png").unlink()
    shown = told(capsys, tmp_path, code=1)
    assert "/train: 3 images" in shown
    assert "val: 1 of 3 images have no label map" in shown
    assert "--skip-missing" in shown
    assert "/val: 2 images" in told(capsys, tmp_path, "--skip-missing")


def test_a_sheet_with_labels_on_top(tmp_path, capsys):
    MINIATURES["voc"].make(tmp_path)
    sheet = tmp_path / "sheet.png"
    told(capsys, tmp_path, "--preview", sheet, "--limit", "2")
    pixels = np.asarray(Image.open(sheet))
    image, drawn = pixels[:40, :48].astype(int), pixels[:40, 48:96].astype(int)
    assert (image[:, :4] == drawn[:, :4]).all()  # what is not counted stays as it is
    upper, lower = (2 * drawn[rows, 4:] - image[rows, 4:] for rows in (slice(0, 20), slice(20, 40)))
    assert np.abs(upper - np.median(upper, axis=(0, 1))).max() <= 2  # one colour for each class
    assert np.abs(np.median(upper, axis=(0, 1)) - np.median(lower, axis=(0, 1))).max() > 50


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "'nowhere' does not exist"),
        (["nowhere", "--limit", "0"], "--limit 0: expected"),
        (["nowhere", "--layout", "vox"], "--layout vox: expected one of ade20k"),
    ],
)
def test_mistakes_are_a_line(capsys, arguments, says):
    assert says in told(capsys, *arguments, code=2 if "--limit" in arguments else 1)
