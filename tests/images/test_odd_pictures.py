"""The tables of `docs/pictures.md`: each row has a case here, and each case a row there."""

import contextlib
import re
import stat
import sys
import time
import traceback

import numpy as np
import pytest
from PIL import EpsImagePlugin as Eps
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.inputs import describe, read_image
from modelscope_vitadapter.images.pictures import FORMATS, MAX_PIXELS
from tests.images.answered import ANSWERED
from tests.images.makers import PICTURE, encode
from tests.images.refused import REFUSED
from tests.images.table import PAGE, rows

ELSEWHERE = {
    "class map that does not fit in the free memory": "refusal",
    "masks that do not fit in the free memory": "refusal",
}
"""Rows whose cases need a pipeline: `tests/pipeline/test_pictures_in_pipeline.py`."""

SECONDS = 5
"""How long a refusal may take."""


def test_each_row_has_a_case_and_each_case_a_row():
    cases = dict.fromkeys(ANSWERED, "answer") | dict.fromkeys(REFUSED, "refusal") | ELSEWHERE
    assert rows("Odd pictures") == cases


def test_the_page_states_the_limits_and_the_formats():
    page = PAGE.read_text(encoding="utf-8")
    assert f"{MAX_PIXELS:,}".replace(",", " ") in page
    for kind in FORMATS:
        assert re.search(rf"\b{kind}\b", page), kind


def pixels_of_modelscopes_loader(source, path):
    """What the built-in pipeline makes of an input, in BGR."""
    from modelscope.preprocessors.image import load_image

    picture = source if isinstance(source, Image.Image) else load_image(str(path))
    return np.array(picture.convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("form", ANSWERED)
def test_answered(form, tmp_path):
    case = ANSWERED[form]
    Image.init()
    if case.writer is not None and case.writer not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {case.writer}")
    sources = case.make()
    assert sources
    for source in sources:
        path = tmp_path / f"picture{case.suffix}"
        if isinstance(source, bytes):
            path.write_bytes(source)
        expected = case.expected
        if expected is None:
            expected = pixels_of_modelscopes_loader(source, path)
        for given in (source, path, str(path)) if isinstance(source, bytes) else (source,):
            found = read_image(given)
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
            assert found.flags.c_contiguous
            assert found.flags.writeable


@pytest.mark.parametrize("form", REFUSED)
def test_refused(form, tmp_path, monkeypatch):
    if form.startswith("HEIC") and "HEIF" in Image.OPEN:
        pytest.skip("a plug-in of Pillow reads HEIC here")
    monkeypatch.chdir(tmp_path)
    case = REFUSED[form]
    for number, source in enumerate(case.make()):
        path = tmp_path / f"{number}.img"
        if isinstance(source, bytes):
            path.write_bytes(source)
        for given in (source, path) if isinstance(source, bytes) else (source,):
            start = time.monotonic()
            with pytest.raises(case.error, match=case.words) as caught:
                read_image(given, **case.options)
            assert time.monotonic() - start < SECONDS
            assert isinstance(caught.value, ImageError)
            assert len(caught.value.args) == 1
            if not str(given).startswith("data:"):
                assert str(caught.value).startswith(describe(given))
            assert "password" not in str(caught.value)


def test_the_process_reads_on_after_a_refusal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for case in REFUSED.values():
        for source in case.make():
            with pytest.raises(ImageError):
                read_image(source, **case.options)
    assert read_image(encode(PICTURE, "PNG")).shape == (24, 32, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_no_picture_starts_a_program(tmp_path, monkeypatch):
    canary = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{canary}'\nexit 1\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(Eps, "gs_binary", None)
    (eps,) = REFUSED["EPS"].make()
    (tmp_path / "photo.jpg").write_bytes(eps)
    for source in (eps, tmp_path / "photo.jpg"):
        with pytest.raises(ImageError):
            read_image(source)
    assert not canary.exists()
    with contextlib.suppress(Exception), Image.open(tmp_path / "photo.jpg") as picture:
        picture.load()
    assert canary.exists(), "the canary is deaf"


def test_the_message_and_not_the_trace_is_needed_to_find_the_input(tmp_path):
    path = tmp_path / "照片 1.png"
    path.write_bytes(b"hello")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    last = traceback.format_exception_only(caught.type, caught.value)[-1]
    assert "照片 1.png" in last
