import numpy as np
import pytest

from modelscope_vitadapter.images.writing import COCO_PANOPTIC_PALETTE, semantic_seg_masks_to_image
from tests.hub.environment import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "golden"
DRAWINGS = [
    (folder, name)
    for folder, names in {
        "base": ("china", "flower", "gray", "pil", "tall", "tiny", "wide"),
        "tta": ("china", "flower"),
    }.items()
    for name in names
]


def masks_of(class_map, dtype):
    return [(class_map == class_id).astype(dtype) for class_id in np.unique(class_map)[::-1]]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize(("folder", "name"), DRAWINGS)
def test_equals_the_golden_drawings(folder, name, dtype):
    expected = np.load(GOLDEN / folder / "expected.npz")
    drawn = semantic_seg_masks_to_image(masks_of(expected[f"{name}/classmap"], dtype))
    assert drawn.dtype == np.float64
    np.testing.assert_array_equal(drawn, expected[f"{name}/draw"])


def test_palette_has_133_different_colours():
    assert COCO_PANOPTIC_PALETTE.shape == (133, 3)
    assert len(np.unique(COCO_PANOPTIC_PALETTE, axis=0)) == 133


def test_later_masks_cover_earlier_ones_and_the_rest_is_black():
    first = np.array([[1, 1, 0]])
    second = np.array([[0, 7, 0]])
    drawn = semantic_seg_masks_to_image([first, second])
    expected = [COCO_PANOPTIC_PALETTE[0], COCO_PANOPTIC_PALETTE[1], (0, 0, 0)]
    np.testing.assert_array_equal(drawn, [expected])


def test_palette_starts_over_after_its_last_colour():
    masks = np.eye(268, dtype=bool)[:, None, :]
    drawn = semantic_seg_masks_to_image(masks)[0]
    np.testing.assert_array_equal(drawn[132], COCO_PANOPTIC_PALETTE[132])
    np.testing.assert_array_equal(drawn[133:266], COCO_PANOPTIC_PALETTE)
    np.testing.assert_array_equal(drawn[266:], COCO_PANOPTIC_PALETTE[:2])


def test_masks_are_not_changed():
    mask = np.array([[0, 2]])
    semantic_seg_masks_to_image([mask])
    np.testing.assert_array_equal(mask, [[0, 2]])


@pytest.mark.parametrize(
    ("masks", "complaint"),
    [
        ([], "no mask"),
        ([np.ones((2, 2)), np.ones((2, 3))], "Mask 1 has shape"),
        ([np.ones((2, 2, 1))], r"shape \(2, 2, 1\)"),
    ],
)
def test_refuses_what_cannot_be_drawn(masks, complaint):
    with pytest.raises(ValueError, match=complaint):
        semantic_seg_masks_to_image(masks)
