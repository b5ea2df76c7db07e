"""All ways to build and call the pipeline that ModelScope's users know."""

import numpy as np
import pytest
import torch
from modelscope.models import Model
from modelscope.pipelines import pipeline
from modelscope.preprocessors import Preprocessor
from modelscope.utils.constant import Tasks

from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.pipeline import VitAdapterSegmentationPipeline
from modelscope_vitadapter.plugin.preprocessor import VitAdapterSegmentationPreprocessor
from tests.pipeline.cases import case_input, class_map_of, expected

IMAGE = case_input("base", "flower")


def check(result):
    classes = [f"thing-{i}" for i in range(8)] + [f"stuff-{i}" for i in range(9)]
    assert np.array_equal(class_map_of(result, classes), expected("base")["flower/classmap"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"device": "cpu"},
        {"device": "gpu"},
        {"device": "cuda:0"},
        {"batch_size": 4},
        {"foo": 1},
        {"torch_dtype": "float32"},
        {"torch_dtype": torch.float32},
        {"window_batch_size": 3},
        {"trust_remote_code": True},
        {"model_revision": "v1.0.0"},
    ],
    ids=str,
)
def test_options(base_dir, options):
    segmentor = pipeline(Tasks.image_segmentation, model=base_dir, **options)
    assert type(segmentor) is VitAdapterSegmentationPipeline
    check(segmentor(IMAGE))


@pytest.mark.slow
def test_a_compiled_network_answers_the_same_and_keeps_its_names(base_dir, segmentor):
    options = {"compile": True, "compile_options": {"backend": "eager"}}
    compiled = pipeline(Tasks.image_segmentation, model=base_dir, **options)
    check(compiled(IMAGE))
    assert set(compiled.model.state_dict()) == set(segmentor.model.state_dict())


def test_list_with_one_directory(base_dir):
    check(pipeline(Tasks.image_segmentation, model=[base_dir])(IMAGE))


def test_model_object(base_dir):
    model = Model.from_pretrained(base_dir)
    assert type(model) is VitAdapterSemanticSegmentation
    check(pipeline(Tasks.image_segmentation, model=model, device="cpu")(IMAGE))


def test_own_preprocessor(base_dir):
    preprocessor = Preprocessor.from_pretrained(base_dir)
    assert type(preprocessor) is VitAdapterSegmentationPreprocessor
    check(pipeline(Tasks.image_segmentation, model=base_dir, preprocessor=preprocessor)(IMAGE))


def test_other_torch_device(base_dir):
    segmentor = pipeline(Tasks.image_segmentation, model=base_dir, device="meta")
    assert segmentor.device == torch.device("meta")


def test_unknown_device(base_dir):
    with pytest.raises(ValueError, match="device='toaster'"):
        pipeline(Tasks.image_segmentation, model=base_dir, device="toaster")


def test_inputs_of_a_list_are_read_as_their_turn_comes(segmentor, monkeypatch):
    events = []
    preprocess, postprocess = segmentor.preprocess, segmentor.postprocess

    def read(one, **options):
        events.append("read")
        return preprocess(one, **options)

    def finish(decisions, **options):
        events.append("finish")
        return postprocess(decisions, **options)

    monkeypatch.setattr(segmentor, "preprocess", read)
    monkeypatch.setattr(segmentor, "postprocess", finish)
    monkeypatch.setattr(segmentor.model.segmenter, "window_batch_size", 1)
    segmentor([IMAGE] * 3)
    assert events == ["read", "finish"] * 3


def test_several_models_are_refused(base_dir):
    with pytest.raises(ValueError, match="has 2 models"):
        pipeline(Tasks.image_segmentation, model=[base_dir, base_dir])


def test_keywords_without_effect_are_named(base_dir, caplog):
    pipeline(Tasks.image_segmentation, model=base_dir, torch_type="bfloat16")
    assert "torch_type" in caplog.text


def test_empty_list(segmentor):
    assert segmentor([]) == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", torch.bfloat16])
def test_reduced_precision(base_dir, dtype):
    segmentor = pipeline(Tasks.image_segmentation, model=base_dir, torch_dtype=dtype)
    result = segmentor(IMAGE, output="class_map")
    share = (result["class_map"] == expected("base")["flower/classmap"]).mean()
    assert share > 0.9
    assert next(segmentor.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"torch_dtype": "int8"}, "torch_dtype='int8'"),
        ({"adapter_form": "mine"}, "adapter_form='mine'"),
        ({"window_batch_size": 0}, "window_batch_size=0"),
        ({"batch_size": -1}, "batch_size=-1"),
    ],
)
def test_refused_options(base_dir, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(Tasks.image_segmentation, model=base_dir, **options)


def test_authors_form_differs(base_dir, segmentor):
    authors = pipeline(Tasks.image_segmentation, model=base_dir, adapter_form="authors")
    ours, theirs = (p(IMAGE, output="class_map")["class_map"] for p in (segmentor, authors))
    assert (ours != theirs).any()


def test_a_changed_configuration_takes_effect_when_it_is_given_to_the_preprocessor(base_dir):
    segmentor = pipeline(Tasks.image_segmentation, model=base_dir)
    segmentor.model.cfg.data.test.pipeline[1].img_scale = (512, 128)
    assert segmentor.preprocess(IMAGE)["img"][0].shape[1] == 64
    segmentor.preprocessor.model_config = segmentor.model.cfg
    assert segmentor.preprocess(IMAGE)["img"][0].shape[1] == 128
