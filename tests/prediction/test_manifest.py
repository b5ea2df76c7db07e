"""The manifest: what is done stays done, and what was cut off is passed over."""

import json
from dataclasses import replace

import pytest

from modelscope_vitadapter.errors import VitAdapterError
from modelscope_vitadapter.prediction.manifest import Manifest, Row, open_folder

ROW = Row("a.jpg", "a", "7 1", "job", "tiny", {"labels": "labels/a.png"}, (4, 6))


def test_a_row_is_done_while_input_job_and_outputs_are_the_same(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").write_bytes(b"")
    manifest = Manifest(tmp_path)
    assert not manifest.is_done("a.jpg", "7 1", "job")
    line = manifest.add(ROW)
    assert json.loads(line)["size"] == [4, 6]
    again = Manifest(tmp_path)  # not closed: as after a kill
    assert again.is_done("a.jpg", "7 1", "job")
    assert not again.is_done("a.jpg", "8 1", "job")
    assert not again.is_done("a.jpg", "7 1", "other")
    again.add(replace(ROW, input="b.jpg", error="unreadable"))
    assert not again.is_done("b.jpg", "7 1", "job")
    (tmp_path / "labels" / "a.png").unlink()
    assert not again.is_done("a.jpg", "7 1", "job")


def test_a_line_that_was_cut_off_costs_one_row_only(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.add(ROW)
    with manifest.path.open("a", encoding="utf-8") as file:
        file.write('{"input": "b.jp')
    later = Manifest(tmp_path)
    assert list(later.rows) == ["a.jpg"]
    later.add(replace(ROW, input="c.jpg"))
    later.add(replace(ROW, error="x"))
    assert list(Manifest(tmp_path).rows) == ["a.jpg", "c.jpg"]
    later.close()
    lines = [json.loads(line) for line in later.path.read_text(encoding="utf-8").splitlines()]
    assert [(one["input"], one["error"]) for one in lines] == [("a.jpg", "x"), ("c.jpg", None)]


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(VitAdapterError, match=r"nothing can be written to .*--output"):
        open_folder(tmp_path / "file" / "results")
