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
    (tmp_path / "classes.txt").write_text("sky\nroad")
    assert classes_of(open_dataset(tmp_path)) == ("sky", "road")


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
