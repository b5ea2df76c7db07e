from types import SimpleNamespace

import pytest

from modelscope_vitadapter.plugin import index
from modelscope_vitadapter.plugin.registration import ENTRIES, MODEL, PIPELINE

OTHER = ("MODELS", "image-segmentation", "swinL-semantic-segmentation")
BUILTIN = {"filepath": "x.py", "imports": ["mmdet"], "module": MODEL.builtin_module}


def plain_index():
    return {
        "index": {OTHER: BUILTIN, MODEL.signature: BUILTIN, PIPELINE.signature: BUILTIN},
        "requirements": {MODEL.builtin_module: ["mmdet"]},
        "version": "1",
    }


@pytest.fixture(autouse=True)
def fresh_reports(monkeypatch):
    monkeypatch.setattr(index, "_reported", set())


def test_overlay_points_at_our_modules_and_leaves_the_rest():
    plain = plain_index()
    overlaid = index.overlay(plain)
    for entry in ENTRIES:
        assert overlaid["index"][entry.signature]["module"] == entry.module
        assert entry.module not in overlaid["requirements"]
    assert overlaid["index"][OTHER] is BUILTIN
    assert plain == plain_index()


def test_one_overlay_for_one_index():
    indices = [plain_index()]
    redirection = index.Redirection(lambda: indices[-1], None)
    first = redirection.get_ast_index()
    first["index"]["added by ModelScope"] = BUILTIN
    assert redirection.get_ast_index() is first
    indices.append(plain_index())
    assert redirection.get_ast_index() is not first


def test_an_index_of_unknown_form_is_handed_on_as_it_is():
    unknown = {"something": "else"}
    redirection = index.Redirection(lambda: unknown, None)
    assert redirection.get_ast_index() is unknown
    assert redirection.get_ast_index() is unknown


def test_other_signatures_go_to_modelscope():
    asked = []
    redirection = index.Redirection(plain_index, asked.append)
    redirection.import_module(OTHER)
    assert asked == [OTHER]


def test_change_is_made_once():
    lazy = SimpleNamespace(get_ast_index=plain_index, import_module=None)
    module = SimpleNamespace(LazyImportModule=lazy)
    index.change(module)
    first = lazy._vitadapter_redirection
    index.change(module)
    assert lazy._vitadapter_redirection is first


def test_a_fault_is_reported_once(monkeypatch):
    said = []
    logger = SimpleNamespace(warning=lambda *a: said.append(a), debug=lambda *a, **k: None)
    monkeypatch.setattr(index, "get_logger", lambda: logger)
    for _ in range(2):
        assert index.attempt("dividing", lambda: 1 / 0, "fallback") == "fallback"
    assert len(said) == 1
    assert "ZeroDivisionError" in said[0]
