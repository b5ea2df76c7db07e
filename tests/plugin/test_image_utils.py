"""`modelscope.utils.cv.image_utils.semantic_seg_masks_to_image` without mmdet."""

import sys
import types

import pytest

from modelscope_vitadapter.plugin.module_changes import PALETTE_MODULE, has_palette
from tests.hub.environment import REPOSITORY
from tests.plugin.children import PLUGIN, run_child

GOLDEN = REPOSITORY / "tests" / "golden" / "base" / "expected.npz"
BIND = "from modelscope.utils.cv.image_utils import semantic_seg_masks_to_image as draw\n"
DRAW = f"""
import numpy as np
expected = np.load({str(GOLDEN)!r})
class_map = expected["flower/classmap"]
masks = [(class_map == i).astype(int) for i in np.unique(class_map)[::-1]]
"""
EQUAL = """
drawn = draw(masks)
assert drawn.dtype == np.float64
assert np.array_equal(drawn, expected["flower/draw"])
assert "mmdet" not in sys.modules
"""


@pytest.mark.parametrize("script", [PLUGIN + BIND, BIND + PLUGIN], ids=["before", "after"])
def test_draws_whenever_it_was_imported(script, tmp_path):
    run_child(script + DRAW + EQUAL, tmp_path)


def test_switched_off(tmp_path):
    script = f"""
os.environ["MODELSCOPE_VITADAPTER"] = "0"
{PLUGIN}{BIND}{DRAW}
try:
    draw(masks)
except ModuleNotFoundError as error:
    assert error.name == "mmdet", error
else:
    raise AssertionError("switched off, but drawn")
"""
    run_child(script, tmp_path)


def make_mmdet(folder, palette):
    """A package of that name on the disk: with the palette module of mmdet 2, or without."""
    package = folder / "mmdet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    if palette:
        below = package / "core" / "visualization"
        below.mkdir(parents=True)
        for init in (package / "core", below):
            (init / "__init__.py").write_text("", encoding="utf-8")
        code = "def get_palette(name, count):\n    return [(1, 2, 3)] * count\n"
        (below / "palette.py").write_text(code, encoding="utf-8")
    return folder


def test_an_installed_mmdet_is_left_alone(tmp_path):
    make_mmdet(tmp_path / "site", palette=True)
    script = f"sys.path.append({str(tmp_path / 'site')!r})\n{BIND}{PLUGIN}{DRAW}"
    script += "assert np.unique(draw(masks)).tolist() == [1, 2, 3]\n"
    run_child(script, tmp_path)


@pytest.mark.parametrize("palette", [True, False])
def test_has_palette_tells_mmdet_2_from_others(palette, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(make_mmdet(tmp_path, palette))
    assert has_palette() is palette
    assert "mmdet" not in sys.modules


def test_has_palette_where_there_is_no_mmdet(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert has_palette() is False


def test_has_palette_where_somebody_put_a_stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmdet", types.ModuleType("mmdet"))
    assert has_palette() is False
    monkeypatch.setitem(sys.modules, PALETTE_MODULE, types.ModuleType(PALETTE_MODULE))
    assert has_palette() is True
