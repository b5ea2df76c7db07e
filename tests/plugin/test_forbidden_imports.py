from tests.plugin.children import GOLDEN_MODEL, PLUGIN, run_child

FORBIDDEN = ("mmdet", "mmcv.ops", "mmcv._ext", "mmseg", "timm", "torchvision")


def test_a_full_run_imports_nothing_forbidden(tmp_path):
    script = f"""
{PLUGIN}
built = build({str(GOLDEN_MODEL)!r})
result = built({str(GOLDEN_MODEL / "tiny.png")!r})
assert len(result["masks"]) == len(result["labels"]) > 0
from modelscope.utils.cv.image_utils import semantic_seg_masks_to_image
semantic_seg_masks_to_image(result["masks"])
roots = {FORBIDDEN!r}
found = [name for name in sys.modules for root in roots if (name + ".").startswith(root + ".")]
assert not found, found
"""
    run_child(script, tmp_path)
