"""Inputs that fail inside a list or a data set."""

import gc
import weakref

import numpy as np
import pytest
import torch

from modelscope_vitadapter.errors import (
    ConfigError,
    ImageError,
    ImageMemoryError,
    ImageNotFoundError,
    ImageTypeError,
)
from modelscope_vitadapter.inference.failures import Failure, name_input
from tests.reliability import workers
from tests.reliability.workers import PICTURES

INPUTS = [
    PICTURES[0],
    "missing.png",
    PICTURES[1],
    b"this is no picture",
    None,
    PICTURES[2],
]
GOOD = {0: 0, 2: 1, 5: 2}
"""Places in `INPUTS` of those that don't fail, and in `PICTURES`."""

BAD = {
    1: ("missing.png", ImageNotFoundError),
    3: ("18 bytes", ImageError),
    4: ("None", ImageTypeError),
}


class MapStyle:
    """A data set with indices alone, as PyTorch's; the second element can't be had."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            raise KeyError("no such row")
        return PICTURES[index]


FORMS = {
    "list": lambda inputs: list(inputs),
    "tuple": lambda inputs: tuple(inputs),
    "generator": lambda inputs: (one for one in inputs),
    "rows": lambda inputs: [{"image": one} for one in inputs],
}


def check_others(results, wanted):
    results = list(results)
    assert [result["index"] for result in results] == list(GOOD)
    for result in results:
        assert np.array_equal(result["class_map"], wanted[GOOD[result["index"]]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("index", BAD)
def test_the_error_names_the_input(segmentor, form, index):
    name, error = BAD[index]
    inputs = [one for i, one in enumerate(INPUTS) if i in GOOD or i == index]
    place = sum(i < index for i in GOOD)
    message = rf"^input {place} \(counted from 0\).*{name}"
    with pytest.raises(error, match=message) as caught:
        list(segmentor(FORMS[form](inputs)))
    assert type(caught.value) is error
    assert len(caught.value.args) == 1


@pytest.mark.parametrize("form", FORMS)
def test_skip_leaves_them_out_and_says_so(segmentor, wanted, caplog, form):
    check_others(segmentor(FORMS[form](INPUTS), output="class_map", on_error="skip"), wanted)
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == len(BAD)
    for note, (index, (name, _)) in zip(notes, BAD.items(), strict=True):
        assert note.startswith(f"left out: input {index} (counted from 0)")
        assert name in note


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_function_is_given_the_failures(segmentor, wanted, caplog, form, batch_size):
    failures = []
    options = {"output": "class_map", "batch_size": batch_size, "on_error": failures.append}
    check_others(segmentor(FORMS[form](INPUTS), **options), wanted)
    assert caplog.records == []
    assert [failure.index for failure in failures] == list(BAD)
    for failure in failures:
        name, error = BAD[failure.index]
        assert type(failure.error) is error
        assert f"input {failure.index} (counted from 0)" in str(failure.error)
        if form != "rows":
            assert name in failure.name


def test_pipeline_keyword_and_call_option(wanted):
    lenient = workers.build(on_error="skip")
    check_others(lenient(INPUTS, output="class_map"), wanted)
    check_others(lenient(INPUTS, output="class_map", on_error=None), wanted)
    check_others(lenient(iter(INPUTS), output="class_map"), wanted)
    with pytest.raises(ImageNotFoundError):
        lenient(INPUTS, on_error="raise")


def test_a_single_input_is_raised_as_it_is(segmentor):
    with pytest.raises(ImageNotFoundError) as caught:
        segmentor("missing.png", on_error="skip")
    assert "counted from 0" not in str(caught.value)


def test_results_have_no_index_by_default(segmentor):
    assert set(segmentor(PICTURES[:1])[0]) == {"masks", "labels", "scores"}
    assert set(segmentor(PICTURES[:1], on_error="skip")[0]) == {
        *("masks", "labels", "scores", "index")
    }


def test_all_fail(segmentor):
    assert segmentor(["missing.png"] * 3, on_error="skip") == []
    assert list(segmentor(iter(["missing.png"]), on_error="skip")) == []


def test_a_data_set_that_fails_to_give_an_element(segmentor, wanted):
    failures = []
    results = list(segmentor(MapStyle(), output="class_map", on_error=failures.append))
    assert [result["index"] for result in results] == [0, 2]
    assert np.array_equal(results[1]["class_map"], wanted[2])
    (failure,) = failures
    assert (failure.index, type(failure.error)) == (1, KeyError)
    with pytest.raises(KeyError, match=r"input 1 \(counted from 0\).*no such row"):
        list(segmentor(MapStyle()))


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_iterator_that_fails_ends(segmentor, on_error):
    def inputs():
        yield PICTURES[0]
        raise OSError("the connection is gone")

    results = segmentor(inputs(), on_error=on_error)
    next(results)
    with pytest.raises(OSError, match=r"^input 1 \(counted from 0\).*connection is gone"):
        next(results)


def test_a_picture_whose_masks_are_too_large_is_left_out(segmentor, monkeypatch):
    postprocess = segmentor.postprocess

    def refuse_the_second(decisions, **options):
        if decisions[0].class_map.shape == PICTURES[1].shape[:2]:
            raise ImageMemoryError("too large")
        return postprocess(decisions, **options)

    monkeypatch.setattr(segmentor, "postprocess", refuse_the_second)
    results = segmentor(PICTURES[:3], on_error="skip")
    assert [result["index"] for result in results] == [0, 2]
    with pytest.raises(ImageMemoryError, match=r"^input 1 .*too large"):
        segmentor(PICTURES[:3])


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (RuntimeError("the network is broken"), "network"),
        (torch.OutOfMemoryError("CUDA out of memory"), "network"),
        (KeyboardInterrupt(), "network"),
        (KeyboardInterrupt(), "preprocess"),
        (MemoryError("no memory"), "preprocess"),
        (ConfigError("the test pipeline can't be honoured"), "preprocess"),
    ],
    ids=str,
)
def test_what_is_not_the_inputs_fault_is_never_skipped(monkeypatch, error, where):
    def fail(*_args, **_options):
        raise error

    segmentor = workers.build(on_error="skip")
    owner = segmentor.model.model if where == "network" else segmentor
    monkeypatch.setattr(owner, "forward" if where == "network" else where, fail)
    with pytest.raises(type(error)):
        segmentor(PICTURES[:2])
    with pytest.raises(type(error)):
        list(segmentor(iter(PICTURES[:2])))


@pytest.mark.parametrize("options", [{"mask_dtype": "object"}, {"output": "maps"}])
def test_a_wrong_option_is_not_taken_for_a_wrong_input(segmentor, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        segmentor(PICTURES[:2], on_error="skip", **options)


@pytest.mark.parametrize("value", ["ignore", 1, True, ("skip",)])
def test_refused_values(segmentor, value):
    with pytest.raises(ValueError, match="on_error="):
        segmentor(PICTURES[0], on_error=value)
    with pytest.raises(ValueError, match="on_error="):
        segmentor(iter(PICTURES), on_error=value)
    with pytest.raises(ValueError, match="on_error="):
        workers.build(on_error=value)


def test_an_error_of_the_function_ends_the_call(segmentor):
    def stop(failure: Failure):
        raise RuntimeError("enough") from failure.error

    with pytest.raises(RuntimeError, match="enough"):
        segmentor(INPUTS, on_error=stop)


def test_failures_hold_no_pictures(segmentor, monkeypatch):
    """Frames of a traceback would keep what was read of each input that failed."""
    seen, failures = [], []

    class Picture(np.ndarray):
        pass

    def fail(one, **_options):
        local = one.copy().view(Picture)
        seen.append(weakref.ref(local))
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ImageError("damaged") from inner

    monkeypatch.setattr(segmentor, "preprocess", fail)
    assert segmentor(PICTURES, on_error=failures.append) == []
    gc.collect()
    assert len(failures) == len(seen) == len(PICTURES)
    assert all(one() is None for one in seen)


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), OSError(5, "I/O error", "x.png")]
)
def test_errors_that_make_their_message_themselves_keep_it(error):
    before = str(error), error.args
    name_input(error, 7, "picture")
    assert (str(error), error.args) == before
    if hasattr(error, "add_note"):  # Python 3.11
        assert error.__notes__ == ["input 7 (counted from 0), picture"]
