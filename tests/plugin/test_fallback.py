"""A broken plugin leaves ModelScope as it is without it, and says so once."""

import shutil

import pytest

from tests.hub.environment import REPOSITORY
from tests.plugin.children import BUILTIN_PIPELINE, FAIL, PLUGIN, run_child, swinl_model


@pytest.fixture
def broken_copy(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(REPOSITORY / "modelscope_vitadapter", copy / "modelscope_vitadapter")

    def break_module(name):
        file = copy / "modelscope_vitadapter" / name
        file.write_text(file.read_text(encoding="utf-8") + "\nraise OSError('broken')\n", "utf-8")
        return copy

    return break_module


def test_broken_class(broken_copy, tmp_path):
    # The pipeline's module comes last, so that the other two classes are registered by then.
    swinl_model(tmp_path / "swinl")
    script = f"""
{BUILTIN_PIPELINE}{PLUGIN}{FAIL}{FAIL}fail_as_builtin("swinl")
from modelscope.models.builder import MODELS
from modelscope.pipelines.builder import PIPELINES
from modelscope.preprocessors.base import PREPROCESSOR_MAP
for left in (MODELS.modules, PIPELINES.modules, PREPROCESSOR_MAP):
    assert "vitadapter-segmentation-preprocessor" not in repr(left)
    assert "modelscope_vitadapter" not in repr(left)
"""
    process = run_child(script, tmp_path, plugin_path=broken_copy("plugin/pipeline.py"))
    assert process.stderr.count("OSError: broken") == 1
    assert "ModelScope goes on without it" in process.stderr


def test_broken_hook_before_and_after_modelscope(broken_copy, tmp_path):
    script = f"""
{PLUGIN}{FAIL}
for name in [name for name in sys.modules if name.startswith("modelscope_vitadapter")]:
    del sys.modules[name]
try:
    {PLUGIN}
except OSError as error:
    assert str(error) == "broken"
else:
    raise AssertionError("not broken")
{FAIL}
"""
    run_child(script, tmp_path, plugin_path=broken_copy("plugin/registration.py"))
