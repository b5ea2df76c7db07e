import numpy as np
import pytest

from benchmarks.worker import OURS
from benchmarks.workers import own_side
from tests.support.configs import GOLDEN

BASE = GOLDEN / "base"


@pytest.fixture(scope="module")
def expected():
    with np.load(BASE / "expected.npz") as answers:
        return {name: answers[name] for name in answers.files}


@pytest.fixture(scope="module")
def loaded():
    """A worker that has loaded the golden model, and what it said."""
    with own_side("golden", threads=1) as worker:
        answer = worker.ask("load", side=OURS, model_dir=str(BASE), threads=1)
        yield worker, answer


def test_load_is_measured_part_by_part(loaded):
    _, answer = loaded
    assert 0 < answer["checkpoint"]["wall_s"] < answer["load"]["wall_s"]
    assert answer["import"]["peak_bytes"] <= answer["load"]["peak_bytes"]
    assert answer["threads"] == 1


def test_segment_says_what_the_network_was_given(loaded, expected):
    worker, _ = loaded
    answer = worker.ask("segment", picture=str(BASE / "china.png"))
    assert answer["classes"] == len(expected["china/labels"])
    assert answer["windows"][0] == [64, 64]
    assert answer["returned_bytes"] == expected["china/classmap"].size * 8 * answer["classes"]
    small = worker.ask("segment", picture=str(BASE / "china.png"), options={"mask_dtype": "bool"})
    assert small["returned_bytes"] * 8 == answer["returned_bytes"]


def test_logits_are_those_of_every_window(loaded, expected, tmp_path):
    worker, _ = loaded
    answer = worker.ask("logits", picture=str(BASE / "china.png"), out=str(tmp_path / "one.npz"))
    with np.load(tmp_path / "one.npz") as saved:
        layers = 9  # of the golden model's decoder
        assert len(saved.files) == 1 + (2 + layers) * answer["windows"]
        np.testing.assert_array_equal(saved["class_map"], expected["china/classmap"])
        for kind, name in (("class", "cls"), ("mask", "mask")):
            found = saved[f"{kind}_logits_0"]
            np.testing.assert_allclose(found, expected[f"china/window0_{name}"][0], atol=1e-3)
        assert not np.array_equal(saved["mask_logits_0"], saved["mask_logits_1"])


def test_logits_follow_given_attention_masks(loaded, tmp_path):
    worker, _ = loaded
    picture = str(BASE / "china.png")
    plain, same, other = (tmp_path / f"{name}.npz" for name in ("plain", "same", "other"))
    worker.ask("logits", picture=picture, out=str(plain))
    with np.load(plain) as saved:
        arrays = dict(saved)
    worker.ask("logits", picture=picture, out=str(same), masks=str(plain))
    # At the finest level: a query that may look everywhere looks there too if it may look nowhere.
    np.savez(other, **{**arrays, "allowed_2": ~arrays["allowed_2"]})
    worker.ask("logits", picture=picture, out=str(other), masks=str(other))
    with np.load(same) as again, np.load(other) as inverted:
        np.testing.assert_array_equal(again["mask_logits_0"], arrays["mask_logits_0"])
        np.testing.assert_array_equal(inverted["allowed_2"], arrays["allowed_2"])
        assert not np.allclose(inverted["mask_logits_0"], arrays["mask_logits_0"], rtol=1e-3)


def test_profile_covers_the_picture(loaded):
    worker, _ = loaded
    answer = worker.ask("profile", picture=str(BASE / "china.png"))
    assert {"attention", "pixel decoder", "resize"} <= set(answer["stages"])
    assert answer["rest"] + sum(answer["stages"].values()) == pytest.approx(answer["wall_s"])
    assert answer["rest"] > 0
