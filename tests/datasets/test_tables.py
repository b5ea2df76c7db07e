"""Tables in files: what separates columns, and what their paths mean."""

import pytest

from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import folder_of
from tests.datasets.test_open_dataset import classes_by_image


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path, split="")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", '"image";"label";"height, width"\n"images/1.jpg";"labels/1.png";"6, 4"'),
        ("a.tsv", "image\tlabel\ttags, all\nimages/1.jpg\tlabels/1.png\tx"),
        ("a.csv", "image,label\nimages\\1.jpg,labels\\1.png"),  # as Windows writes them
    ],
)
def test_columns_and_paths(folder, name, text):
    (folder / name).write_text(text)
    assert classes_by_image(open_dataset(folder / name)) == [1]


def test_an_empty_cell_is_named(folder):
    (folder / "a.csv").write_text("image,label\nimages/1.jpg,")
    with pytest.raises(DataSetError, match=r"row 0 .* has nothing in 'label'"):
        classes_by_image(open_dataset(folder / "a.csv"))


def test_a_table_has_no_splits(folder):
    """All of it would be used, whatever was asked for."""
    (folder / "a.csv").write_text("image,label\nimages/1.jpg,labels/1.png")
    with pytest.raises(DataSetNotFoundError, match=r"a.csv' has no split 'val'"):
        open_dataset(folder / "a.csv", split="val")
