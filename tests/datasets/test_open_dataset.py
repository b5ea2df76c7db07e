import json
import os

import numpy as np
import pytest
from PIL import Image as PillowImage

from modelscope_vitadapter.datasets.dataset import classes_of, identity_of
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.open_dataset import has_splits, open_dataset, parts_of
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import SIZE, folder_of, write_image, write_labels


def classes_by_image(dataset, num_classes=10):
    """The one class of each image of `folder_of`, in order."""
    read = [read_sample(dataset[i], dataset.label_ids, num_classes) for i in range(len(dataset))]
    assert all((one.classes == one.classes[0, 0]).all() for one in read)
    return [int(one.classes[0, 0]) for one in read]


class TestFolders:
    @pytest.mark.parametrize(
        ("image", "label", "split"),
        [
            ("images/val/{}.jpg", "labels/val/{}.png", "val"),
            ("images/{}.jpg", "masks/{}.png", None),
            ("img/val/{}.JPG", "annotations/val/{}.tif", "val"),
            ("images/val/{}.jpg", "stuffthingmaps/val/{}.png", None),  # a single split
            ("Images/{}.jfif", "Masks/{}.gif", None),
            ("{}.jpg", "masks/{}.png", None),
            ("train/{}.jpg", "train_masks/{}_mask.png", None),
            ("val/images/{}.jpg", "val/labels/{}.png", "val"),
            ("val/{}.jpg", "labels/val/{}.png", "val"),
            ("images/val/城市/东 1/{}.jpg", "labels/val/城市/东 1/{}.png", "val"),
            ("images/{}.png", "labels/{}_labelTrainIds.png", None),
            ("{}.jpg", "{}.png", None),  # both in one folder
            ("{}.jpg", "{}_mask.png", None),
            ("{}.png", "{}_label.png", None),
            ("val/{}.png", "val/{}_gt.png", "val"),
        ],
    )
    def test_layouts(self, tmp_path, image, label, split):
        for number in range(3):
            write_image(tmp_path / image.format(number))
            write_labels(tmp_path / label.format(number), number)
        (tmp_path / image.format(0)).with_name("._0.jpg").write_bytes(b"macOS")
        assert has_splits(tmp_path) == any(part in image for part in ("train", "val"))
        for source in (tmp_path, str(tmp_path)):
            dataset = open_dataset(source, split=split, label_ids="as-is")
            assert classes_by_image(dataset) == [0, 1, 2]

    def test_two_folders_by_themselves(self, tmp_path):
        folder_of(tmp_path, images="a", labels="b")
        both = (tmp_path / "a", tmp_path / "b")
        assert parts_of(both) == ["val"]
        for split in ("val", None):
            assert classes_by_image(open_dataset(both, split=split)) == [0, 1, 2]

    @pytest.mark.parametrize("below", [False, True])
    def test_one_of_several_splits_has_to_be_chosen(self, tmp_path, below):
        for split in ("train", "val"):
            folder_of(tmp_path / split if below else tmp_path, split="" if below else split)
        assert open_dataset(tmp_path, split="val").name == f"{tmp_path.name}/val"
        with pytest.raises(DataSetError, match="splits train, val: choose one"):
            open_dataset(tmp_path)
        with pytest.raises(DataSetNotFoundError, match="no split 'test'; there are train, val"):
            open_dataset(tmp_path, split="test")

    def test_images_without_a_label_map_are_listed(self, tmp_path):
        folder_of(tmp_path, count=30)
        for number in range(25):
            (tmp_path / "labels" / "val" / f"{number}.png").unlink()
        with pytest.raises(DataSetError, match="25 of 30 images have no label map") as caught:
            open_dataset(tmp_path)
        assert str(tmp_path / "images" / "val" / "0.jpg") in str(caught.value)
        assert "and 5 more" in str(caught.value)
        assert len(open_dataset(tmp_path, skip_missing=True)) == 5

    def test_what_is_no_dataset_is_refused(self, tmp_path):
        for source in (tmp_path / "nothing", (tmp_path / "a", tmp_path / "b")):
            with pytest.raises(DataSetNotFoundError, match="does not exist"):
                open_dataset(source)
        with pytest.raises(DataSetError, match="no images"):
            open_dataset(tmp_path)
        write_image(tmp_path / "images" / "0.jpg")
        with pytest.raises(DataSetError, match="no folder of label maps"):
            open_dataset(tmp_path)

    def test_classes_are_read(self, tmp_path):
        folder_of(tmp_path)
        assert classes_of(open_dataset(tmp_path)) is None
        (tmp_path / "classes.txt").write_text("猫\ndog \nsky\n\n", encoding="utf-8")
        assert classes_of(open_dataset(tmp_path)) == ("猫", "dog", "sky")
        assert classes_of(open_dataset(tmp_path, classes=["a", "b"])) == ("a", "b")
        odd = {b"cat\n\ndog": "line 2 is empty", b"": "line 1 is empty", b"a\na": "'a' again"}
        for content, says in {**odd, b"\xff\xfe\x00": "UTF-8"}.items():
            (tmp_path / "classes.txt").write_bytes(content)
            with pytest.raises(DataSetError, match=says):
                open_dataset(tmp_path)


class TestCocoStuff:
    def folder(self, root, labels, ending="", split="val2017"):
        for number in range(3):
            name = f"{number:012d}"
            write_image(root / "images" / split / f"{name}.jpg")
            write_labels(root / labels / split / f"{name}{ending}.png", 30 + number)
        return root

    @pytest.mark.parametrize(
        ("labels", "ending", "split", "classes"),
        [
            ("annotations", "_labelTrainIds", "val2017", [30, 31, 32]),
            ("annotations", "", "val2017", [26, 27, 28]),
            ("stuffthingmaps", "", "val2017", [26, 27, 28]),
            ("stuffthingmaps", "", "mini", [26, 27, 28]),
            ("labels", "", "val2017", [30, 31, 32]),  # own labels on COCO's images
        ],
    )
    def test_original_ids_are_told_by_folder_and_name(
        self, tmp_path, labels, ending, split, classes
    ):
        self.folder(tmp_path, labels, ending, split)
        assert classes_by_image(open_dataset(tmp_path), 171) == classes
        assert open_dataset(tmp_path, label_ids="as-is").label_ids == LabelIds()

    def test_original_label_maps_are_taken_before_converted_ones(self, tmp_path):
        self.folder(tmp_path, "annotations")
        self.folder(tmp_path, "annotations", "_labelTrainIds")
        dataset = open_dataset(tmp_path)
        assert dataset[0].label.stem == f"{0:012d}"
        assert classes_by_image(dataset, 171) == [26, 27, 28]


def row(number, image="image", label="label"):
    pixels = np.full((*SIZE, 3), number, np.uint8)
    return {image: pixels, "id": number, label: pixels[:, :, 0]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of three images, and of their label maps."""
    root = folder_of(tmp_path_factory.mktemp("files"))
    return [sorted(str(path) for path in root.rglob(f"*.{kind}")) for kind in ("jpg", "png")]


class TestTables:
    def test_columns_are_guessed_or_given(self):
        for image, label in (("InputImage:FILE", "label_map"), ("img", "semantic_segmentation")):
            dataset = open_dataset([row(number, image, label) for number in range(3)])
            assert classes_by_image(dataset) == [0, 1, 2]
            assert dataset[1].name == "row 1"
        rows = [row(number, "label", "image") for number in range(2)]
        dataset = open_dataset(rows, image_column="label", label_column="image")
        assert classes_by_image(dataset) == [0, 1]

    @pytest.mark.parametrize(
        ("rows", "options", "says"),
        [
            ([{**row(0), "mask": 1}], {}, r"several can be it \(label, mask\).*label_column"),
            ([row(0, image="x")], {}, r"none has a usual name.*image_column"),
            ([row(0)], {"label_column": "x"}, r"columns image, id, label, no 'x': .*label_column="),
            ([], {}, "empty"),
            ([1, 2], {}, r"element 0 .*expected a pair"),
            ([("a.jpg", "a.png"), "b.jpg"], {}, r"element 1 .*expected a pair"),
            (5, {}, "no labelled dataset"),
            (iter([row(0)]), {}, "no length"),
        ],
    )
    def test_what_is_not_clear_is_said(self, rows, options, says):
        with pytest.raises(DataSetError, match=says):
            open_dataset(rows, **options)

    def test_values_that_are_missing_are_named_by_row(self):
        dataset = open_dataset([row(0), {**row(1), "label": None}, 7])
        with pytest.raises(DataSetError, match=r"row 1 .*nothing in 'label'"):
            dataset[1]
        with pytest.raises(DataSetError, match=r"row 2 .*expected a dict"):
            dataset[2]

    def test_tables_by_split(self):
        tables = {"train": [row(0)], "val": [row(1)]}
        assert has_splits(tables)
        assert classes_by_image(open_dataset(tables, split="val")) == [1]
        assert classes_by_image(open_dataset({"val": [row(1)]})) == [1]
        with pytest.raises(DataSetError, match="choose one"):
            open_dataset(tables)
        with pytest.raises(DataSetNotFoundError, match="no 'test'"):
            open_dataset(tables, split="test")

    def test_hugging_face(self, files):
        from datasets import Dataset, DatasetDict, Image

        table = Dataset.from_dict({"image": files[0], "annotation": files[1]})
        assert classes_by_image(open_dataset(table)) == [0, 1, 2]
        assert files[0][1] in open_dataset(table)[1].name
        for decode in (True, False):
            for column in table.column_names:
                table = table.cast_column(column, Image(decode=decode))
            assert classes_by_image(open_dataset(table)) == [0, 1, 2]
        both = DatasetDict(train=table, validation=table.select([2]))
        assert classes_by_image(open_dataset(both, split="validation")) == [2]
        assert classes_by_image(open_dataset(table.to_iterable_dataset())) == [0, 1, 2]

    def test_modelscope(self, files, tmp_path):
        from datasets import Dataset
        from modelscope.msdatasets import MsDataset

        table = Dataset.from_dict({"InputImage:FILE": files[0], "Label:FILE": files[1]})
        lines = ["image,label", *map(",".join, zip(*files, strict=True))]
        (tmp_path / "val.csv").write_text("\n".join(lines), encoding="utf-8")
        for loaded in (MsDataset.to_ms_dataset(table), MsDataset.load(str(tmp_path / "val.csv"))):
            assert classes_by_image(open_dataset(loaded)) == [0, 1, 2]

    def test_paths_in_files_are_relative_to_them(self, tmp_path, monkeypatch):
        root = folder_of(tmp_path / "数据", split="")
        pairs = [(f"images/{number}.jpg", f"labels/{number}.png") for number in range(3)]
        lines = ["image,label", *map(",".join, pairs)]
        (root / "val.csv").write_text("\n".join(lines), encoding="utf-8")
        rows = [json.dumps(dict(zip(("img", "mask"), pair, strict=True))) for pair in pairs]
        (root / "val.jsonl").write_text("\n".join(rows), encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        for name in ("数据/val.csv", "数据/val.jsonl"):
            assert not has_splits(name)
            assert classes_by_image(open_dataset(name)) == [0, 1, 2]

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("a.csv", b"image,label\na.jpg,a.png,b.png", "row 0"),
            ("a.csv", b"\xff\xfe\x00", "as a table"),
            ("a.jsonl", b"no json", "as a table"),
            ("a.jsonl", b"[1]", "row 0"),
            ("a.csv", b"", "empty"),
        ],
    )
    def test_what_is_no_table_is_refused(self, tmp_path, name, content, says):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataSetError, match=says):
            open_dataset(tmp_path / name)


def test_pairs_of_any_form(files):
    mixed = [(files[0][0], files[1][0]), (np.zeros((*SIZE, 3), np.uint8), files[1][1])]
    mixed.append((PillowImage.open(files[0][2]), PillowImage.open(files[1][2])))
    dataset = open_dataset(mixed)
    assert classes_by_image(dataset) == [0, 1, 2]
    assert dataset[0].name == f"pair 0 ({files[0][0]})"
    assert open_dataset(dataset) is dataset


def test_identity_tells_datasets_apart_and_moves_with_them(tmp_path):
    first, second = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    same = {identity_of(open_dataset(root)) for root in (first, second)}
    assert len(same) == 1
    write_image(second / "images" / "val" / "0.jpg", size=(60, 40), value=1)
    others = [second, folder_of(tmp_path / "c", count=2)]
    others += [[{"image": str(root), "label": str(root)}] for root in (first, second)]
    others += [[(str(root), str(root))] for root in (first, second)]
    found = {identity_of(open_dataset(source)) for source in others}
    found.add(identity_of(open_dataset(first, label_ids="reduce-zero")))
    assert len(found | same) == len(others) + 2 - 2  # a row and a pair of the same files are alike


class TestNamesOfLabelMaps:
    def pairs(self, root):
        dataset = open_dataset(root)
        return [
            (one.image.name, one.label.name)
            for one in map(dataset.__getitem__, range(len(dataset)))
        ]

    def test_the_exact_name_comes_first(self, tmp_path):
        for name in ("face0", "face0_mask"):
            write_image(tmp_path / "images" / f"{name}.jpg")
            write_labels(tmp_path / "labels" / f"{name}.png", 0)
        expected = [("face0.jpg", "face0.png"), ("face0_mask.jpg", "face0_mask.png")]
        assert self.pairs(tmp_path) == expected
        for path in (tmp_path / "images").iterdir():  # the same in one folder
            path.rename(tmp_path / "labels" / path.name)
        assert self.pairs(tmp_path / "labels") == expected

    def test_an_ending_is_that_of_the_whole_folder(self, tmp_path):
        for name in ("a", "b"):
            write_image(tmp_path / "images" / f"{name}.jpg")
            write_labels(tmp_path / "labels" / f"{name}_mask.png", 0)
        write_labels(tmp_path / "labels" / "a_seg.png", 0)
        assert self.pairs(tmp_path) == [("a.jpg", "a_mask.png"), ("b.jpg", "b_mask.png")]
        write_labels(tmp_path / "labels" / "a.png", 0)
        with pytest.raises(DataSetError, match=r"1 of 2 images have no label map(.|\n)*b\.jpg"):
            open_dataset(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_are_followed_once(tmp_path):
    folder_of(tmp_path / "far", split="city")
    for name in ("images", "labels"):
        (tmp_path / "near" / name / "val").mkdir(parents=True)
        (tmp_path / "near" / name / "val" / "linked").symlink_to(tmp_path / "far" / name / "city")
        (tmp_path / "far" / name / "city" / "back").symlink_to(tmp_path / "near" / name)
    assert classes_by_image(open_dataset(tmp_path / "near", split="val")) == [0, 1, 2]


def test_names_that_differ_in_their_suffix_only_are_refused(tmp_path):
    folder_of(tmp_path, count=1)
    write_labels(tmp_path / "labels" / "val" / "0.tif", 0)
    with pytest.raises(DataSetError, match=r"0\.png' and .*0\.tif' have the same name"):
        open_dataset(tmp_path)
    (tmp_path / "labels" / "val" / "0.tif").unlink()
    write_image(tmp_path / "images" / "val" / "0.jpeg")
    with pytest.raises(DataSetError, match=r"0\.jp.* have the same name"):
        open_dataset(tmp_path)


def test_a_list_of_a_subset_is_no_dataset_by_itself(tmp_path):
    folder_of(tmp_path, split="")
    (tmp_path / "subset.txt").write_text("images/0.jpg labels/0.png")
    assert len(open_dataset(tmp_path)) == 3
    assert len(open_dataset(tmp_path, list=tmp_path / "subset.txt")) == 1
