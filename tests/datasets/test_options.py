"""Options for what files don't tell, each on the smallest dataset that needs it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from modelscope_vitadapter.datasets.dataset import classes_of, identity_of
from modelscope_vitadapter.datasets.label_ids import CITYSCAPES_34, LabelIds, parse_label_ids
from modelscope_vitadapter.datasets.open_dataset import has_splits, open_dataset
from modelscope_vitadapter.datasets.palettes import read_palette
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import on_command_line
from tests.datasets.makers import SIZE, folder_of, write_image, write_labels
from tests.datasets.test_open_dataset import classes_by_image

MAPPING = (-1, *[-2] * 127, 1, *[-2] * 126, 0)


@pytest.mark.parametrize(
    "given",
    [
        {0: "ignore", 128: 1, 255: 0},
        {"0": None, "128": 1, "255": 0},
        "0:ignore,128:1,255:0",
        "0=ignore; 128=1; 255=0",
        "0 ignore\n128 1  # sky\n255 0\n",
        '{"0": "ignore", "128": 1, "255": 0}',
    ],
)
def test_label_ids_as_a_mapping(tmp_path, given):
    if "\n" in given or '"' in given:
        (tmp_path / "ids.txt").write_text(given)
        given = tmp_path / "ids.txt"
    assert parse_label_ids(given).mapping == MAPPING


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0:ignore,7", "'7' in .* is no pair ID:CLASS"),
        ({-1: 0}, "can't be meant"),
        ({0: 70000}, "can't be meant"),
        ("0:1,0:2", "each id once"),
        ({0: 1.5}, "1.5 can't be meant"),
        ({}, "there is no id in it"),
        ("coco", "expected one of as-is, .* a mapping such as 0:ignore,255:1"),
    ],
)
def test_what_is_no_mapping(given, says):
    with pytest.raises(DataSetError, match=says):
        parse_label_ids(given)


def test_cityscapes_ids():
    """Facts of the dataset's scripts: road is 7, bicycle 33, a parking place is not counted."""
    assert [CITYSCAPES_34.mapping[one] for one in (7, 33, 9, 26)] == [0, 18, -1, 13]


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "data", split="")


def test_ids_and_classes_that_are_not_counted(folder):
    (folder / "classes.txt").write_text("cat\ndog\nsky")
    assert classes_by_image(open_dataset(folder, ignore_ids="1,7"), 3) == [0, -1, 2]
    for given in (1, np.array([1]), {1, -1}):
        assert classes_by_image(open_dataset(folder, ignore_ids=given), 3) == [0, -1, 2]
    for given in ("dog", "1", ["dog"], [1], 1, np.int64(1)):
        dataset = open_dataset(folder, exclude_classes=given)
        assert dataset.label_ids.excluded == (1,)
        assert classes_by_image(dataset, 3) == [0, -1, 2]
    with pytest.raises(DataSetError, match=r"'bird'.*the dataset has cat, dog, sky"):
        open_dataset(folder, exclude_classes="dog,bird")
    for given in ("x", 3.7, 70000, -2):
        with pytest.raises(DataSetError, match=r"ignore_ids=.*: expected whole numbers from 0 to"):
            open_dataset(folder, ignore_ids=given)
    for given in (7, -1, 1.5, ""):
        with pytest.raises(DataSetError, match=r"exclude_classes=.*expected (names|ids)"):
            classes_by_image(open_dataset(folder, exclude_classes=given), 3)


PALETTES = {
    "plain.txt": "128 0 0 cat\n0,0,0,sky\n#e0e0c0 ignore\n",
    "names.csv": "name,r,g,b\ncat,128,0,0\nsky,0,0,0\nvoid,224,224,192\n",
    "labelmap.txt": "# label:color_rgb:parts\ncat:128,0,0::\nsky:0,0,0::\nvoid:224,224,192::",
    "colours.json": '{"cat": [128, 0, 0], "sky": [0, 0, 0], "ignore": [224, 224, 192]}',
}


@pytest.mark.parametrize("name", PALETTES)
def test_colours(tmp_path, name):
    (tmp_path / name).write_text(PALETTES[name])
    colours = np.array([[[0, 0, 0], [128, 0, 0], [224, 224, 192]]], np.uint8)
    write_image(tmp_path / "a.png", (1, 3))
    for mode in ("RGB", "P"):
        image = Image.fromarray(colours).convert(mode, palette=Image.Palette.ADAPTIVE)
        image.save(tmp_path / "a_mask.png")
        dataset = open_dataset(tmp_path, palette=tmp_path / name)
        assert classes_of(dataset) == ("cat", "sky")
        assert read_sample(dataset[0], dataset.label_ids, 2).classes.tolist() == [[1, 0, -1]]
    Image.fromarray(colours + np.uint8(1)).save(tmp_path / "a_mask.png")
    with pytest.raises(DataSetError, match=r"no class: #e1e1c1 \(1 pixels\).*expected #000000"):
        read_sample(dataset[0], dataset.label_ids, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("cat 1 2 3\ndog", "line 2 has no colour"),
        ("1 2 3 4 cat", "more than three numbers"),
        ("cat 1 2 300", "'cat 1 2 300'|three numbers from 0 to 255"),
        ("a 1 2 3\nb 1 2 3", r"\(1, 2, 3\) comes twice"),
        ("", "no colours"),
    ],
)
def test_what_is_no_palette(tmp_path, content, says):
    (tmp_path / "p.txt").write_text(content)
    with pytest.raises(DataSetError, match=says):
        read_palette(tmp_path / "p.txt")
    with pytest.raises(DataSetNotFoundError, match="no such file"):
        read_palette(tmp_path / "none.txt")


def test_colours_without_a_palette_say_which_option_reads_them(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    pixels = np.full((*SIZE, 3), (1, 2, 3), np.uint8)
    (tmp_path / "labels").mkdir()
    Image.fromarray(pixels).save(tmp_path / "labels" / "a.png")
    dataset = open_dataset(tmp_path)
    with on_command_line(), pytest.raises(DataSetError, match="--palette FILE"):
        read_sample(dataset[0], dataset.label_ids, 2)


def test_options_without_effect_are_refused(folder):
    rows = [{"image": "a.jpg", "label": "a.png"}]
    both = (folder / "images", folder / "labels")
    for source, options in (
        (rows, {"list": "a.txt"}),
        ([("a.jpg", "a.png")], {"pairs": ("{}.jpg", "{}.png")}),
        (both, {"layout": "voc"}),
        (both, {"pairs": ("{}.jpg", "{}.png")}),
        (open_dataset(folder), {"label_ids": "reduce-zero"}),
        (folder, {"classes": "cat"}),
    ):
        with pytest.raises(DataSetError, match=f"{next(iter(options))}=.*(effect|expected)"):
            open_dataset(source, **options)


def test_patterns_of_paths(tmp_path):
    for number in range(3):
        write_image(tmp_path / "in" / f"s{number}" / "photo.jpg")
        write_labels(tmp_path / "out" / f"s{number}" / "photo_L.png", number)
    patterns = ("in/{}/photo.*", "out/{}/photo_L.png")
    assert classes_by_image(open_dataset(tmp_path, pairs=patterns)) == [0, 1, 2]
    assert not has_splits(tmp_path, pairs=patterns)
    split = ("in/{split}/{}.jpg", "out/{split}/{}_L.png")
    assert has_splits(tmp_path, pairs=split)
    assert classes_by_image(open_dataset(tmp_path, split="s1", pairs=split)) == [1]
    for given, says in {
        ("in/{}.jpg", "out/x.png"): "in both",
        ("x/{}.jpg", "y/{}.png"): "no image below",
        ("in/{}.jpg", "in/{}.jpg"): "none of 3 images .* a suffix of .*png",
        ("{}.jpg",): "expected two patterns",
        split: "give split=",
    }.items():
        with pytest.raises(DataSetError, match=says):
            open_dataset(tmp_path, pairs=given)


@pytest.mark.parametrize(
    ("lines", "classes"),
    [
        ("2\n0", [2, 0]),
        ("images/2.jpg\n# none\n\nimages/0.jpg\n", [2, 0]),
        ("/home/me/data/images/2\n", [2]),
        ("images/2.jpg labels/1.png\nimages/0.jpg\tlabels/0.png", [1, 0]),
        ("images\\2.jpg labels\\1.png", [1]),
        ("my photo\n0", [2, 0]),
        ("images/my photo.jpg\n", [2]),
        ("images/my photo.jpg labels/my photo.png", [2]),
    ],
)
def test_lists(folder, lines, classes):
    write_image(folder / "images" / "my photo.jpg")
    write_labels(folder / "labels" / "my photo.png", 2)
    path = folder.parent / "some.txt"
    path.write_text(lines)
    assert classes_by_image(open_dataset(folder, list=path)) == classes
    assert not has_splits(folder, list=path)
    path.write_text("images/2.jpg,labels/1.png\nimages/0.jpg")
    with pytest.raises(DataSetError, match=r"images/0.jpg has 1 parts; expected the name"):
        open_dataset(folder, list=path)
    path.write_text("0\n7")
    with pytest.raises(DataSetError, match=r"1 of 2 entries of the list some.txt .*: 7;"):
        open_dataset(folder, list=path)


def test_a_list_with_pairs_is_a_dataset_itself(folder):
    (folder / "val.txt").write_text("images/2.jpg labels/2.png\nimages/0.jpg labels/0.png")
    assert classes_by_image(open_dataset(folder / "val.txt")) == [2, 0]


def test_a_list_chooses_among_all_parts(tmp_path):
    folder_of(tmp_path, split="train")
    folder_of(tmp_path, split="val", count=2)
    (tmp_path / "some.txt").write_text("val/1\ntrain/2")
    assert classes_by_image(open_dataset(tmp_path, list=tmp_path / "some.txt")) == [1, 2]


def test_unknown_options_are_named(folder):
    with pytest.raises(DataSetError, match=r"no option 'labelids'.*label_ids"):
        open_dataset(folder, labelids="as-is")


class TestIdentity:
    def test_tables_of_equal_length(self, tmp_path):
        """Found by a user: an evaluation of one went on with the other."""
        for name in "ab":
            write_image(tmp_path / f"{name}.jpg")
            write_labels(tmp_path / f"{name}.png", 0)
            (tmp_path / f"{name}.csv").write_text(f"image,label\n{name}.jpg,{name}.png")
        first, second = (identity_of(open_dataset(tmp_path / f"{one}.csv")) for one in "ab")
        assert first != second

    def test_what_it_follows(self, tmp_path):
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pairs = [(pixels + one, pixels[:, :, 0] + one) for one in (0, 1)]
        pairs.append((torch.zeros(3, *SIZE), torch.zeros(1, *SIZE, dtype=torch.uint8)))
        pairs.append((Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0])))
        rows = [dict(zip(("image", "mask"), pair, strict=True)) for pair in pairs[:2]]
        others = [pairs, pairs[::-1], pairs[:3], [*pairs[:3], pairs[0]], rows, rows[::-1]]
        found = [identity_of(open_dataset(one)) for one in others]
        found += [identity_of(open_dataset(pairs, ignore_ids=3))]
        found += [identity_of(open_dataset(rows, image_column="mask", label_column="image"))]
        assert len(set(found)) == len(found)
        assert identity_of(open_dataset(list(pairs))) == found[0]

    def test_datasets_of_callers(self):
        class Own(list):
            label_ids = LabelIds()

        from modelscope_vitadapter.datasets.dataset import Sample

        first, second = (Own([Sample("x", f"{one}.jpg", f"{one}.png", "x")]) for one in "ab")
        assert identity_of(first) != identity_of(second)


class TestOtherSources:
    def test_datasets_of_pytorch(self):
        class Scenes(torch.utils.data.Dataset):
            def __len__(self):
                return 2

            def __getitem__(self, number):
                if number > 1:
                    raise IndexError
                image = torch.zeros(3, *SIZE)
                image[0] = 1  # red
                return image, torch.full((1, *SIZE), number)

        dataset = open_dataset(Scenes())
        assert classes_by_image(dataset, 2) == [0, 1]
        assert read_sample(dataset[0], LabelIds(), 2).image[0, 0].tolist() == [0, 0, 255]
        normalised = open_dataset([(torch.full((3, *SIZE), -1.0), np.zeros(SIZE, int))])
        with pytest.raises(DataSetError, match="leave the normalisation out"):
            read_sample(normalised[0], LabelIds(), 2)
        scaled = open_dataset([(torch.ones(3, *SIZE), np.zeros(SIZE, int))], value_range=(0, 2))
        assert read_sample(scaled[0], LabelIds(), 1).image.max() == 128

    def test_what_a_dataset_raises_is_told_with_the_place(self):
        class Broken(list):
            def __getitem__(self, number):
                raise KeyError("gone")

        class Second(list):
            def __getitem__(self, number):
                return {0: super().__getitem__(0)}[number]

        pairs = [(np.zeros((*SIZE, 3)), np.zeros(SIZE, int))] * 2
        with pytest.raises(DataSetError, match=r"Broken failed to give element 0 .*'gone'"):
            open_dataset(Broken(pairs))
        for use in (identity_of, classes_by_image):
            with pytest.raises(DataSetError, match="failed to give pair 1"):
                use(open_dataset(Second(pairs)))

    def test_hugging_faces_files_and_formats(self, tmp_path):
        from datasets import Dataset, DatasetDict
        from datasets import Image as ImageFeature

        root = folder_of(tmp_path / "files", split="")
        images, labels = (sorted(map(str, root.rglob(f"*.{one}"))) for one in ("jpg", "png"))
        table = Dataset.from_dict({"image": images, "mask": labels})
        for column in table.column_names:
            table = table.cast_column(column, ImageFeature())
        table.save_to_disk(tmp_path / "saved")
        DatasetDict(train=table, val=table.select([1])).save_to_disk(tmp_path / "both")
        table.to_parquet(tmp_path / "v.parquet")
        (tmp_path / "hub" / "data").mkdir(parents=True)
        table.to_parquet(tmp_path / "hub" / "data" / "val-00000-of-00001.parquet")
        for source in (tmp_path / "saved", tmp_path / "v.parquet", str(tmp_path / "hub")):
            assert classes_by_image(open_dataset(source)) == [0, 1, 2]
        assert classes_by_image(open_dataset(tmp_path / "both", split="val")) == [1]
        for kind in ("numpy", "torch"):
            assert classes_by_image(open_dataset(table.with_format(kind))) == [0, 1, 2]
        red = Dataset.from_dict(
            {"image": [str(write_image(tmp_path / "r.png"))], "mask": labels[:1]}
        )
        Image.new("RGB", SIZE[::-1], (255, 0, 0)).save(tmp_path / "r.png")
        dataset = open_dataset(red.cast_column("image", ImageFeature()).with_format("numpy"))
        assert read_sample(dataset[0], LabelIds(), 1).image[0, 0].tolist() == [0, 0, 255]

    def test_tables_with_semicolons_or_tabs(self, tmp_path):
        folder_of(tmp_path, split="", count=1)
        for name, comma in (("a.csv", ";"), ("b.tsv", "\t")):
            line = comma.join(("images/0.jpg", "labels/0.png"))
            (tmp_path / name).write_text(f"image{comma}label\n{line}")
            assert classes_by_image(open_dataset(tmp_path / name)) == [0]


def test_limits_reach_label_maps_too(folder):
    for size in ((60, 40), SIZE):
        write_image(folder / "images" / "0.jpg", size)
        write_labels(folder / "labels" / "0.png", np.zeros((60, 40)))
        dataset = open_dataset(folder, max_pixels=1000)
        with pytest.raises(DataSetError, match=r"expected at most 1000.*max_pixels=2400"):
            read_sample(dataset[0], dataset.label_ids, 1)


class TestMessages:
    """What was misleading: each says what is there, and what can be typed."""

    def test_files_that_are_no_folders(self, tmp_path):
        for name in ("v.txt", "v.json", "v.tsv", "v.parquet", "v.csv"):
            with pytest.raises(DataSetNotFoundError, match=f"(?s)(no table|dataset) .*{name}"):
                open_dataset(tmp_path / name)
        (tmp_path / "v.doc").write_text("x")
        with pytest.raises(DataSetError, match=r"no dataset that is read.*\.csv.*\.json"):
            open_dataset(tmp_path / "v.doc")

    @pytest.mark.parametrize(("name", "says"), [("a.jpg", "JPEG changes ids"), ("a.txt", "boxes")])
    def test_label_maps_of_other_formats(self, tmp_path, name, says):
        write_image(tmp_path / "images" / "x.jpg")
        (tmp_path / "labels").mkdir()
        if name.endswith("jpg"):
            write_image(tmp_path / "labels" / name)
        else:
            (tmp_path / "labels" / name).write_text("0 0.5 0.5 0.1 0.1")
        with pytest.raises(DataSetError, match=says):
            open_dataset(tmp_path)

    def test_a_file_in_place_of_a_folder_of_label_maps(self, folder):
        (folder / "labels.json").write_text(json.dumps({}))
        with pytest.raises(DataSetError, match=r"labels.json' is a file: expected two folders"):
            open_dataset((folder / "images", folder / "labels.json"))

    def test_label_maps_that_are_taken_for_images(self, tmp_path):
        for scene in "ab":
            write_image(tmp_path / scene / "images" / "x.jpg")
            write_labels(tmp_path / scene / "masks" / "y.png", 0)
        with pytest.raises(DataSetError, match=r"folder 'masks'.*pairs="):
            open_dataset((tmp_path, tmp_path))

    def test_a_label_map_of_floats(self, tmp_path):
        write_image(tmp_path / "images" / "x.jpg")
        (tmp_path / "labels").mkdir()
        Image.fromarray(np.zeros(SIZE, np.float32)).save(tmp_path / "labels" / "x.tif")
        dataset = open_dataset(tmp_path)
        with pytest.raises(DataSetError, match="holds floats"):
            read_sample(dataset[0], dataset.label_ids, 1)

    def test_hints_are_what_is_typed(self, folder):
        (folder / "labels" / "0.png").unlink()
        with pytest.raises(DataSetError, match="skip_missing=True"):
            open_dataset(folder)
        rows = [{"photo1": 1, "mask": 2, "photo2": 3}]
        with on_command_line():
            with pytest.raises(DataSetError, match="--skip-missing"):
                open_dataset(folder)
            with pytest.raises(DataSetError, match="--image-column"):
                open_dataset(rows)
