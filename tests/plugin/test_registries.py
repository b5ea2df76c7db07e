import importlib

import pytest

from modelscope_vitadapter import _boot
from modelscope_vitadapter.plugin import registration as registries
from modelscope_vitadapter.plugin.module_changes import execute_hooked
from modelscope_vitadapter.plugin.registration import ENTRIES, MODEL, PIPELINE

MODELS = importlib.import_module(MODEL.registry_module).MODELS


class Builtin:
    pass


class Ours:
    pass


Ours.__module__ = "modelscope_vitadapter.plugin.model"


@pytest.fixture(autouse=True)
def restored_registries(monkeypatch):
    """`give_up` empties all three, and other tests of this process need them."""
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    kept = []
    for entry in ENTRIES:
        modules = getattr(importlib.import_module(entry.registry_module), entry.registry).modules
        kept.append((modules, entry.group, dict(modules.setdefault(entry.group, {}))))
    yield
    for modules, group, classes in kept:
        modules[group] = classes


class RivalModule:
    __name__ = MODEL.builtin_module


def register_without_force(module):
    MODELS.register_module(MODEL.group, module_name=MODEL.key)(Builtin)


def registered():
    return MODELS.modules[MODEL.group].get(MODEL.key)


def test_register_takes_the_place_of_the_builtin_class():
    MODELS.modules[MODEL.group][MODEL.key] = Builtin
    assert registries.register(MODEL)(Ours) is Ours
    assert registered() is Ours


def test_register_does_nothing_when_switched_off(monkeypatch):
    monkeypatch.setenv(_boot.SWITCH, "0")
    MODELS.modules[MODEL.group][MODEL.key] = Builtin
    assert registries.register(MODEL)(Ours) is Ours
    assert registered() is Builtin


def test_ours_steps_aside_while_the_builtin_module_runs():
    registries.register(MODEL)(Ours)
    execute_hooked(register_without_force, RivalModule())
    assert registered() is Ours


def test_ours_comes_back_when_the_builtin_module_fails():
    registries.register(MODEL)(Ours)

    def fail(module):
        assert registered() is None
        raise ImportError("No module named 'mmdet'")

    with pytest.raises(ImportError, match="mmdet"):
        execute_hooked(fail, RivalModule())
    assert registered() is Ours


def test_the_builtin_class_stays_where_ours_is_not_registered():
    MODELS.modules[MODEL.group].pop(MODEL.key, None)
    execute_hooked(register_without_force, RivalModule())
    assert registered() is Builtin


def test_a_class_of_somebody_else_is_not_taken_out():
    MODELS.modules[MODEL.group][MODEL.key] = Builtin
    assert registries.take_out(MODEL) is None
    assert registered() is Builtin


def test_give_up_without_a_builtin_module_leaves_nothing():
    registries.register(MODEL)(Ours)
    registries.give_up()
    assert registered() is None


def test_builtin_pipeline_class():
    builtin = registries.builtin_pipeline_class()
    assert builtin.__module__ == PIPELINE.builtin_module
    assert builtin.__name__ == "ImageSemanticSegmentationPipeline"
