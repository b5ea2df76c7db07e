"""The table of forms in `docs/pictures.md`: each row has a case here, and each case a row there."""

import contextlib
import re
import sys
import time

import numpy as np
import pytest
from PIL import EpsImagePlugin as Eps
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.formats import FORMATS
from modelscope_vitadapter.images.limits import MAX_PIXELS
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import read_image
from tests.images.forms import ANSWERED, REFUSED
from tests.images.makers import PAGE, PICTURE, encode, rows

FITS = [f"{what} not fit in the free memory" for what in ("class map that does", "masks that do")]
"""Rows whose cases need a pipeline: `tests/pipeline/test_pictures_in_pipeline.py`."""


def test_each_row_has_a_case_and_each_case_a_row():
    cases = dict.fromkeys(ANSWERED, "answer") | dict.fromkeys([*REFUSED, *FITS], "refusal")
    assert rows("Odd pictures") == cases
    assert f"{MAX_PIXELS:,}".replace(",", " ") in PAGE
    assert [kind for kind in FORMATS if not re.search(rf"\b{kind}\b", PAGE)] == []


def pixels_of_modelscopes_loader(source, path):
    """What the built-in pipeline makes of an input, in BGR."""
    from modelscope.preprocessors.image import load_image

    image = source if isinstance(source, Image.Image) else load_image(str(path))
    return np.array(image.convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("form", ANSWERED)
def test_answered(form, tmp_path):
    case = ANSWERED[form]
    Image.init()
    if case.writer is not None and case.writer not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {case.writer}")
    for source in case.make():
        path = tmp_path / f"照片 1{case.suffix}"
        if isinstance(source, bytes):
            path.write_bytes(source)
        expected = case.expected
        if expected is None:
            expected = pixels_of_modelscopes_loader(source, path)
        for given in (source, path, str(path)) if isinstance(source, bytes) else (source,):
            before = np.array(given) if isinstance(given, np.ndarray | Image.Image) else None
            found = read_image(given, options=ReadOptions(**case.options))
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
            assert found.flags.c_contiguous
            assert found.flags.writeable
            found[:] = 1
            assert before is None or np.array_equal(np.array(given), before)


@pytest.mark.parametrize("form", REFUSED)
def test_refused(form, tmp_path, monkeypatch):
    if form.startswith("HEIC"):
        monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.chdir(tmp_path)
    case = REFUSED[form]
    for number, source in enumerate(case.make()):
        path = tmp_path / f"照片 {number}.img"
        if isinstance(source, bytes):
            path.write_bytes(source)
        for given in (source, path) if isinstance(source, bytes) else (source,):
            start = time.process_time()
            with pytest.raises(case.error, match=case.words) as caught:
                read_image(given, options=ReadOptions(**case.options))
            assert time.process_time() - start < 5  # seconds, as the page says
            assert isinstance(caught.value, ImageError)
            assert len(caught.value.args) == 1
            if not str(given).startswith("data:"):
                assert str(caught.value).startswith(describe(given))
            assert "password" not in str(caught.value)
    assert read_image(encode(PICTURE, "PNG")).shape == (24, 32, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_no_image_starts_a_program(tmp_path, monkeypatch):
    canary = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{canary}'\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(Eps, "gs_binary", None)
    (eps,) = REFUSED["EPS"].make()
    (tmp_path / "photo.jpg").write_bytes(eps)
    for source in (eps, tmp_path / "photo.jpg"):
        with pytest.raises(ImageError):
            read_image(source)
    assert not canary.exists()
    with contextlib.suppress(Exception), Image.open(tmp_path / "photo.jpg") as image:
        image.load()
    assert canary.exists(), "the canary is deaf"
