"""Tables of `datasets` whose images are files, and what of them can't be read."""

import pytest
from PIL import Image

from modelscope_vitadapter.datasets.dataset import identity_of
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import folder_of, write_image, write_labels
from tests.datasets.test_open_dataset import classes_by_image


def table_of(folder):
    from datasets import Dataset
    from datasets import Image as ImageFeature

    images, labels = (sorted(map(str, folder.rglob(f"*.{one}"))) for one in ("jpg", "png"))
    table = Dataset.from_dict({"image": images, "label": labels})
    return table.cast_column("image", ImageFeature()).cast_column("label", ImageFeature())


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_orientation_is_this_packages_to_apply(tmp_path, exif):
    """`datasets` turns what it decodes."""
    orientation = Image.Exif()
    orientation[0x0112] = 6
    write_image(tmp_path / "a.jpg", (6, 4), exif=orientation)
    write_labels(tmp_path / "a.png", [[0] * 6] * 4 if exif == "apply" else [[0] * 4] * 6)
    dataset = open_dataset(table_of(tmp_path), exif=exif)
    assert read_sample(dataset[0], dataset.label_ids, 1).image.shape[0] in (4, 6)
    write_image(tmp_path / "a.jpg", (4, 4), exif=orientation)
    write_labels(tmp_path / "a.png", [[0] * 4] * 4)
    found = read_sample(dataset[0], dataset.label_ids, 1)
    assert found.is_ambiguous == (exif == "apply")


def test_identity_follows_the_files(tmp_path):
    table = table_of(folder_of(tmp_path, split=""))
    before = identity_of(open_dataset(table))
    assert identity_of(open_dataset(table)) == before
    assert identity_of(open_dataset(table.select([1, 0, 2]))) != before
    write_labels(tmp_path / "labels" / "0.png", [[0, 1, 2, 0]] * 6)
    assert identity_of(open_dataset(table)) != before


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"none")
    for source in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(DataSetError, match=r"can't be read: Arrow"):
            open_dataset(source)
    folder_of(tmp_path, split="")  # of which that file is no part
    assert classes_by_image(open_dataset(tmp_path)) == [0, 1, 2]


def broken():
    yield {"image": "a.jpg", "label": "a.png"}
    raise KeyError("gone")


def test_a_stream_that_fails():
    from datasets import IterableDataset

    with pytest.raises(DataSetError, match=r"stream failed .* KeyError: 'gone'"):
        open_dataset(IterableDataset.from_generator(broken))
