import numpy as np
import pytest

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.datasets.scan import check_labelled
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import folder_of, write_labels


def test_a_sound_data_set_passes_and_progress_is_told(tmp_path):
    told = []
    pictures = open_labelled(folder_of(tmp_path, count=7))
    check_labelled(pictures, 7, workers=2, progress=lambda *numbers: told.append(numbers))
    assert told == [(number, 7) for number in range(1, 8)]


def test_all_problems_are_listed_by_file(tmp_path):
    pictures = open_labelled(folder_of(tmp_path, count=7))
    images, labels = tmp_path / "images" / "val", tmp_path / "labels" / "val"
    (images / "1.jpg").write_bytes(b"no picture")
    (labels / "2.png").unlink()
    write_labels(labels / "3.png", np.zeros((2, 2)))
    content = (images / "4.jpg").read_bytes()
    (images / "4.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataSetError) as caught:
        check_labelled(pictures, 6, workers=2)
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 of 7 labelled pictures can't be used:"
    for line, name, says in zip(
        lines[1:],
        ["1.jpg", "2.png", "3.png", "4.jpg", "6.png"],
        ["no picture", "does not exist", "height 2", "can't be decoded", "no class: 6"],
        strict=True,
    ):
        assert name in line
        assert says in line


def test_long_lists_are_cut(tmp_path):
    pictures = open_labelled(folder_of(tmp_path, count=9))
    with pytest.raises(DataSetError) as caught:
        check_labelled(pictures, 1, listed=3)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("8 of 9")
    assert len(lines) == 5
    assert lines[-1].strip() == "and 5 others"


class Empty:
    label_ids = None

    def __len__(self):
        return 0


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataSetError, match="empty"):
        check_labelled(Empty(), 3)


def test_a_data_set_without_any_class_is_refused(tmp_path):
    folder_of(tmp_path, count=2)
    for number in range(2):
        write_labels(tmp_path / "labels" / "val" / f"{number}.png", 255)
    with pytest.raises(DataSetError, match="none of the 2 label maps holds a class"):
        check_labelled(open_labelled(tmp_path), 3)


def test_rows_that_fail_are_numbered():
    rows = [{"image": np.zeros((2, 2, 3), np.uint8), "label": np.zeros((2, 2), np.uint8)}] * 3

    class Failing(list):
        def __getitem__(self, index):
            if index == 2:
                raise RuntimeError("the disk is gone")
            return super().__getitem__(index)

    with pytest.raises(DataSetError, match=r"picture 2 .*RuntimeError: the disk is gone"):
        check_labelled(open_labelled(Failing(rows)), 1)
