import numpy as np
import pytest

from modelscope_vitadapter.images.writing import COCO_PANOPTIC_PALETTE, semantic_seg_masks_to_image


def test_later_masks_cover_earlier_ones_and_the_rest_is_black():
    masks = [np.array([[1, 1, 0]]), np.array([[0, 7, 0]])]
    drawn = semantic_seg_masks_to_image(masks)
    assert masks[1].tolist() == [[0, 7, 0]]  # as it was
    colours = [COCO_PANOPTIC_PALETTE[0], COCO_PANOPTIC_PALETTE[1], (0, 0, 0)]
    np.testing.assert_array_equal(drawn, [colours])


def test_133_different_colours_start_over_after_the_last():
    assert len(np.unique(COCO_PANOPTIC_PALETTE, axis=0)) == len(COCO_PANOPTIC_PALETTE) == 133
    drawn = semantic_seg_masks_to_image(np.eye(268, dtype=bool)[:, None, :])[0]
    np.testing.assert_array_equal(drawn[132], COCO_PANOPTIC_PALETTE[132])
    np.testing.assert_array_equal(drawn[133:266], COCO_PANOPTIC_PALETTE)
    np.testing.assert_array_equal(drawn[266:], COCO_PANOPTIC_PALETTE[:2])


@pytest.mark.parametrize(
    ("masks", "complaint"),
    [
        ([], "no mask"),
        ([np.ones((2, 2)), np.ones((2, 3))], r"shapes \[\(2, 2\), \(2, 3\)\]"),
        ([np.ones((2, 2, 1))], r"shapes \[\(2, 2, 1\)\]"),
    ],
)
def test_refuses_what_cannot_be_drawn(masks, complaint):
    with pytest.raises(ValueError, match=complaint):
        semantic_seg_masks_to_image(masks)
