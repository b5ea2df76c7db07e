import numpy as np
import pytest

from modelscope_vitadapter.datasets.label_ids import (
    COCO_STUFF_182,
    COCO_STUFF_ABSENT,
    IGNORED,
    LabelIds,
    parse_label_ids,
)
from modelscope_vitadapter.errors import DataSetError


def translate(label_ids, ids, num_classes, dtype=np.uint8):
    classes, wrong = label_ids.to_classes(np.array([ids], dtype), num_classes)
    assert wrong is None, wrong
    assert classes.dtype == np.int16
    return classes[0].tolist()


def refusal(label_ids, ids, num_classes, dtype=np.uint8):
    return label_ids.to_classes(np.array([ids], dtype), num_classes)[1]


def test_ids_are_class_ids_and_255_is_ignored():
    assert translate(LabelIds(), [0, 2, 255], 3) == [0, 2, IGNORED]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_minus_one_of_arrays_is_ignored(dtype):
    assert translate(LabelIds(), [1, -1], 3, dtype) == [1, IGNORED]


def test_ids_of_16_bits():
    assert translate(LabelIds(), [299, 255, 65535], 300, np.uint16) == [299, 255, IGNORED]


def test_zero_is_ignored_and_ids_shift_where_asked_for():
    assert translate(LabelIds(reduce_zero_label=True), [0, 1, 3, 255], 3) == [-1, 0, 2, -1]


def test_other_ids_are_ignored_where_the_data_set_says_so():
    label_ids = LabelIds(ignored=(7,))
    assert translate(label_ids, [0, 7], 3) == [0, IGNORED]
    assert "255" in refusal(label_ids, [255], 3)


def test_a_mapping_merges_and_drops_classes():
    label_ids = LabelIds(mapping=(IGNORED, 0, 0, 1))
    assert translate(label_ids, [0, 1, 2, 3, 255], 2) == [-1, 0, 0, 1, -1]
    assert "4" in refusal(label_ids, [4], 2)


@pytest.mark.parametrize(
    ("ids", "dtype", "shown"),
    [
        ([0, 3, 3], np.uint8, "3 (2 pixels)"),
        ([-2], np.int16, "below 0"),
        ([70000], np.int32, "above 65535"),
        ([-5], np.int8, "below 0"),
        (range(3, 20), np.uint8, "9, 10 and 9 others"),
    ],
)
def test_ids_of_no_class_are_named_and_counted(ids, dtype, shown):
    message = refusal(LabelIds(), list(ids), 3, dtype)
    assert shown in message
    assert "0 to 2" in message
    assert "255" in message


def test_the_message_says_what_may_be_meant():
    assert "reduce_zero_label" in refusal(LabelIds(), [1, 2, 3], 3)
    assert "coco-stuff-182" in refusal(LabelIds(), [180], 171)
    assert "coco-stuff-182" not in refusal(LabelIds(), [180], 170)


def test_coco_stuff_has_171_of_182_ids():
    present = [one for one in range(182) if one not in COCO_STUFF_ABSENT]
    assert translate(COCO_STUFF_182, present, 171) == list(range(171))
    assert translate(COCO_STUFF_182, [255], 171) == [IGNORED]
    for one in COCO_STUFF_ABSENT:
        assert str(one) in refusal(COCO_STUFF_182, [one], 171)


# Facts of the data set's labels.md, less one: id, name, place among the hub model's classes.
@pytest.mark.parametrize(
    ("original", "name"),
    [(0, "person"), (12, "stop sign"), (89, "toothbrush"), (91, "banner"), (181, "wood")],
)
def test_coco_stuff_ids_lead_to_the_classes_of_the_hub_model(original, name):
    from pathlib import Path

    from modelscope_vitadapter.config.reader import read_config

    golden = Path(__file__).parents[1] / "golden" / "full_size_mmcv_config.py"
    classes = read_config(golden)["CLASSES"]
    assert classes[translate(COCO_STUFF_182, [original], 171)[0]] == name


def test_a_mapping_beyond_the_classes_is_refused():
    with pytest.raises(DataSetError, match=r"class 170.*7 classes"):
        COCO_STUFF_182.to_classes(np.zeros((1, 1), np.uint8), 7)


def test_a_name_that_is_none_is_refused():
    assert parse_label_ids("coco-stuff-182") is COCO_STUFF_182
    with pytest.raises(DataSetError, match="as-is, reduce-zero, coco-stuff-182"):
        parse_label_ids("coco")
