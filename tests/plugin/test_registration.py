"""How our classes take the built-in ones' place, in this process; see `test_orders` for others."""

import importlib
import sys
from types import SimpleNamespace

import pytest

from modelscope_vitadapter import _boot
from modelscope_vitadapter.plugin.registration import (
    ENTRIES,
    MODEL,
    TRAINER,
    change_module,
    execute_hooked,
    register,
    registered,
)

MODELS = importlib.import_module(MODEL.registry_module).MODELS
IMPORTING = "modelscope.utils.import_utils"
OTHER = ("MODELS", "image-segmentation", "swinL-semantic-segmentation")
RIVAL_MODULE = SimpleNamespace(__name__=MODEL.builtin[0])


class Builtin:
    pass


class Ours:
    pass


Ours.__module__ = MODEL.module


@pytest.fixture(autouse=True)
def registries_of_this_test(monkeypatch):
    """`give_up` empties all three, and other tests of this process need them."""
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    for entry in ENTRIES:
        importlib.import_module(entry.registry_module)
        registry = getattr(sys.modules[entry.registry_module], entry.registry)
        monkeypatch.setitem(registry.modules, entry.group, dict(registered(entry)))
    base = importlib.import_module("modelscope.preprocessors.base")
    monkeypatch.setattr(base, "PREPROCESSOR_MAP", dict(base.PREPROCESSOR_MAP))


def register_without_force(module):
    MODELS.register_module(MODEL.group, module_name=MODEL.key)(Builtin)


def now():
    return registered(MODEL).get(MODEL.key)


def test_ours_takes_the_place_of_the_builtin_class_unless_switched_off(monkeypatch):
    registered(MODEL)[MODEL.key] = Builtin
    with monkeypatch.context() as patch:
        patch.setenv(_boot.SWITCH, "0")
        assert register(MODEL)(Ours) is Ours
        assert now() is Builtin
    assert register(MODEL)(Ours) is Ours
    assert now() is Ours


def test_ours_steps_aside_while_the_builtin_module_runs_and_comes_back_where_it_fails():
    def fail(module):
        assert now() is None
        raise ImportError("No module named 'mmdet'")

    register(MODEL)(Ours)
    execute_hooked(register_without_force, RIVAL_MODULE)
    assert now() is Ours
    with pytest.raises(ImportError, match="mmdet"):
        execute_hooked(fail, RIVAL_MODULE)
    assert now() is Ours


def test_the_builtin_class_stays_where_ours_is_not_registered():
    registered(MODEL).pop(MODEL.key, None)
    execute_hooked(register_without_force, RIVAL_MODULE)
    assert now() is Builtin
    with pytest.raises(KeyError, match="already registered"):  # somebody else's is not taken out
        execute_hooked(register_without_force, RIVAL_MODULE)
    assert now() is Builtin


@pytest.fixture
def lazy():
    """A changed stand-in for what ModelScope imports modules by; `asked` is what it was left."""
    asked = []
    lazy = type("Lazy", (), {"asked": asked, "import_module": staticmethod(asked.append)})
    change_module(SimpleNamespace(__name__=IMPORTING, LazyImportModule=lazy))
    return lazy


def test_only_our_types_are_imported_by_us_and_the_change_is_made_once(lazy):
    first = lazy.import_module
    change_module(SimpleNamespace(__name__=IMPORTING, LazyImportModule=lazy))
    assert lazy.import_module is first
    for signature in (MODEL.signature, TRAINER.signature, OTHER):
        lazy.import_module(signature)
    assert lazy.asked == [OTHER]


def test_a_class_that_cannot_be_imported_gives_all_up(lazy, monkeypatch, caplog):
    register(MODEL)(Ours)
    monkeypatch.setattr(importlib, "import_module", lambda name: 1 / 0)
    for _ in range(2):
        lazy.import_module(MODEL.signature)
    assert lazy.asked == [MODEL.signature] * 2
    assert now() is None
    assert caplog.text.count("ZeroDivisionError: division by zero") == 1


def test_an_unknown_modelscope_is_left_as_it_is(caplog):
    class Other:
        pass

    change_module(SimpleNamespace(__name__=IMPORTING, LazyImportModule=Other))
    assert not hasattr(Other, "import_module")
    assert f"failed at changing {IMPORTING} (AttributeError" in caplog.text
    assert "ModelScope goes on without it" in caplog.text
