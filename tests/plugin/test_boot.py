import importlib
import inspect
import subprocess
import sys

import pytest

from modelscope_vitadapter import _boot
from modelscope_vitadapter.plugin import module_changes as dispatch
from tests.hub.environment import REPOSITORY, isolated_environment, run_python

INDEX_MODULE = "modelscope.utils.import_utils"


@pytest.fixture
def restored_meta_path():
    kept = list(sys.meta_path)
    yield
    sys.meta_path[:] = kept


def test_every_hooked_module_has_a_change():
    assert dispatch.CHANGES.keys() | dispatch.RIVALS.keys() == _boot.HOOKED_MODULES


def test_import_loads_nothing_but_itself(tmp_path):
    script = """
import sys
before = set(sys.modules)
import modelscope_vitadapter
print(*sorted(set(sys.modules) - before))
"""
    environment = isolated_environment(tmp_path, MODELSCOPE_VITADAPTER="0")
    process = run_python("-c", script, environment=environment, cwd=tmp_path)
    names = [
        "modelscope_vitadapter",
        "modelscope_vitadapter._boot",
        "modelscope_vitadapter.version",
    ]
    assert process.stdout.split() == names


def test_finder_is_installed_once(restored_meta_path, monkeypatch):
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    _boot.install()
    _boot.install()
    assert [type(finder) for finder in sys.meta_path].count(_boot.HookFinder) == 1


def test_install_does_nothing_when_switched_off(restored_meta_path, monkeypatch):
    monkeypatch.setenv(_boot.SWITCH, "0")
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _boot.HookFinder)]
    before = list(sys.meta_path)
    _boot.install()
    assert sys.meta_path == before


def test_finder_leaves_other_modules_alone(monkeypatch):
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    assert _boot.HookFinder().find_spec("json") is None
    assert _boot.HookFinder().find_spec("modelscope.utils") is None


def test_hooked_module_keeps_its_loader_and_source(monkeypatch):
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    package = importlib.import_module("modelscope.utils")
    spec = _boot.HookFinder().find_spec(INDEX_MODULE, package.__path__)
    assert type(spec.loader).__name__ == "SourceFileLoader"
    assert "class LazyImportModule" in spec.loader.get_source(INDEX_MODULE)
    assert "class LazyImportModule" in inspect.getsource(importlib.import_module(INDEX_MODULE))


def test_finder_answers_none_where_nobody_finds_the_module(monkeypatch):
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    assert _boot.HookFinder().find_spec(INDEX_MODULE, ["nowhere"]) is None


def test_finder_answers_none_when_switched_off(monkeypatch):
    monkeypatch.setenv(_boot.SWITCH, "0")
    package = importlib.import_module("modelscope.utils")
    assert _boot.HookFinder().find_spec(INDEX_MODULE, package.__path__) is None


@pytest.mark.parametrize("broken", ["raise SystemError('broken')", "import nowhere", ")"])
def test_start_up_line_is_silent_where_the_package_is_broken(broken, tmp_path):
    package = tmp_path / "modelscope_vitadapter"
    package.mkdir()
    (package / "__init__.py").write_text(broken, encoding="utf-8")
    line = (REPOSITORY / "modelscope_vitadapter_boot.pth").read_text(encoding="utf-8")
    assert line.startswith("import ")
    assert line.count("\n") == 1
    process = subprocess.run(
        [sys.executable, "-c", line],
        env=isolated_environment(tmp_path / "home", plugin_path=tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
