"""In every order of imports, the hub's type leads to our classes, swinL to the built-in ones."""

import pytest

from tests.plugin.children import (
    BUILTIN_MODEL,
    BUILTIN_PIPELINE,
    GOLDEN_MODEL,
    PIPELINES,
    PLUGIN,
    run_child,
    swinl_model,
)

OURS = f"build_ours({str(GOLDEN_MODEL)!r})\n"
FAIL = f"fail_as_builtin({str(GOLDEN_MODEL)!r})\n"
SWINL = "fail_as_builtin('swinl')\n"

ORDERS = {
    "plugin first": PLUGIN + OURS + BUILTIN_PIPELINE + OURS + BUILTIN_MODEL + OURS + SWINL + OURS,
    "after modelscope.pipelines": PIPELINES + PLUGIN + OURS,
    "after a failed built-in attempt": FAIL + PLUGIN + OURS,
    "after the built-in pipeline module": BUILTIN_PIPELINE + PLUGIN + OURS,
    "after the built-in model module": BUILTIN_MODEL + PLUGIN + OURS,
    "swinL before the model": PLUGIN + SWINL + OURS,
    "swinL before the plugin": SWINL + PLUGIN + OURS + SWINL,
}


@pytest.mark.parametrize("order", ORDERS)
def test_order(order, tmp_path):
    swinl_model(tmp_path / "swinl")
    run_child(ORDERS[order], tmp_path)


def test_switched_off_even_when_imported(tmp_path):
    script = f"os.environ['MODELSCOPE_VITADAPTER'] = '0'\n{PLUGIN}{FAIL}"
    script += """
import modelscope_vitadapter.plugin.pipeline
from modelscope.pipelines.builder import PIPELINES
assert "image-semantic-segmentation" in PIPELINES.modules["image-segmentation"]
registered = PIPELINES.modules["image-segmentation"]["image-semantic-segmentation"]
assert registered.__module__.startswith("modelscope."), registered
"""
    run_child(script + FAIL, tmp_path)


def test_model_and_preprocessor_are_found_without_a_pipeline(tmp_path):
    script = f"""
{PLUGIN}
from modelscope.models import Model
from modelscope.preprocessors import Preprocessor
for base in (Model, Preprocessor):
    found = base.from_pretrained({str(GOLDEN_MODEL)!r})
    assert type(found).__module__.startswith("modelscope_vitadapter."), found
"""
    run_child(script, tmp_path)


def test_nothing_of_ours_reaches_the_caches(tmp_path):
    script = f"""
from pathlib import Path
import modelscope
index_file = Path(modelscope.__file__).with_name("utils") / "ast_index_file.py"
before = index_file.read_bytes()
{PLUGIN}{OURS}
from modelscope.utils.import_utils import LazyImportModule
assert "modelscope_vitadapter" in repr(LazyImportModule.get_ast_index())
assert "modelscope_vitadapter" not in repr(LazyImportModule._AST_INDEX)
assert index_file.read_bytes() == before
"""
    run_child(script, tmp_path)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file for file in written if b"modelscope_vitadapter" in file.read_bytes()] == []
