"""`configuration.json` where this package reads it: it decides whose pipeline runs."""

import json

import pytest

from modelscope_vitadapter.plugin.pipeline import directory_type, is_vitadapter

UNTOLD = {
    "broken": "{",
    "empty": "",
    "deep": "[" * 100_000,
    "deep and closed": '{"model": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a list": "[]",
    "a number": "3",
    "a long number": '{"model": ' + "9" * 10_000 + "}",
    "a model that is a list": '{"model": ["vitadapter-semantic-segmentation"]}',
    "a type that is a number": '{"model": {"type": 3}}',
    "a type that is a list": '{"model": {"type": ["x"]}}',
    "null bytes": "\0" * 100,
}


@pytest.mark.parametrize("name", UNTOLD)
def test_content_that_names_no_type(tmp_path, name):
    (tmp_path / "configuration.json").write_text(UNTOLD[name], encoding="utf-8")
    assert directory_type(tmp_path) is None
    assert is_vitadapter(str(tmp_path))


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"\x80", "天空".encode("gbk")])
def test_other_encodings(tmp_path, content):
    (tmp_path / "configuration.json").write_bytes(content)
    assert directory_type(tmp_path) is None


def test_a_folder_or_nothing(tmp_path):
    assert directory_type(tmp_path) is None
    (tmp_path / "configuration.json").mkdir()
    assert directory_type(tmp_path) is None


def test_another_type_is_another_models(tmp_path):
    content = {"model": {"type": "canary_module.run"}}
    (tmp_path / "configuration.json").write_text(json.dumps(content), encoding="utf-8")
    assert directory_type(tmp_path) == "canary_module.run"
    assert not is_vitadapter(str(tmp_path))
