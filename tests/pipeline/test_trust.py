"""What `trust_remote_code=True` lifts: values that are needed and can't be read as data."""

import shutil

import pytest
from modelscope.models import Model
from modelscope.pipelines import pipeline
from modelscope.preprocessors import Preprocessor

from modelscope_vitadapter.errors import UnreadableConfigError
from tests.pipeline.cases import GOLDEN, case_input, class_map_of, expected

NESTED = {
    "in the model": ("num_things_classes = 8", "num_things_classes = int('8'.zfill(2))"),
    "in the test pipeline": ("img_scale=(256, 64)", "img_scale=eval('(256, 64)')"),
}


@pytest.fixture(params=NESTED.values(), ids=list(NESTED))
def directory(request, tmp_path):
    for name in ("configuration.json", "pytorch_model.pt"):
        shutil.copy(GOLDEN / "base" / name, tmp_path)
    text = (GOLDEN / "base" / "mmcv_config.py").read_text(encoding="utf-8")
    before, after = request.param
    assert before in text
    (tmp_path / "mmcv_config.py").write_text(text.replace(before, after), encoding="utf-8")
    return str(tmp_path)


def test_refused_without_trust(directory):
    with pytest.raises(ValueError, match=r"mmcv_config\.py.*trust_remote_code=True"):
        pipeline("image-segmentation", model=directory)
    with pytest.raises(ValueError, match="line"):
        Model.from_pretrained(directory)


def test_executed_with_trust(directory):
    segmentor = pipeline("image-segmentation", model=directory, trust_remote_code=True)
    result = segmentor(case_input("base", "china"))
    answer = class_map_of(result, segmentor.model.CLASSES)
    assert (answer == expected("base")["china/classmap"]).all()


def test_preprocessor_alone(directory):
    with pytest.raises(UnreadableConfigError):
        from_directory(directory, trust_remote_code=False)
    assert from_directory(directory, trust_remote_code=True)(case_input("base", "china"))["img"]


def from_directory(directory, *, trust_remote_code):
    cls = type(Preprocessor.from_pretrained(str(GOLDEN / "base")))
    return cls(directory, trust_remote_code=trust_remote_code)
