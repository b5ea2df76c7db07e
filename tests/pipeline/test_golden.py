"""The pipeline answers what the built-in model answers, to the pixel."""

import numpy as np
import pytest
from modelscope.pipelines import pipeline
from modelscope.utils.cv.image_utils import semantic_seg_masks_to_image

from tests.pipeline.cases import CASES, GOLDEN, case_input, class_map_of, expected


@pytest.fixture(scope="module")
def pipelines(segmentor):
    tta = pipeline("image-segmentation", model=str(GOLDEN / "tta"), device="cpu")
    return {"base": segmentor, "tta": tta}


@pytest.mark.parametrize(("directory", "name"), CASES)
def test_golden(pipelines, directory, name):
    answers = expected(directory)
    result = pipelines[directory](case_input(directory, name))
    assert sorted(result) == ["labels", "masks", "scores"]
    assert result["labels"] == answers[f"{name}/labels"].tolist()
    assert result["scores"] == [0.999] * len(result["labels"])
    assert isinstance(result["masks"], list)
    assert {mask.dtype for mask in result["masks"]} == {np.dtype(np.int64)}
    class_map = class_map_of(result, pipelines[directory].model.CLASSES)
    assert np.array_equal(class_map, answers[f"{name}/classmap"])
    drawing = semantic_seg_masks_to_image(result["masks"])
    assert drawing.dtype == np.float64
    assert np.array_equal(drawing, answers[f"{name}/draw"])
