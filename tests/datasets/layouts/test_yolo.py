"""YOLO's text files: where they may be, names of classes, what is refused."""

import pytest
from PIL import Image

from modelscope_vitadapter.datasets.layouts import yolo
from modelscope_vitadapter.datasets.open_dataset import open_dataset, parts_of
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import write_image

SQUARE = "1 0 0 0.5 0 0.5 0.5 0 0.5\n"
NAMES = "path: /elsewhere\nnames: [cat, dog]\n"


def write_yolo(root, images="images/train", labels="labels/train", lines=SQUARE, names=NAMES):
    for name in ("a", "b"):
        write_image(root / images / f"{name}.jpg", size=(4, 8))
    (root / labels).mkdir(parents=True)
    (root / labels / "a.txt").write_text(lines)
    if names:
        (root / "data.yaml").write_text(names)
    return root


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        ("images/train", "labels/train", ["train"]),
        ("train/images", "train/labels", ["train"]),
        ("images", "labels", []),
    ],
)
def test_places(tmp_path, images, labels, names):
    write_yolo(tmp_path, images, labels)
    for root in (tmp_path, tmp_path / "data.yaml"):
        assert yolo.splits(root) == names
        found = yolo.find(root, names[0] if names else None)
        assert found.classes == ("background", "cat", "dog")
        (_, square), (_, empty) = found.pairs
        assert square.ids().tolist() == [[2] * 4 + [0] * 4] * 2 + [[0] * 8] * 2
        assert not empty.ids().any() and empty.ids().shape == (4, 8)
    assert yolo.splits(tmp_path / "images") is None


def test_the_yaml_file_beside_the_dataset(tmp_path):
    """As Ultralytics names it and the folder in it; the folder's parts are not one part."""
    write_yolo(tmp_path / "pets", names=None)
    (tmp_path / "pets.yaml").write_text(NAMES.replace("/elsewhere", "pets"))
    for source in (tmp_path, tmp_path / "pets", tmp_path / "pets.yaml"):
        assert parts_of(tmp_path) == ["train"]
        assert open_dataset(source, split="train").classes == ("background", "cat", "dog")


@pytest.mark.parametrize(
    ("file", "names", "classes"),
    [
        ("x.yml", "names: {1: dog, 0: cat}", ("background", "cat", "dog")),
        ("dataset.yaml", "names: [cat, background]", ("background", "cat")),
        ("classes.txt", "cat\ndog", ("background", "cat", "dog")),
    ],
)
def test_names(tmp_path, file, names, classes):
    write_yolo(tmp_path, names=None)
    (tmp_path / file).write_text(names)
    found = yolo.find(tmp_path, "train")
    assert found.classes == classes
    assert found.pairs[0][1].ids()[0, 0] == (classes.index("dog") if "dog" in classes else 0)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (None, r"data\.yaml with 'names:'"),
        ("names: []", r"data\.yaml.*names no classes"),
        ("names: [yes, no]", "in quotes"),
        ("names: {a: b}", "class 'a'"),
        ("names: [", "YAML"),
        ("!!python/object/apply:os.getcwd []", "YAML"),
        ("[" * 5000, "YAML"),
    ],
)
def test_names_that_cannot_be_read(tmp_path, names, says):
    write_yolo(tmp_path, names=names)
    with pytest.raises(DataSetError, match=says):
        yolo.find(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0.5 0.5 0.1 0.1", "for detection"),
        ("0 0.5 0.5 0.1", "at least three corners"),
        ("0 0.5 0.5 0.1 0.1 0.2 0.2 0.3", "at least three corners"),
        ("0 10 10 20 20 10 20", "from 0 to 1"),
        ("0 nan 0 1 1 0 1", "from 0 to 1"),
        ("x 0 0 1 1 0 1", "number of a class"),
        ("7 0 0 1 1 0 1", "of class 7"),
    ],
)
def test_lines_that_are_refused(tmp_path, line, says):
    write_yolo(tmp_path, lines=f"{SQUARE}{line}\n")
    with pytest.raises(DataSetError, match=rf"a\.txt', line 2 .*{says}"):
        yolo.find(tmp_path, "train").pairs[0][1].ids()


def test_corners_are_of_the_upright_image(tmp_path):
    write_yolo(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "images" / "train" / "a.jpg", exif=exif)
    assert (
        yolo.find(tmp_path, "train").pairs[0][1].ids().tolist()
        == [[2, 2, 0, 0]] * 4 + [[0] * 4] * 4
    )
