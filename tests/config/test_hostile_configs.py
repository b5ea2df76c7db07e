"""Configs that try to run code; each is tried where its value is needed and where it isn't."""

import os

import pytest

from modelscope_vitadapter.config.reader import read_config, unreadable_error
from modelscope_vitadapter.errors import ConfigError
from tests.hostile.expressions import EXPRESSIONS, RUN, STATEMENTS


@pytest.fixture
def canary(tmp_path, monkeypatch):
    path = tmp_path / "canary"
    module = tmp_path / "canary_module.py"
    module.write_text(f"open({str(path)!r}, 'w').close()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    assert not path.exists()


def config_with(tmp_path, canary, text):
    path = tmp_path / "mmcv_config.py"
    path.write_text(
        f"CANARY = {str(canary)!r}\nCLASSES = ['a']\nmodel = dict(a=1)\n{text}\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression_never_runs(tmp_path, canary, text):
    for form in ("CLASSES = {}", "CLASSES = [{}]", "CLASSES = ['a', dict(a=1), [{}]][0]"):
        with pytest.raises(ConfigError, match="line 4"):
            read_config(config_with(tmp_path, canary, form.format(text)))
    config = read_config(config_with(tmp_path, canary, f"model = dict(a={text}, b=2)"))
    assert isinstance(unreadable_error(config.model.a), ConfigError)
    assert config.model.b == 2
    config = read_config(config_with(tmp_path, canary, f"model['a'] = {text}"))
    assert isinstance(unreadable_error(config.model.a), ConfigError)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression_that_nobody_needs_never_matters(tmp_path, canary, text):
    text = text.replace("CLASSES", "OTHER").replace("model", "OTHER")
    for form in ("other = {}", "{}", "other = dict(a={})", "if {}:\n    pass"):
        config = read_config(config_with(tmp_path, canary, form.format(text)))
        assert config == {"CLASSES": ["a"], "model": {"a": 1}}


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement_never_runs(tmp_path, canary, text):
    try:
        config = read_config(config_with(tmp_path, canary, text))
    except ConfigError as error:
        assert "import *" in text or "not valid Python" in str(error)
    else:
        assert config == {"CLASSES": ["a"], "model": {"a": 1}}


def test_execution_would_be_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "noticed"
    exec(RUN, {"CANARY": str(path)})
    assert path.exists()
    assert not os.path.exists(str(path) + "x")  # noqa: PTH110
