"""Probabilities, the best classes and thresholds, of images that are cut in every way."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modelscope_vitadapter.errors import ImageMemoryError
from modelscope_vitadapter.hints import on_command_line
from modelscope_vitadapter.inference import memory, pixel_classes, probabilities
from modelscope_vitadapter.inference.predictor import predict
from modelscope_vitadapter.inference.wanted import Wanted
from tests.inference.test_predictor import CLASSES, SLIDE, Network, image, run, whole_probabilities
from tests.support.networks import random_image, randomise

IMAGES = {
    "upright": {"height": 150, "width": 64},
    "transposed": {"height": 64, "width": 150},
    "several views": {"height": 70, "width": 130, "flips": (None, "horizontal", "vertical")},
    "enlarged": {"height": 40, "width": 66, "size": (210, 301)},
    "reduced": {"height": 100, "width": 130, "size": (31, 33)},
}
"""Arguments of `image`; windows are 64 pixels long, so that the longer side has more of them."""


@pytest.fixture(scope="module")
def network():
    return randomise(Network()).eval()


@pytest.fixture(params=IMAGES.values(), ids=IMAGES.keys())
def one(request):
    return image(**request.param)


@pytest.fixture(autouse=True)
def _many_strips_and_chunks(monkeypatch):
    monkeypatch.setattr(pixel_classes, "CHUNK_BYTES", 4 * CLASSES * 1000)


def answer(network, one, **wanted):
    (found,) = run(network, [one], wanted=Wanted(**wanted), strip_bytes=4 * CLASSES * 64 * 9)
    return found


def test_probabilities_are_those_of_the_whole_image(network, one):
    found = answer(network, one, probabilities=True, confidence=True, top_k=3)
    with torch.inference_mode():
        expected = whole_probabilities(network, one, SLIDE)
    given = found.probabilities
    assert given.dtype == torch.float16
    assert given.shape == (CLASSES, *one.image_size)
    torch.testing.assert_close(given, expected.half(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(given.float().sum(0), torch.ones(one.image_size), rtol=0, atol=2e-3)
    assert torch.equal(found.confidence, given.amax(0))
    # Rounding to float16 may make two classes equal, so the class map's need not be the first.
    assert torch.equal(given.gather(0, found.class_map[None])[0], given.amax(0))
    assert (given.argmax(0) == found.class_map).float().mean() > 0.99
    assert torch.equal(found.top_ids[0].long(), found.class_map)
    assert found.top_ids.dtype == torch.uint8
    assert np.array_equal(
        found.top_probabilities, np.sort(given.numpy(), axis=0)[: CLASSES - 4 : -1]
    )
    assert torch.equal(given.gather(0, found.top_ids.long()), found.top_probabilities)


def test_a_file_holds_what_memory_would(network, one, tmp_path):
    path = tmp_path / "made" / "probabilities.npy"
    in_memory = answer(network, one, probabilities=True)
    in_file = answer(network, one, probabilities=path)
    assert in_file.probabilities == path
    array = np.load(path, mmap_mode="r")
    assert array.flags.c_contiguous
    assert array.dtype == np.float16
    assert array.tobytes() == in_memory.probabilities.numpy().tobytes()
    assert torch.equal(in_file.class_map, in_memory.class_map)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_is_wanted_changes_no_class(network, one):
    plain = answer(network, one)
    assert [plain.confidence, plain.top_ids, plain.top_probabilities, plain.probabilities] == [
        None
    ] * 4
    clear = whole_probabilities(network, one, SLIDE).topk(2, dim=0).values
    clear = clear[0] - clear[1] > 1e-6
    for wanted in {"top_k": 2}, {"confidence": True}, {"probabilities": True}, {"threshold": 0}:
        other = answer(network, one, **wanted)
        assert torch.equal(plain.class_map[clear], other.class_map[clear]), wanted


def test_pixels_below_the_threshold_have_the_ignore_id(network, one):
    plain = answer(network, one, confidence=True)
    limit = float(plain.confidence.float().median())
    below = plain.confidence < limit - 1e-3
    above = plain.confidence > limit + 1e-3
    assert below.any()
    assert above.any()
    for given, used in (None, 255), (9, 9), (1000, 1000):
        found = answer(network, one, threshold=limit, ignore_id=given, top_k=1)
        assert found.ignore_id == used
        assert (found.class_map[below] == used).all()
        assert torch.equal(found.class_map[above], plain.class_map[above])
        assert torch.equal(found.top_ids[0].long(), plain.class_map)


def test_every_image_has_its_own_file(network, tmp_path):
    images = [image(64, 96), image(96, 64, seed=3), image(64, 64, seed=5)]
    wanted = Wanted(probabilities=lambda number: tmp_path / f"{number}.npy")
    found = run(network, images, batch=3, wanted=wanted)
    for number, (one, prediction) in enumerate(zip(images, found, strict=True)):
        assert prediction.probabilities == tmp_path / f"{number}.npy"
        alone = answer(network, one, probabilities=True).probabilities.float().numpy()
        array = np.load(prediction.probabilities).astype(np.float32)
        np.testing.assert_allclose(array, alone, rtol=1e-2, atol=1e-3)
    with pytest.raises(ValueError, match=r"expected one input for one file"):
        run(network, images, wanted=Wanted(probabilities=tmp_path / "one.npy"))


def test_nothing_is_left_of_a_file_that_was_not_completed(network, tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    path.write_text("of before")

    def broken(*arguments, **options):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(torch.Tensor, "half", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        answer(network, image(64, 64), probabilities=path)
    assert path.read_text() == "of before"
    assert [one.name for one in tmp_path.iterdir()] == ["a.npy"]


def test_a_disk_that_is_too_small_is_named(network, tmp_path, monkeypatch):
    monkeypatch.setattr(probabilities.shutil, "disk_usage", lambda path: SimpleNamespace(free=1234))
    path = tmp_path / "a.npy"
    with pytest.raises(OSError, match=rf"a\.npy.* {2 * CLASSES * 64 * 64} bytes .* 1234 are free"):
        answer(network, image(64, 64), probabilities=path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"can't be written to '.*file/a\.npy'"):
        answer(network, image(64, 64), probabilities=tmp_path / "file" / "a.npy")


def test_what_does_not_fit_into_memory_is_refused_before_the_network_runs(network, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 5000)
    monkeypatch.setattr(memory, "SMALL", 0)
    needed = 2 * CLASSES * 64 * 64
    told = rf"needs {needed} bytes .* 5000 bytes are free; .*probabilities='NAME.npy' \({needed} "
    with pytest.raises(ImageMemoryError, match=told):
        run(None, [image(64, 64)], wanted=Wanted(probabilities=True))
    answer(network, image(64, 64), top_k=2)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"confidence": 2}, "confidence=2: expected True or False"),
        ({"top_k": 0}, "top_k=0: expected a whole number from 1 to 300"),
        ({"top_k": 301}, "top_k=301: expected a whole number from 1 to 300"),
        ({"top_k": True}, "top_k=True"),
        ({"threshold": 1.5}, "threshold=1.5: expected a probability from 0 to 1"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"threshold": "0.5"}, "threshold='0.5'"),
        ({"ignore_id": 299}, "ignore_id=299: expected .* no class of the model, from 300 to 65535"),
        ({"ignore_id": 65536}, "ignore_id=65536"),
        ({"ignore_id": -1}, "ignore_id=-1"),
        ({"ignore_id": 400.0}, "ignore_id=400.0"),
        ({"probabilities": "a.txt"}, r"probabilities='a.txt': expected .* ends in \.npy"),
        ({"probabilities": ""}, "probabilities=''"),
        ({"probabilities": 3}, "probabilities=3"),
    ],
)
def test_refused_values_are_named(wanted, message):
    with pytest.raises(ValueError, match=message):
        Wanted(**wanted).checked(300)


def test_a_command_names_its_own_options():
    with on_command_line(), pytest.raises(ValueError, match=r"^--top-k 9: expected"):
        Wanted(top_k=9).checked(5)


@pytest.mark.parametrize(("classes", "ignored"), [(255, 255), (256, 65535), (300, 65535)])
def test_the_ignore_id_is_no_class(classes, ignored):
    assert Wanted().checked(classes).ignore_id == ignored


@pytest.mark.parametrize(("classes", "dtype"), [(256, torch.uint8), (300, torch.int32)])
def test_ids_of_many_classes_fit_into_their_type(network, classes, dtype):
    def many(window):
        _, masks = network(window)
        return 5 * random_image(len(window), masks.shape[1], classes + 1), masks

    with torch.inference_mode():
        (found,) = predict(
            many,
            [image(64, 64)],
            SLIDE,
            num_classes=classes,
            wanted=Wanted(top_k=classes, probabilities=True, threshold=0.05),
        )
    assert found.top_ids.dtype == dtype
    ids = found.top_ids.long()
    assert torch.equal(ids.sort(dim=0).values[:, 3, 5], torch.arange(classes))
    assert torch.equal(found.probabilities.gather(0, ids), found.top_probabilities)
    ignored = found.class_map == 65535
    assert ignored.any()
    assert torch.equal(found.class_map[~ignored], ids[0][~ignored])
