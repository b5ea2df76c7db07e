"""What runs at interpreter start: light, silent where it is broken, in nobody's way."""

import importlib
import inspect
import sys

import pytest

from modelscope_vitadapter import _boot
from modelscope_vitadapter.plugin.registration import CHANGES, RIVALS
from tests.hub.environment import REPOSITORY, isolated_environment, run_python

INDEX_MODULE = "modelscope.utils.import_utils"


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv(_boot.SWITCH, raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def finders():
    return [type(finder) for finder in sys.meta_path].count(_boot.HookFinder)


def test_every_hooked_module_has_a_change():
    assert CHANGES.keys() | RIVALS.keys() == _boot.HOOKED_MODULES


def test_finder_is_installed_once_and_not_at_all_when_switched_off(monkeypatch):
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _boot.HookFinder)]
    with monkeypatch.context() as patch:
        patch.setenv(_boot.SWITCH, "0")
        _boot.install()
        assert finders() == 0
    _boot.install()
    _boot.install()
    assert finders() == 1


def test_finder_leaves_other_modules_alone(monkeypatch):
    path = importlib.import_module("modelscope.utils").__path__
    finder = _boot.HookFinder()
    assert finder.find_spec("json") is None
    assert finder.find_spec("modelscope.utils") is None
    assert finder.find_spec(INDEX_MODULE, ["nowhere"]) is None
    monkeypatch.setenv(_boot.SWITCH, "0")
    assert finder.find_spec(INDEX_MODULE, path) is None


def test_hooked_module_keeps_its_loader_and_source():
    package = importlib.import_module("modelscope.utils")
    spec = _boot.HookFinder().find_spec(INDEX_MODULE, package.__path__)
    assert type(spec.loader).__name__ == "SourceFileLoader"
    assert "class LazyImportModule" in spec.loader.get_source(INDEX_MODULE)
    assert "class LazyImportModule" in inspect.getsource(importlib.import_module(INDEX_MODULE))


def test_start_up_line_is_silent_where_the_package_is_broken(tmp_path):
    line = (REPOSITORY / "modelscope_vitadapter_boot.pth").read_text(encoding="utf-8")
    assert line.startswith("import ")
    assert line.count("\n") == 1
    script = f"import sys\nfor path in sys.argv[1:]:\n    sys.path[0] = path\n    exec({line!r})\n"
    folders = []
    for broken in ("raise SystemError('broken')", "import nowhere", ")"):
        folders.append(tmp_path / str(len(folders)))
        package = folders[-1] / "modelscope_vitadapter"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(broken, encoding="utf-8")
    environment = isolated_environment(tmp_path / "home", plugin_path=None)
    process = run_python("-c", script, *folders, environment=environment, cwd=tmp_path)
    assert (process.stdout, process.stderr) == ("", "")
