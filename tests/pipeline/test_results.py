"""What a call answers: call options, odd pictures, data sets."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset
from modelscope.msdatasets import MsDataset
from modelscope.utils.constant import DownloadMode  # noqa: F401  # scripts import it beside MsDataset

from tests.pipeline.cases import GOLDEN, case_input, class_map_of, expected

IMAGE = case_input("base", "china")


@pytest.mark.parametrize("dtype", [bool, "uint8", np.float32, "int64", None])
def test_mask_dtype(segmentor, dtype):
    result = segmentor(IMAGE, mask_dtype=dtype)
    assert {mask.dtype for mask in result["masks"]} == {np.dtype(dtype or np.int64)}
    assert all(map(np.array_equal, result["masks"], segmentor(IMAGE)["masks"]))


def test_class_map(segmentor):
    result = segmentor(IMAGE, output="class_map")
    assert sorted(result) == ["class_ids", "class_map", "labels", "scores"]
    assert result["class_map"].dtype == np.uint8
    assert np.array_equal(result["class_map"], expected("base")["china/classmap"])
    assert result["class_ids"] == sorted(set(result["class_map"].ravel().tolist()), reverse=True)
    assert result["labels"] == [segmentor.model.CLASSES[i] for i in result["class_ids"]]


def test_confidence(segmentor):
    result = segmentor(IMAGE, confidence=True)
    assert result["confidence"].dtype == np.float16
    assert result["confidence"].shape == IMAGE.shape[:2]
    classes = segmentor.model.num_classes
    assert 1 / classes <= result["confidence"].min() < result["confidence"].max() <= 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask_dtype": "U5"}, ValueError, "mask_dtype='U5'"),
        ({"mask_dtype": "nonsense"}, ValueError, "mask_dtype='nonsense'"),
        ({"confidence": "no"}, ValueError, "confidence='no'"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"output": "polygons"}, ValueError, "output='polygons'"),
        ({"treshold": 1}, TypeError, "unknown call option 'treshold'"),
    ],
)
def test_refused_call_options(segmentor, options, error, message):
    with pytest.raises(error, match=message):
        segmentor(IMAGE, **options)


def test_server_options_are_passed_over(segmentor):
    assert segmentor(IMAGE, score_thr=0.5)["labels"] == segmentor(IMAGE)["labels"]


def test_paths_bytes_and_dicts(segmentor):
    path = GOLDEN / "base" / "china.png"
    wanted = expected("base")["china/classmap"]
    for given in (str(path), path, path.read_bytes(), {"InputImage:FILE": str(path)}):
        result = segmentor(given)
        assert np.array_equal(class_map_of(result, segmentor.model.CLASSES), wanted)


def test_wrong_options_of_a_stream_are_refused_before_it_is_read(segmentor):
    with pytest.raises(TypeError, match="unknown call option 'bogus'"):
        segmentor(iter([IMAGE]), bogus=1)


@pytest.mark.parametrize(
    ("given", "hint"),
    [(io.BytesIO(b"x"), r"read\(\)"), (torch.zeros(3, 4, 4), r"permute\(1, 2, 0\)")],
)
def test_files_and_tensors_are_no_streams(segmentor, given, hint):
    with pytest.raises(TypeError, match=hint):
        segmentor(given)


def test_msdataset(segmentor, tmp_path):
    paths = [str(GOLDEN / "base" / f"{name}.png") for name in ("china", "flower")]
    table = tmp_path / "pictures.csv"
    table.write_text("\n".join(["InputImage:FILE", *paths]) + "\n", encoding="utf-8")
    data = MsDataset.load(str(table))
    targeted = MsDataset.load(str(table), target="InputImage:FILE")
    hugging_face = Dataset.from_dict({"InputImage:FILE": paths})
    single = segmentor(data[0]["InputImage:FILE"])
    for inputs in (data, targeted, hugging_face):
        results = list(segmentor(inputs))
        assert len(results) == 2
        assert results[0]["labels"] == single["labels"]
        assert all(map(np.array_equal, results[0]["masks"], single["masks"]))
