"""Every layout, on a miniature copy: recognised without an option, and read as it is meant."""

import pytest

from modelscope_vitadapter.datasets.dataset import classes_of
from modelscope_vitadapter.datasets.layouts.registry import LAYOUTS
from modelscope_vitadapter.datasets.open_dataset import open_dataset, parts_of
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.layouts.miniatures import MINIATURES, both, ids, image, label, text


def test_every_layout_has_a_miniature():
    assert {one.layout for one in MINIATURES.values()} == set(LAYOUTS)


@pytest.mark.parametrize("name", MINIATURES)
def test_it_is_recognised_and_read(tmp_path, name):
    miniature = MINIATURES[name]
    miniature.make(tmp_path)
    assert parts_of(tmp_path) == miniature.parts
    for part in miniature.parts or [None]:
        dataset = open_dataset(tmp_path, split=part)
        assert dataset.layout == miniature.layout
        assert len(dataset) == 2
        names = classes_of(dataset)
        assert (names and len(names)) == miniature.classes
        for index in range(2):
            found = read_sample(dataset[index], dataset.label_ids, miniature.classes or 171)
            assert found.classes.tolist() == miniature.truth.tolist()


def test_splits_are_known_by_other_names_and_in_folders_of_archives(tmp_path):
    MINIATURES["ade20k"].make(tmp_path / "data" / "ADEChallengeData2016")
    assert len(open_dataset(tmp_path, split="val")) == 2
    assert len(open_dataset(tmp_path / "data", split="train")) == 2
    with pytest.raises(DataSetNotFoundError, match="no split 'test'; there are training, valid"):
        open_dataset(tmp_path, split="test")


def test_where_two_layouts_fit_one_has_to_be_named(tmp_path):
    MINIATURES["voc"].make(tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    MINIATURES["pascal-context"].make(root)
    with pytest.raises(DataSetError, match="layout='pascal-context' or layout='voc'"):
        open_dataset(tmp_path, split="val")
    assert len(open_dataset(tmp_path, split="val", layout="voc").classes) == 21
    with pytest.raises(DataSetError, match="has no layout 'potsdam', which is: 2_Ortho_RGB"):
        open_dataset(tmp_path, layout="potsdam")
    with pytest.raises(DataSetError, match="expected one of ade20k, camvid"):
        open_dataset(tmp_path, layout="vox")


def test_own_classes_in_the_folders_of_a_public_dataset(tmp_path):
    """Names and ids of a public dataset are only taken where files tell that it is this one."""
    both(tmp_path, "JPEGImages/{n}.jpg", "SegmentationClass/{n}.png", ids(), ("",))
    text(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "a\nb")
    assert classes_of(open_dataset(tmp_path)) is None
    both(tmp_path / "2", "images/training/{n}.jpg", "annotations/training/{n}.png", ids(), ("",))
    assert open_dataset(tmp_path / "2").label_ids.first == 0
    at = "{s}/x/{n}_"
    both(
        tmp_path / "3", f"leftImg8bit/{at}leftImg8bit.png", f"gtFine/{at}gtFine_labelIds.png", ids()
    )
    both(tmp_path / "4", "{s}/image_2/{n}.png", "{s}/semantic/{n}.png", ids())
    for number in "34":
        dataset = open_dataset(tmp_path / number, split="val")
        assert (classes_of(dataset), dataset.label_ids.mapping) == (None, None)
    (tmp_path / "classes.txt").write_text("sky\nroad")
    assert classes_of(open_dataset(tmp_path)) == ("sky", "road")


ULM = "leftImg8bit/train_extra/ulm/ulm_000001_000019_leftImg8bit.png"
COARSE = "gtCoarse/train_extra/ulm/ulm_000001_000019_gtCoarse_labelIds.png"
PLACES = (
    ("folders", "train", "train_images/x.jpg", "train_masks/x.png"),
    ("folders", "train", "train/train/x.jpg", "train_masks/train_masks/x_mask.png"),
    ("folders", "Train", "my/Train/Images/x.jpg", "my/Train/Masks/x.png"),
    ("folders", "train", "train/input/x.png", "train/target/x.png"),
    ("folders", None, "a/\u539f\u56fe/x.jpg", "a/\u6807\u7b7e/x.png"),
    ("cityscapes", "train_extra", f"leftImg8bit_trainextra/{ULM}", f"gtCoarse/{COARSE}"),
    ("cityscapes", "train_extra", ULM, COARSE),
    ("mapillary", "training", "training/images/x.jpg", "training/v2.0/labels/x.png"),
)


@pytest.mark.parametrize(("layout", "split", "photo", "ground_truth"), PLACES)
def test_where_archives_and_people_put_things(tmp_path, layout, split, photo, ground_truth):
    image(tmp_path / photo)
    label(tmp_path / ground_truth, ids())
    text(tmp_path / "__MACOSX" / "x" / "._x.jpg", "")
    text(tmp_path / "config_v2.0.json", '{"labels": [{"readable": "Bird"}]}')
    assert parts_of(tmp_path) == ([split] if split else [])
    dataset = open_dataset(tmp_path, split=split)
    assert dataset.layout == layout
    assert dataset.pairs[0] == (tmp_path / photo, tmp_path / ground_truth)


def test_a_dataset_beside_other_folders(tmp_path):
    """It is what is read, with its ids; the parts of datasets are never joined."""
    MINIATURES["ade20k"].make(tmp_path / "ADEChallengeData2016")
    image(tmp_path / "release_test" / "testing" / "ADE_test_00000001.jpg")
    assert open_dataset(tmp_path, split="val").layout == "ade20k"
    MINIATURES["voc"].make(tmp_path)
    with pytest.raises(DataSetError, match=r"several datasets: give one of them, such as .*2016'"):
        open_dataset(tmp_path, split="val")
    (tmp_path / "VOCdevkit" / "VOCcode").mkdir()
    assert len(open_dataset(tmp_path / "VOCdevkit", split="val")) == 2
    both(tmp_path / "VOCdevkit" / "own", "images/{n}.jpg", "labels/{n}.png", ids(), ("",))
    with pytest.raises(DataSetError, match=r"several datasets: give one of them, such as .*2012'"):
        open_dataset(tmp_path / "VOCdevkit", split="val")
    assert parts_of(tmp_path / "VOCdevkit", layout="folders") == ["VOC2012", "own"]


def test_lists_as_windows_and_voc_write_them(tmp_path):
    MINIATURES["paddleseg"].make(tmp_path)
    for path in tmp_path.glob("*.txt"):
        path.write_text(path.read_text().replace("/", "\\"))
    assert parts_of(tmp_path) == ["train", "val"]
    assert len(open_dataset(tmp_path, split="val")) == 2
    MINIATURES["voc"].make(tmp_path / "2")
    root = tmp_path / "2" / "VOCdevkit" / "VOC2012"
    photo, ground_truth = "JPEGImages/2007_000013.jpg", "SegmentationClass/2007_000013.png"
    text(root / "train_aug.txt", f"/{photo} /{ground_truth}")
    assert open_dataset(root, split="val").layout == "voc"
    dataset = open_dataset(root, list=root / "train_aug.txt")
    assert dataset.pairs == [(root / photo, root / ground_truth)]


def test_polygons_do_not_take_the_place_of_label_maps(tmp_path):
    """COCO's instances beside COCO-Stuff's label maps, notes beside label maps."""
    MINIATURES["coco-stuff"].make(tmp_path)
    text(tmp_path / "annotations" / "instances_val2017.json", "{}")
    assert open_dataset(tmp_path, split="val2017").layout == "folders"
    image(tmp_path / "2" / "images" / "classes.jpg")
    label(tmp_path / "2" / "labels" / "classes.png", ids())
    text(tmp_path / "2" / "labels" / "classes.txt", "sky\nroad")
    assert open_dataset(tmp_path / "2").layout == "folders"
    text(tmp_path / "2" / "images" / "classes.json", '{"camera": "A7"}')
    assert open_dataset(tmp_path / "2").layout == "folders"
    text(tmp_path / "2" / "images" / "classes.json", '{"shapes": []}')
    text(tmp_path / "2" / "annotations.xml", "<annotations/>")
    assert open_dataset(tmp_path / "2").layout == "folders"
    assert open_dataset(tmp_path / "2", layout="labelme").layout == "labelme"


def test_other_files_called_as_those_of_annotations(tmp_path):
    image(tmp_path / "images" / "a.jpg")
    text(tmp_path / "result.json", '{"mIoU": 43.7}')
    with pytest.raises(DataSetError, match="no folder of label maps beside its images"):
        open_dataset(tmp_path)


def test_names_of_polygons_are_not_taken_for_all_classes(tmp_path):
    """A file `classes.txt` of Label Studio does not list the background."""
    MINIATURES["yolo"].make(tmp_path)
    (tmp_path / "data.yaml").unlink()
    text(tmp_path / "classes.txt", "cat\n")
    assert classes_of(open_dataset(tmp_path, split="val")) == ("background", "cat")
