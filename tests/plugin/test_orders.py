"""In every order of imports, the hub's type leads to our classes, swinL to the built-in ones."""

import pytest

from tests.plugin.children import (
    BUILTIN_PIPELINE,
    FAIL,
    GOLDEN_MODEL,
    PLUGIN,
    run_child,
    swinl_model,
)

PIPELINES = "import modelscope.pipelines\n"
BUILTIN_MODEL = """
try:
    import modelscope.models.cv.image_semantic_segmentation.semantic_seg_model
except ImportError as error:
    assert "mmdet" in str(error), error
else:
    sys.exit("mmdet is installed where these tests expect it to be absent")
"""
OURS = "build_ours(MODEL)\n"
SWINL = "fail_as_builtin('swinl')\n"

BIND = "from modelscope.utils.cv.image_utils import semantic_seg_masks_to_image as draw\n"
MASKS = f"""
import numpy as np
expected = np.load({str(GOLDEN_MODEL / "expected.npz")!r})
class_map = expected["flower/classmap"]
masks = [(class_map == i).astype(int) for i in np.unique(class_map)[::-1]]
"""
DRAW = f"""{MASKS}
drawn = draw(masks)
assert drawn.dtype == np.float64
assert np.array_equal(drawn, expected["flower/draw"])
"""

WITHOUT_A_PIPELINE = """
from pathlib import Path
from modelscope.metrics import build_metric
metric = build_metric("vitadapter-segmentation-metric")
assert type(metric).__module__ == "modelscope_vitadapter.plugin.metric", metric
assert "modelscope_vitadapter.plugin.pipeline" not in sys.modules
import modelscope
index_file = Path(modelscope.__file__).with_name("utils") / "ast_index_file.py"
before = index_file.read_bytes()
from modelscope.models import Model
from modelscope.preprocessors import Preprocessor
for base in (Model, Preprocessor):
    found = base.from_pretrained(MODEL)
    assert type(found).__module__.startswith("modelscope_vitadapter."), found
"""
NOTHING_FORBIDDEN = """
result = build_ours(MODEL)(MODEL + "/tiny.png")
assert len(result["masks"]) == len(result["labels"]) > 0
roots = ("mmdet", "mmcv.ops", "mmcv._ext", "mmseg", "timm", "torchvision")
found = [name for name in sys.modules for root in roots if (name + ".").startswith(root + ".")]
assert not found, found
"""
NOTHING_WRITTEN = """
from modelscope.utils.import_utils import LazyImportModule
assert "modelscope_vitadapter" not in repr(LazyImportModule.get_ast_index())
assert index_file.read_bytes() == before
"""

ORDERS = {
    "plugin first": [
        *(PLUGIN, BIND, WITHOUT_A_PIPELINE, OURS, DRAW, NOTHING_FORBIDDEN, NOTHING_WRITTEN),
        *(BUILTIN_PIPELINE, OURS, BUILTIN_MODEL, OURS, SWINL, OURS),
    ],
    "after modelscope.pipelines, swinL before the model": [PIPELINES, PLUGIN, SWINL, OURS],
    "after failed built-in attempts": [
        *(BIND, BUILTIN_MODEL, SWINL, BUILTIN_PIPELINE, FAIL, PLUGIN, OURS, DRAW, SWINL),
    ],
}


@pytest.mark.parametrize(
    "order", [pytest.param(one, marks=pytest.mark.slow if "swinL" in one else []) for one in ORDERS]
)
def test_order(order, tmp_path):
    swinl_model(tmp_path / "swinl")
    run_child("".join(ORDERS[order]), tmp_path)
    written = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert [file for file in written if b"modelscope_vitadapter" in file.read_bytes()] == []


def test_switched_off_even_when_imported(tmp_path):
    script = f"""
os.environ["MODELSCOPE_VITADAPTER"] = "0"
{PLUGIN}{FAIL}
import modelscope_vitadapter.plugin.pipeline
from modelscope.pipelines.builder import PIPELINES
registered = PIPELINES.modules["image-segmentation"]["image-semantic-segmentation"]
assert registered.__module__.startswith("modelscope."), registered
{FAIL}{BIND}{MASKS}
try:
    draw(masks)
except ModuleNotFoundError as error:
    assert error.name == "mmdet", error
else:
    raise AssertionError("switched off, but drawn")
"""
    run_child(script, tmp_path)
