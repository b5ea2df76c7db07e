"""What a call answers: call options, odd pictures, data sets."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset
from modelscope.msdatasets import MsDataset
from modelscope.utils.constant import DownloadMode  # noqa: F401  # scripts import it beside MsDataset

from modelscope_vitadapter.errors import ImageMemoryError
from modelscope_vitadapter.inference import memory
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


def test_probabilities_in_memory_and_in_a_file(segmentor, tmp_path):
    plain = segmentor(IMAGE, output="class_map")
    result = segmentor(IMAGE, output="probabilities", confidence=True)
    assert sorted(result) == [
        *("class_ids", "class_map", "confidence", "labels", "probabilities", "scores")
    ]
    for name in ("class_ids", "labels", "scores"):
        assert result[name] == plain[name]
    assert np.array_equal(result["class_map"], plain["class_map"])
    chances = result["probabilities"]
    assert chances.dtype == np.float16
    assert chances.shape == (segmentor.model.num_classes, *IMAGE.shape[:2])
    assert np.array_equal(chances.max(axis=0), result["confidence"])
    of_class = np.take_along_axis(chances, plain["class_map"][None].astype(np.int64), axis=0)[0]
    assert np.array_equal(of_class, chances.max(axis=0))  # float16 makes several equal here
    path = tmp_path / "china.npy"
    in_file = segmentor(IMAGE, probabilities=path)
    assert sorted(in_file) == ["class_ids", "class_map", "labels", "probabilities", "scores"]
    assert in_file["probabilities"] == str(path)
    assert np.load(path).tobytes() == chances.tobytes()
    with_masks = segmentor(IMAGE, output="masks", probabilities=str(path))
    assert len(with_masks["masks"]) == len(plain["class_ids"])
    assert np.load(with_masks["probabilities"]).tobytes() == chances.tobytes()


def test_each_of_several_inputs_has_its_file(segmentor, tmp_path):
    inputs = [IMAGE, "missing.png", IMAGE[:, :40]]
    for given in (inputs, iter(inputs)):
        folder = tmp_path / type(given).__name__
        results = list(segmentor(given, probabilities=folder, on_error="skip", batch_size=3))
        assert [one["index"] for one in results] == [0, 2]
        assert [one["probabilities"] for one in results] == [
            str(folder / "000000.npy"),
            str(folder / "000002.npy"),
        ]
        sizes = [np.load(one["probabilities"], mmap_mode="r").shape[1:] for one in results]
        assert sizes == [IMAGE.shape[:2], (len(IMAGE), 40)]
        with pytest.raises(ValueError, match=r"probabilities='a\.npy': expected a folder"):
            segmentor(given, probabilities="a.npy")


def test_an_input_whose_probabilities_do_not_fit_is_left_out(segmentor, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 500_000)
    monkeypatch.setattr(memory, "SMALL", 0)
    inputs = [IMAGE, IMAGE[:40, :50]]
    results = segmentor(inputs, output="probabilities", on_error="skip")
    assert [one["index"] for one in results] == [1]
    with pytest.raises(ImageMemoryError, match=r"input 0 .*probabilities='NAME\.npy'"):
        segmentor(inputs, output="probabilities")


def test_the_best_classes(segmentor):
    result = segmentor(IMAGE, top_k=3)
    chances = segmentor(IMAGE, output="probabilities")["probabilities"]
    assert sorted(result) == ["labels", "masks", "scores", "top_ids", "top_probabilities"]
    assert result["top_ids"].dtype == np.uint8
    assert np.array_equal(result["top_ids"][0], segmentor(IMAGE, output="class_map")["class_map"])
    ordered = np.sort(chances, axis=0)[:-4:-1]
    assert result["top_probabilities"].dtype == np.float16
    np.testing.assert_allclose(result["top_probabilities"], ordered, rtol=2e-3, atol=1e-6)


def test_uncertain_pixels_are_in_no_mask(segmentor):
    certain = segmentor(IMAGE, confidence=True, output="class_map")
    limit = float(np.median(certain["confidence"].astype(np.float32)))
    result = segmentor(IMAGE, threshold=limit, output="class_map")
    ignored = result["class_map"] == 255
    assert 0.2 < ignored.mean() < 0.8
    assert result["class_map"].dtype == np.uint8
    assert (certain["confidence"][ignored].astype(np.float32) <= limit + 1e-3).all()
    assert np.array_equal(result["class_map"][~ignored], certain["class_map"][~ignored])
    assert result["class_ids"] == sorted(set(result["class_map"][~ignored].tolist()), reverse=True)
    assert len(result["labels"]) == len(result["class_ids"])
    other = segmentor(IMAGE, threshold=limit, ignore_id=65535, output="class_map")["class_map"]
    assert other.dtype == np.int32
    assert np.array_equal(other == 65535, ignored)
    masks = segmentor(IMAGE, threshold=limit)["masks"]
    assert np.array_equal(sum(masks), ~ignored)
    nothing = segmentor(IMAGE, threshold=1)
    assert (nothing["masks"], nothing["labels"]) == ([], [])


def test_postprocess_says_what_it_lacks(segmentor):
    class_maps = segmentor.model.inference(segmentor.preprocess(IMAGE))
    with pytest.raises(ValueError, match=r"wanted=Wanted\(probabilities=True\)"):
        segmentor.model.postprocess(class_maps, output="probabilities")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask_dtype": "U5"}, ValueError, "mask_dtype='U5'"),
        ({"mask_dtype": "nonsense"}, ValueError, "mask_dtype='nonsense'"),
        ({"confidence": "no"}, ValueError, "confidence='no'"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"output": "polygons"}, ValueError, "output='polygons'"),
        ({"treshold": 1}, TypeError, "unknown call option 'treshold': expected .* threshold,"),
        ({"threshold": 2}, ValueError, "threshold=2: expected"),
        ({"threshold": 0.5, "ignore_id": 3}, ValueError, "ignore_id=3: expected .* from 17"),
        ({"top_k": 18}, ValueError, "top_k=18: expected a whole number from 1 to 17"),
        ({"probabilities": "folder"}, ValueError, "probabilities='folder': expected .* a file"),
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
