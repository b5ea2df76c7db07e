import shutil
from pathlib import Path

import pytest
import torch
from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks

from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.network.position_bias import table_for_window
from modelscope_vitadapter.training.start.crop import config_for_crop
from modelscope_vitadapter.training.start.directory import StartPoint, prepare_start
from tests.training.start.test_directory import beit_checkpoint, state_of

MODEL = Path(__file__).parents[2] / "golden" / "base"  # windows of 64 pixels, 4 x 4 patches
RECTANGLE = MODEL.parent / "variants" / "rectangle"


@pytest.mark.parametrize("crop", [32, 96])
def test_position_biases_are_resized_and_all_else_is_kept(tmp_path, crop):
    target = prepare_start(StartPoint(MODEL, crop=crop), tmp_path / "start")
    before, after = state_of(MODEL), state_of(target)
    assert before.keys() == after.keys()
    cells = crop // 16
    tables = 0
    for name, value in after.items():
        if name.endswith("relative_position_bias_table"):
            tables += 1
            assert torch.equal(value, table_for_window(before[name], (4, 4), (cells, cells)))
        else:
            assert torch.equal(value, before[name]), name
    assert tables == 4


def test_windows_strides_and_scales_change_together(tmp_path):
    before = load_model_config(MODEL)
    after = load_model_config(prepare_start(StartPoint(MODEL, crop=128), tmp_path / "start"))
    assert before.settings.windows.crop_size == (64, 64)
    assert after.settings.windows.crop_size == (128, 128)
    assert after.settings.windows.stride == tuple(2 * s for s in before.settings.windows.stride)
    assert after.settings.backbone.grid == (8, 8)
    sizes = [loaded.transform.views[0].output_size((300, 400)) for loaded in (before, after)]
    assert sizes[1] == tuple(2 * side for side in sizes[0])
    assert after.classes == before.classes
    assert after.palette == before.palette


def test_the_models_own_crop_changes_nothing(tmp_path):
    assert prepare_start(StartPoint(MODEL, crop=64), tmp_path / "start") == MODEL


def test_the_pipeline_runs_with_the_other_crop(tmp_path):
    target = prepare_start(StartPoint(MODEL, crop=96), tmp_path / "start")
    segmentor = pipeline(Tasks.image_segmentation, model=str(target), device="cpu")
    assert segmentor.model.windows.crop_size == (96, 96)
    assert segmentor(str(MODEL / "tiny.png"))["masks"]


@pytest.mark.parametrize("crop", [0, -32, 100, 64.0, True, "64"])
def test_a_crop_that_cannot_be_is_refused(tmp_path, crop):
    with pytest.raises(ValueError, match="expected a multiple of 32 pixels"):
        prepare_start(StartPoint(MODEL, crop=crop), tmp_path / "start")
    assert not (tmp_path / "start").exists()


def test_windows_of_that_size_with_another_img_size_are_not_the_models_own(tmp_path):
    folder = shutil.copytree(MODEL, tmp_path / "model")
    path = folder / "mmcv_config.py"
    text = path.read_text(encoding="utf-8").replace("crop_size = (64, 64)", "crop_size = (96, 96)")
    path.write_text(text, encoding="utf-8")
    target = prepare_start(StartPoint(folder, crop=96), tmp_path / "start")
    assert target == tmp_path / "start"
    assert load_model_config(target).settings.backbone.grid == (6, 6)


def test_with_other_classes_and_a_beit_backbone(tmp_path):
    beit = tmp_path / "beit.pth"
    given = beit_checkpoint(beit, side=6)
    point = StartPoint(MODEL, beit=beit, classes=["a", "b"], crop=96)
    target = prepare_start(point, tmp_path / "start")
    loaded, state = load_model_config(target), state_of(target)
    assert loaded.classes == ["a", "b"]
    assert loaded.settings.windows.crop_size == (96, 96)
    name = "blocks.1.attn.relative_position_bias_table"
    assert torch.equal(state[f"backbone.{name}"], given[name])
    assert state["decode_head.cls_embed.bias"].shape == (3,)


def test_oblong_windows_are_refused_and_their_biases_kept_without_a_crop(tmp_path):
    with pytest.raises(ConfigError, match="oblong windows, so crop=64 has no meaning"):
        prepare_start(StartPoint(RECTANGLE, crop=64), tmp_path / "start")
    target = prepare_start(StartPoint(RECTANGLE, classes=["a"]), tmp_path / "start")
    before, after = state_of(RECTANGLE), state_of(target)
    tables = [name for name in before if name.endswith("relative_position_bias_table")]
    assert tables
    assert all(torch.equal(before[name], after[name]) for name in tables)


def config(**backbone):
    steps = [
        {"type": "LoadImageFromFile"},
        {
            "type": "MultiScaleFlipAug",
            "img_scale": [(2048, 512), (3072, 768)],
            "transforms": [
                {"type": "Resize", "img_scale": None, "keep_ratio": True},
                {"type": "Pad", "size": (512, 512)},
                {"type": "Pad", "size_divisor": 32},
            ],
        },
    ]
    model = {"backbone": {"img_size": 512, **backbone}, "test_cfg": {"mode": "slide"}}
    return {"model": model, "data": {"test": {"pipeline": steps}}}


SQUARE = WindowSettings("slide", (512, 512), (341, 384))


def test_several_scales_and_padding():
    before = config()
    after = config_for_crop(before, SQUARE, 256)
    assert after["model"]["backbone"] == {"img_size": 256}
    assert after["model"]["test_cfg"]["crop_size"] == (256, 256)
    assert after["model"]["test_cfg"]["stride"] == (170, 192)
    outer = after["data"]["test"]["pipeline"][1]
    assert outer["img_scale"] == [(1024, 256), (1536, 384)]
    assert outer["transforms"] == [
        {"type": "Resize", "img_scale": None, "keep_ratio": True},
        {"type": "Pad", "size": (256, 256)},
        {"type": "Pad", "size_divisor": 32},
    ]
    assert before == config()


def test_factors_in_place_of_scales():
    before = config()
    outer = before["data"]["test"]["pipeline"][1]
    outer["img_scale"], outer["scale_factor"] = None, [0.5, 1]
    after = config_for_crop(before, SQUARE, 256)
    assert after["data"]["test"]["pipeline"][1]["scale_factor"] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("windows", "backbone", "message"),
    [
        (WindowSettings("whole"), {}, "the model has no windows, so crop=256"),
        (WindowSettings("slide", (512, 1024), (341, 768)), {}, "has oblong windows"),
        (SQUARE, {"use_abs_pos_emb": True}, "use_abs_pos_emb=True"),
    ],
)
def test_a_model_whose_windows_cannot_change_is_refused(windows, backbone, message):
    with pytest.raises(ConfigError, match=message):
        config_for_crop(config(**backbone), windows, 256)
