"""`configuration.json` where this package reads it: it decides whose pipeline runs."""

import pytest

from modelscope_vitadapter.plugin.pipeline import directory_type, is_vitadapter

UNTOLD = {
    "broken": "{",
    "empty": "",
    "deep": "[" * 100_000,
    "deep and closed": '{"model": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a list": "[]",
    "a long number": '{"model": ' + "9" * 10_000 + "}",
    "a model that is a list": '{"model": ["vitadapter-semantic-segmentation"]}',
    "a type that is a number": '{"model": {"type": 3}}',
    "null bytes": "\0" * 100,
    "half of UTF-16": b"\xff\xfe{",
    "GBK": "天空".encode("gbk"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_content_that_names_no_type(tmp_path, name):
    content = UNTOLD[name]
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / "configuration.json").write_bytes(content)
    assert directory_type(tmp_path) is None
    assert is_vitadapter(str(tmp_path))


def test_a_folder_nothing_or_another_type(tmp_path):
    path = tmp_path / "configuration.json"
    assert directory_type(tmp_path) is None
    path.mkdir()
    assert directory_type(tmp_path) is None
    path.rmdir()
    path.write_text('{"model": {"type": "canary_module.run"}}', encoding="utf-8")
    assert directory_type(tmp_path) == "canary_module.run"
    assert not is_vitadapter(str(tmp_path))
