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


def install_wheel(environment, source):
    environment.install(source)


def install_editable(environment, source):
    environment.install("--editable", source)


def install_strict_editable(environment, source):
    environment.install("--config-settings", "editable_mode=strict", "--editable", source)


KINDS = {
    "wheel": install_wheel,
    "editable": install_editable,
    "strict editable": install_strict_editable,
}


@pytest.fixture(
    scope="module",
    params=["wheel", "editable", pytest.param("strict editable", marks=pytest.mark.slow)],
)
def installed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    environment = Environment(folder / "environment")
    environment.before = environment.listing()
    KINDS[request.param](environment, copy_source(folder / "source"))
    environment.home = folder / "home"
    return environment


def who_imports_the_model(environment, *options, script=WHO_IMPORTS_THE_MODEL, **variables):
    process = run_python(
        *options,
        "-c",
        script,
        environment=environment.variables(environment.home, **variables),
        cwd=environment.folder,
        python=environment.python,
    )
    return json.loads(process.stdout.splitlines()[-1])


def test_unchanged_script(installed):
    run_python(
        "-c",
        UNCHANGED_SCRIPT,
        environment=installed.variables(installed.home),
        cwd=installed.folder,
        python=installed.python,
    )


def test_isolated_interpreter(installed):
    assert who_imports_the_model(installed, "-I") == OURS


def test_spawned_child(installed):
    script = installed.folder / "spawning.py"
    script.write_text(SPAWNING_SCRIPT, encoding="utf-8")
    process = run_python(
        script,
        environment=installed.variables(installed.home),
        cwd=installed.folder,
        python=installed.python,
    )
    assert json.loads(process.stdout.splitlines()[-1]) == OURS


def test_switched_off(installed):
    assert who_imports_the_model(installed, MODELSCOPE_VITADAPTER="0") == BUILTIN


def test_switched_off_by_the_script(installed):
    script = f"import os; os.environ['MODELSCOPE_VITADAPTER'] = '0'\n{WHO_IMPORTS_THE_MODEL}"
    assert who_imports_the_model(installed, script=script) == BUILTIN


def test_start_loads_nothing_of_weight(installed):
    def loaded(**variables):
        script = "import sys, json; sys.stdout.write(json.dumps(sorted(sys.modules)))"
        return set(who_imports_the_model(installed, script=script, **variables))

    names = {
        "modelscope_vitadapter",
        "modelscope_vitadapter._boot",
        "modelscope_vitadapter.version",
    }
    assert loaded() - loaded(MODELSCOPE_VITADAPTER="0") == names


def test_uninstalling_leaves_nothing(tmp_path):
    source = copy_source(tmp_path / "source")
    environment = Environment(tmp_path / "environment")
    environment.home = tmp_path / "home"
    before = environment.listing()
    for install in (install_wheel, install_editable):
        install(environment, source)
        assert BOOT_FILE in environment.listing()
        environment.uninstall()
        assert environment.listing() == before
    script = f"import sys; sys.path.append({str(source)!r})\n{WHO_IMPORTS_THE_MODEL}"
    assert who_imports_the_model(environment, script=script) == BUILTIN


def test_sources_of_an_editable_install_are_gone(tmp_path):
    source = copy_source(tmp_path / "source")
    environment = Environment(tmp_path / "environment")
    environment.home = tmp_path / "home"
    install_editable(environment, source)
    source.rename(tmp_path / "elsewhere")
    process = run_python(
        "-c",
        WHO_IMPORTS_THE_MODEL,
        environment=environment.variables(environment.home),
        cwd=environment.folder,
        python=environment.python,
    )
    assert json.loads(process.stdout) == BUILTIN
    assert process.stderr == ""


def test_without_site_an_explicit_import_does_it(tmp_path):
    environment = Environment(tmp_path / "environment")
    environment.home = tmp_path / "home"
    install_wheel(environment, copy_source(tmp_path / "source"))
    paths = (environment.site_packages / "aa_parent.pth").read_text("utf-8").splitlines()
    paths.append(str(environment.site_packages))
    script = f"import sys; sys.path += {paths!r}\n{{}}\n{WHO_IMPORTS_THE_MODEL}"
    without = who_imports_the_model(environment, "-S", script=script.format(""))
    explicit = who_imports_the_model(
        environment, "-S", script=script.format("import modelscope_vitadapter")
    )
    assert (without, explicit) == (BUILTIN, OURS)
