import numpy as np
import pytest
from modelscope_vitadapter.datasets.checks import check_dataset

from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import folder_of, write_labels


def lines_about(root, num_classes):
    with pytest.raises(DataSetError) as caught:
        check_dataset(open_dataset(root), num_classes)
    return str(caught.value).splitlines()


def test_all_problems_are_listed_by_file(tmp_path):
    dataset = open_dataset(folder_of(tmp_path, count=7))
    check_dataset(dataset, 7)  # a sound one passes
    images, labels = tmp_path / "images" / "val", tmp_path / "labels" / "val"
    (images / "1.jpg").write_bytes(b"no picture")
    (labels / "2.png").unlink()
    write_labels(labels / "3.png", np.zeros((2, 2)))
    content = (images / "4.jpg").read_bytes()
    (images / "4.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataSetError) as caught:
        check_dataset(dataset, 6)
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 of 7 labelled images can't be used:"
    names = ["1.jpg", "2.png", "3.png", "4.jpg", "6.png"]
    problems = ["no picture", "does not exist", "height 2", "decoded", "no class: 6"]
    for line, name, problem in zip(lines[1:], names, problems, strict=True):
        assert name in line
        assert problem in line


def test_long_lists_are_cut(tmp_path):
    lines = lines_about(folder_of(tmp_path, count=26), 1)
    assert lines[0].startswith("25 of 26")
    assert [len(lines), lines[-1].strip()] == [22, "and 5 others"]


def test_datasets_that_teach_nothing_are_refused(tmp_path):
    folder_of(tmp_path, count=2)
    for number in range(2):
        write_labels(tmp_path / "labels" / "val" / f"{number}.png", 255)
    assert "none of the 2 label maps holds a class" in lines_about(tmp_path, 3)[0]

    class Empty(list):
        label_ids = None

    assert "empty" in lines_about(Empty(), 3)[0]


def test_rows_that_fail_are_numbered():
    class Failing(list):
        def __getitem__(self, index):
            if index == 2:
                raise RuntimeError("the disk is gone")
            return super().__getitem__(index)

    rows = [{"image": np.zeros((2, 2, 3), np.uint8), "label": np.zeros((2, 2), np.uint8)}] * 3
    assert "image 2 (counted from 0): RuntimeError: the disk" in lines_about(Failing(rows), 1)[1]
