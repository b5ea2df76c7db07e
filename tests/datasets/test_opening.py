import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import COCO_STUFF_182, LabelIds
from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.datasets.reading import read_labelled
from modelscope_vitadapter.datasets.samples import classes_of, identity_of
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import SIZE, folder_of, write_labels, write_picture


def classes_by_picture(pictures, num_classes=10):
    """The one class of each picture of `folder_of`, in order."""
    read = [
        read_labelled(pictures[i], pictures.label_ids, num_classes) for i in range(len(pictures))
    ]
    assert all((one.classes == one.classes[0, 0]).all() for one in read)
    return [int(one.classes[0, 0]) for one in read]


class TestFolders:
    @pytest.mark.parametrize("labels", ["labels", "annotations", "masks", "stuffthingmaps"])
    @pytest.mark.parametrize("split", ["val", ""])
    def test_images_beside_label_maps(self, tmp_path, labels, split):
        folder_of(tmp_path, split=split, labels=labels)
        pictures = open_labelled(tmp_path, split=split or None, label_ids="as-is")
        assert classes_by_picture(pictures) == [0, 1, 2]

    def test_splits_below_the_root(self, tmp_path):
        folder_of(tmp_path / "val", split="")
        assert classes_by_picture(open_labelled(str(tmp_path), split="val")) == [0, 1, 2]

    def test_split_folders_beside_folders_of_label_maps(self, tmp_path):
        folder_of(tmp_path, images="", split="val")
        assert classes_by_picture(open_labelled(tmp_path, split="val")) == [0, 1, 2]

    def test_a_single_split_needs_no_name(self, tmp_path):
        folder_of(tmp_path, split="val")
        pictures = open_labelled(tmp_path)
        assert classes_by_picture(pictures) == [0, 1, 2]
        assert pictures.name == f"{tmp_path.name}/val"

    @pytest.mark.parametrize("below", [False, True])
    def test_one_of_several_splits_has_to_be_chosen(self, tmp_path, below):
        for split in ("train", "val"):
            folder_of(tmp_path / split if below else tmp_path, split="" if below else split)
        with pytest.raises(DataSetError, match="splits train, val: choose one"):
            open_labelled(tmp_path)
        with pytest.raises(DataSetNotFoundError, match="no split 'test'; there are train, val"):
            open_labelled(tmp_path, split="test")

    def test_two_folders_by_themselves(self, tmp_path):
        folder_of(tmp_path, images="a", labels="b")
        pictures = open_labelled((tmp_path / "a", tmp_path / "b"), split="val")
        assert classes_by_picture(pictures) == [0, 1, 2]
        assert classes_by_picture(open_labelled((tmp_path / "a", tmp_path / "b"))) == [0, 1, 2]

    def test_folders_below_folders_and_chinese_names(self, tmp_path):
        folder_of(tmp_path, split="城市/东 1")
        assert classes_by_picture(open_labelled((tmp_path / "images", tmp_path / "labels"))) == [
            *(0, 1, 2)
        ]

    @pytest.mark.parametrize("ending", ["", "_labelTrainIds", "_mask", "_label"])
    def test_both_in_one_folder(self, tmp_path, ending):
        for number in range(3):
            write_picture(tmp_path / f"{number}.jpg")
            write_labels(tmp_path / f"{number}{ending}.png", number)
        assert classes_by_picture(open_labelled(tmp_path)) == [0, 1, 2]

    def test_png_pictures_in_one_folder_need_an_ending(self, tmp_path):
        write_picture(tmp_path / "0.png")
        write_labels(tmp_path / "0_mask.png", 7)
        assert classes_by_picture(open_labelled(tmp_path)) == [7]

    def test_hidden_files_are_passed_over(self, tmp_path):
        folder_of(tmp_path)
        (tmp_path / "images" / "val" / "._0.jpg").write_bytes(b"macOS")
        assert len(open_labelled(tmp_path)) == 3

    def test_pictures_without_a_label_map_are_listed(self, tmp_path):
        folder_of(tmp_path, count=30)
        for number in range(25):
            (tmp_path / "labels" / "val" / f"{number}.png").unlink()
        with pytest.raises(DataSetError, match="25 of 30 pictures have no label map") as caught:
            open_labelled(tmp_path)
        assert str(tmp_path / "images" / "val" / "0.jpg") in str(caught.value)
        assert "and 5 others" in str(caught.value)
        assert len(open_labelled(tmp_path, skip_missing=True)) == 5

    def test_folders_that_are_not_there_or_empty(self, tmp_path):
        with pytest.raises(DataSetNotFoundError, match="does not exist"):
            open_labelled(tmp_path / "nothing")
        with pytest.raises(DataSetNotFoundError, match="does not exist"):
            open_labelled((tmp_path / "a", tmp_path / "b"))
        with pytest.raises(DataSetError, match="no pictures"):
            open_labelled(tmp_path)
        write_picture(tmp_path / "images" / "0.jpg")
        with pytest.raises(DataSetError, match="no folder of label maps"):
            open_labelled(tmp_path)

    def test_one_label_map_for_two_pictures_is_refused(self, tmp_path):
        folder_of(tmp_path)
        write_picture(tmp_path / "images" / "val" / "0.png")
        with pytest.raises(DataSetError, match="belongs to two pictures"):
            open_labelled(tmp_path)

    def test_classes_are_read(self, tmp_path):
        folder_of(tmp_path)
        assert classes_of(open_labelled(tmp_path)) is None
        (tmp_path / "classes.txt").write_text("猫\ndog \nsky\n\n", encoding="utf-8")
        assert classes_of(open_labelled(tmp_path)) == ("猫", "dog", "sky")
        assert classes_of(open_labelled(tmp_path, classes=["a", "b"])) == ("a", "b")

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ("cat\n\ndog", "line 2 is empty"),
            ("", "it is empty"),
            ("cat\ncat", "more than once"),
            (b"\xff\xfe\x00", "UTF-8"),
        ],
    )
    def test_odd_class_files_are_refused(self, tmp_path, content, says):
        folder_of(tmp_path)
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "classes.txt").write_bytes(raw)
        with pytest.raises(DataSetError, match=says):
            open_labelled(tmp_path)


class TestCocoStuff:
    def folder(self, root, labels, ending="", split="val2017"):
        for number in range(3):
            name = f"{number:012d}"
            write_picture(root / "images" / split / f"{name}.jpg")
            write_labels(root / labels / split / f"{name}{ending}.png", 26 + number)
        return root

    def test_converted_label_maps(self, tmp_path):
        self.folder(tmp_path, "annotations", "_labelTrainIds")
        pictures = open_labelled(tmp_path)
        assert pictures.label_ids == LabelIds()
        assert classes_by_picture(pictures, 171) == [26, 27, 28]

    @pytest.mark.parametrize("labels", ["stuffthingmaps", "annotations"])
    def test_original_label_maps(self, tmp_path, labels):
        root = self.folder(tmp_path, labels)
        (root / labels / "val2017" / f"{2:012d}.png").unlink()
        write_labels(root / labels / "val2017" / f"{2:012d}.png", 181)
        pictures = open_labelled(root, split="val2017")
        assert pictures.label_ids == COCO_STUFF_182
        assert classes_by_picture(pictures, 171) == [24, 25, 170]

    def test_what_is_in_stuffthingmaps_is_original_whatever_the_split(self, tmp_path):
        self.folder(tmp_path, "stuffthingmaps", split="mini")
        assert open_labelled(tmp_path).label_ids == COCO_STUFF_182

    def test_converted_beside_original_label_maps(self, tmp_path):
        self.folder(tmp_path, "annotations")
        self.folder(tmp_path, "annotations", "_labelTrainIds")
        pictures = open_labelled(tmp_path)
        assert pictures.label_ids == LabelIds()
        assert pictures[0].label.stem.endswith("_labelTrainIds")
        (tmp_path / "annotations" / "val2017" / f"{1:012d}_labelTrainIds.png").unlink()
        with pytest.raises(DataSetError, match="both forms"):
            open_labelled(tmp_path)

    def test_own_labels_on_coco_pictures_are_taken_as_they_are(self, tmp_path):
        self.folder(tmp_path, "labels")
        assert open_labelled(tmp_path).label_ids == LabelIds()
        assert open_labelled(tmp_path, label_ids="coco-stuff-182").label_ids == COCO_STUFF_182


def row(number, image="image", label="label"):
    return {
        image: np.full((*SIZE, 3), number, np.uint8),
        "id": number,
        label: np.full(SIZE, number, np.uint8),
    }


class TestTables:
    @pytest.mark.parametrize(
        ("image", "label"),
        [("image", "label"), ("InputImage:FILE", "label_map"), ("img", "semantic_segmentation")],
    )
    def test_columns_are_guessed(self, image, label):
        pictures = open_labelled([row(number, image, label) for number in range(3)])
        assert classes_by_picture(pictures) == [0, 1, 2]
        assert pictures[1].name == "row 1"

    def test_columns_are_given(self):
        rows = [row(number, "label", "image") for number in range(2)]
        pictures = open_labelled(rows, image_column="label", label_column="image")
        assert classes_by_picture(pictures) == [0, 1]

    def test_columns_that_are_not_clear(self):
        with pytest.raises(DataSetError, match=r"several can be it \(label, mask\).*label_column"):
            open_labelled([{**row(0), "mask": 1}])
        with pytest.raises(DataSetError, match=r"none has a usual name.*image_column"):
            open_labelled([row(0, image="x")])
        with pytest.raises(DataSetError, match=r"no column 'x'.*there are image, id, label"):
            open_labelled([row(0)], label_column="x")

    def test_values_that_are_missing_are_named_by_row(self):
        pictures = open_labelled([row(0), {**row(1), "label": None}])
        with pytest.raises(DataSetError, match=r"row 1 .*nothing in 'label'"):
            pictures[1]

    def test_no_data_set(self):
        for source in ([], 5, None, iter([row(0)]), [1, 2]):
            with pytest.raises(DataSetError):
                open_labelled(source)
        with pytest.raises(DataSetError, match="no length"):
            open_labelled(iter([row(0)]))

    def test_tables_by_split(self):
        tables = {"train": [row(0)], "val": [row(1)]}
        assert classes_by_picture(open_labelled(tables, split="val")) == [1]
        assert classes_by_picture(open_labelled({"val": [row(1)]})) == [1]
        with pytest.raises(DataSetError, match="choose one"):
            open_labelled(tables)
        with pytest.raises(DataSetNotFoundError, match="no 'test'"):
            open_labelled(tables, split="test")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = folder_of(tmp_path_factory.mktemp("files"))
    images = sorted(str(path) for path in root.rglob("*.jpg"))
    labels = sorted(str(path) for path in root.rglob("*.png"))
    return images, labels


class TestHuggingFace:
    def test_paths(self, files):
        from datasets import Dataset

        pictures = open_labelled(Dataset.from_dict({"image": files[0], "label": files[1]}))
        assert classes_by_picture(pictures) == [0, 1, 2]
        assert files[0][1] in pictures[1].name

    @pytest.mark.parametrize("decode", [True, False])
    def test_picture_features(self, files, decode):
        from datasets import Dataset, Image

        table = Dataset.from_dict({"image": files[0], "annotation": files[1]})
        for column in table.column_names:
            table = table.cast_column(column, Image(decode=decode))
        assert classes_by_picture(open_labelled(table)) == [0, 1, 2]

    def test_split_of_a_dict(self, files):
        from datasets import Dataset, DatasetDict

        table = Dataset.from_dict({"image": files[0], "label": files[1]})
        both = DatasetDict(train=table, validation=table.select([2]))
        assert classes_by_picture(open_labelled(both, split="validation")) == [2]

    def test_streams_are_refused(self, files):
        from datasets import Dataset

        stream = Dataset.from_dict({"image": files[0], "label": files[1]}).to_iterable_dataset()
        with pytest.raises(DataSetError, match="no length"):
            open_labelled(stream)


class TestMsDataset:
    def test_columns_of_files(self, files):
        from datasets import Dataset
        from modelscope.msdatasets import MsDataset

        table = Dataset.from_dict({"InputImage:FILE": files[0], "Label:FILE": files[1]})
        pictures = open_labelled(MsDataset.to_ms_dataset(table))
        assert classes_by_picture(pictures) == [0, 1, 2]

    def test_csv(self, files, tmp_path):
        from modelscope.msdatasets import MsDataset

        lines = ["image,label", *(f"{one},{other}" for one, other in zip(*files, strict=True))]
        path = tmp_path / "val.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        pictures = open_labelled(MsDataset.load(str(path)))
        assert classes_by_picture(pictures) == [0, 1, 2]


class TestRowFiles:
    def test_paths_are_relative_to_the_file(self, tmp_path, monkeypatch):
        root = folder_of(tmp_path / "数据", split="")
        lines = [f"images/{number}.jpg,labels/{number}.png" for number in range(3)]
        (root / "val.csv").write_text("\n".join(["image,label", *lines]), encoding="utf-8")
        rows = [f'{{"img": "images/{n}.jpg", "mask": "labels/{n}.png"}}' for n in range(3)]
        (root / "val.jsonl").write_text("\n".join(rows), encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        for name in ("val.csv", "val.jsonl"):
            assert classes_by_picture(open_labelled(f"数据/{name}")) == [0, 1, 2]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.csv", "image,label\na.jpg,a.png,b.png"),
            ("a.csv", b"\xff\xfe\x00"),
            ("a.jsonl", "no json"),
            ("a.jsonl", "[1]"),
            ("a.csv", ""),
        ],
    )
    def test_what_is_no_table_is_refused(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataSetError):
            open_labelled(path)


class TestLists:
    def test_pairs_of_any_form(self, files):
        mixed = [(files[0][0], files[1][0]), (np.zeros((*SIZE, 3), np.uint8), files[1][1])]
        mixed.append((Image.open(files[0][2]), Image.open(files[1][2])))
        pictures = open_labelled(mixed)
        assert classes_by_picture(pictures) == [0, 1, 2]
        assert files[0][0] in pictures[0].name

    def test_what_is_no_pair(self):
        with pytest.raises(DataSetError, match=r"element 1 .*expected a pair"):
            open_labelled([("a.jpg", "a.png"), "b.jpg"])

    def test_an_open_data_set_stays_itself(self, files):
        pictures = open_labelled(list(zip(*files, strict=True)))
        assert open_labelled(pictures) is pictures


def test_identity_tells_data_sets_apart_and_moves_with_them(tmp_path):
    first, second = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    same = {identity_of(open_labelled(root)) for root in (first, second)}
    assert len(same) == 1
    write_picture(second / "images" / "val" / "0.jpg", size=(60, 40), value=1)
    others = {
        identity_of(open_labelled(second)),
        identity_of(open_labelled(first, label_ids="reduce-zero")),
        identity_of(open_labelled(folder_of(tmp_path / "c", count=2))),
    }
    assert len(others | same) == 4
