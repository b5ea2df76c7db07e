"""Wheel and editable install: unchanged scripts work, and uninstalling leaves nothing behind."""

import json

import pytest

from tests.hub.environment import run_python
from tests.packaging.environments import BOOT_FILE, Environment, copy_source
from tests.plugin.children import GOLDEN_MODEL

WHO_IMPORTS_THE_MODEL = """
import importlib, json, sys
import_utils = importlib.import_module("modelscope.utils.import_utils")
found = import_utils.LazyImportModule.import_module.__module__
sys.stdout.write(json.dumps(found) + "\\n")
"""
OURS = "modelscope_vitadapter.plugin.registration"
BUILTIN = "modelscope.utils.import_utils"

UNCHANGED_SCRIPT = f"""
from modelscope.pipelines import pipeline
segmentor = pipeline("image-segmentation", model={str(GOLDEN_MODEL)!r})
assert type(segmentor).__module__ == "modelscope_vitadapter.plugin.pipeline", segmentor
"""

SPAWNING_SCRIPT = f"""
import multiprocessing

def look():
    {WHO_IMPORTS_THE_MODEL.strip().replace(chr(10), chr(10) + "    ")}

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=look)
    child.start()
    child.join()
    raise SystemExit(child.exitcode)
"""


KINDS = {
    "wheel": [],
    "editable": ["--editable"],
    "strict editable": ["--config-settings", "editable_mode=strict", "--editable"],
}


def run(environment, *arguments, **variables):
    return run_python(
        *arguments,
        environment=environment.variables(environment.folder / "home", **variables),
        cwd=environment.folder,
        python=environment.python,
    )


def who_imports_the_model(environment, *options, script=WHO_IMPORTS_THE_MODEL, **variables):
    process = run(environment, *options, "-c", script, **variables)
    return json.loads(process.stdout.splitlines()[-1])


def test_unchanged_script(installed):
    run(installed, "-c", UNCHANGED_SCRIPT)


def test_isolated_interpreter_and_one_that_is_switched_off(installed):
    assert who_imports_the_model(installed, "-I") == OURS
    assert who_imports_the_model(installed, MODELSCOPE_VITADAPTER="0") == BUILTIN


def test_spawned_child(installed):
    script = installed.folder / "spawning.py"
    script.write_text(SPAWNING_SCRIPT, encoding="utf-8")
    assert json.loads(run(installed, script).stdout.splitlines()[-1]) == OURS


def test_start_loads_nothing_of_weight(installed):
    def loaded(**variables):
        script = "import sys, json; sys.stdout.write(json.dumps(sorted(sys.modules)))"
        return set(who_imports_the_model(installed, script=script, **variables))

    names = {f"modelscope_vitadapter{name}" for name in ("", "._boot", ".version")}
    assert loaded() - loaded(MODELSCOPE_VITADAPTER="0") == names


@pytest.mark.slow
def test_without_site_an_explicit_import_does_it(installed):
    paths = (installed.site_packages / "aa_parent.pth").read_text("utf-8").splitlines()
    paths.append(str(installed.site_packages))
    for importing, expected in (("", BUILTIN), ("import modelscope_vitadapter", OURS)):
        script = f"import sys; sys.path += {paths!r}\n{importing}\n{WHO_IMPORTS_THE_MODEL}"
        assert who_imports_the_model(installed, "-S", script=script) == expected


@pytest.mark.parametrize(
    "kind", ["wheel", "editable", pytest.param("strict editable", marks=pytest.mark.slow)]
)
def test_uninstalling_leaves_nothing(kind, tmp_path):
    source = copy_source(tmp_path / "source")
    environment = Environment(tmp_path / "environment")
    before = environment.listing()
    environment.install(*KINDS[kind], source)
    assert BOOT_FILE in environment.listing()
    assert who_imports_the_model(environment) == OURS
    environment.uninstall()
    assert environment.listing() == before
    script = f"import sys; sys.path.append({str(source)!r})\n{WHO_IMPORTS_THE_MODEL}"
    assert who_imports_the_model(environment, script=script) == BUILTIN


def test_sources_of_an_editable_install_are_gone(tmp_path):
    source = copy_source(tmp_path / "source")
    environment = Environment(tmp_path / "environment")
    environment.install("--editable", source)
    source.rename(tmp_path / "elsewhere")
    process = run(environment, "-c", WHO_IMPORTS_THE_MODEL)
    assert json.loads(process.stdout) == BUILTIN
    assert process.stderr == ""
