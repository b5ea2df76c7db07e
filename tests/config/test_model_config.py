import logging
import re

import pytest
import torch

from modelscope_vitadapter.config.config_dict import ConfigDict, Unreadable
from modelscope_vitadapter.config.model_config import (
    find_test_pipeline,
    load_model_config,
    parse_classes,
    parse_model,
    parse_palette,
)
from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.config.test_pipeline import parse_test_pipeline
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN, REMOVED, tiny_config
from tests.support.networks import network_of, random_image, randomise
from tests.support.settings_table import ANSWER, NOTHING, REFUSED, START, TABLE, TRAINING

IMAGE = random_image(2, 3, 64, 96)


def of_effect(effect):
    chosen = [row for row in TABLE if row.effect == effect]
    return pytest.mark.parametrize("row", chosen, ids=[row.name for row in chosen])


def before(row):
    """The configuration that a row is compared with."""
    return tiny_config(row.given)


def after(row):
    return tiny_config({**row.given, **row.also, row.path: row.value})


def shapes(config):
    """Names and shapes of the state dict."""
    with torch.device("meta"):
        network = build_network(parse_model(config))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def logits(config):
    with torch.inference_mode():
        return torch.cat([part.flatten() for part in network_of(config)(IMAGE)])


def training_step(config):
    """What a training step shows: logits, and how often a block's attention ran."""
    torch.manual_seed(0)
    network, runs = randomise(build_network(parse_model(config))).train(), []
    network.backbone.blocks[0].attn.register_forward_hook(lambda *_: runs.append(1))
    class_logits, mask_logits = network(IMAGE)
    (class_logits.sum() + mask_logits.sum()).backward()
    return class_logits.tolist(), len(runs)


@of_effect(ANSWER)
def test_changes_the_answer(row):
    if shapes(before(row)) == shapes(after(row)):
        assert (logits(before(row)) - logits(after(row))).abs().max() > 1e-3
    assert torch.isfinite(logits(after(row))).all()


@of_effect(TRAINING)
def test_changes_training_only(row):
    assert torch.equal(logits(before(row)), logits(after(row)))
    assert training_step(before(row)) == training_step(before(row))
    assert training_step(before(row)) != training_step(after(row))


@of_effect(START)
def test_changes_the_start_only(row):
    assert torch.equal(logits(before(row)), logits(after(row)))
    for config, value in ((before(row), 1e-6), (after(row), row.value)):
        network = build_network(parse_model(config))
        gammas = [p for name, p in network.named_parameters() if "gamma" in name]
        assert len(gammas) == 4 * 2 + 4
        assert all(torch.equal(gamma, torch.full_like(gamma, value)) for gamma in gammas)


@of_effect(NOTHING)
def test_changes_nothing(row):
    assert parse_model(after(row)) == parse_model(before(row))


@of_effect(REFUSED)
def test_is_refused_by_name(row):
    parse_model(before(row))
    with pytest.raises(ConfigError, match=rf"(^|[\s.]){re.escape(row.key)}\b") as caught:
        parse_model(after(row))
    assert len(caught.value.args) == 1
    assert len(str(caught.value)) < 500


def dictionaries(values, path):
    """Paths of all dictionaries whose keys are settings."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict):
            yield from dictionaries(value, f"{path}.{key}")


SECTIONS = [
    path for path in dictionaries(tiny_config()["model"], "model") if "test_cfg" not in path
]


@pytest.mark.parametrize("path", SECTIONS)
def test_an_unknown_key_is_refused_by_name(path):
    with pytest.raises(ConfigError, match=rf"{re.escape(path)}\.surprise = 3"):
        parse_model(tiny_config({f"{path}.surprise": 3}))
    with pytest.raises(ConfigError) as caught:
        parse_model(tiny_config({f"{path}.{'x' * 10**6}": "y" * 10**6}))
    assert len(str(caught.value)) < 600


HEAD = "model.decode_head"
LAYERS = (
    f"{HEAD}.pixel_decoder.encoder.transformerlayers",
    f"{HEAD}.transformer_decoder.transformerlayers",
)
REQUIRED = [
    *("model", "model.type", "model.backbone", HEAD, "model.test_cfg", "model.test_cfg.mode"),
    *("model.test_cfg.crop_size", "model.test_cfg.stride", "model.backbone.interaction_indexes"),
    *("model.backbone.qkv_bias", f"{HEAD}.in_channels", f"{HEAD}.feat_channels"),
    *(f"{HEAD}.out_channels", f"{HEAD}.pixel_decoder", f"{HEAD}.transformer_decoder"),
    *(f"{HEAD}.positional_encoding", f"{HEAD}.positional_encoding.normalize"),
    *(f"{layer}.operation_order" for layer in LAYERS),
    *(f"{LAYERS[0]}.attn_cfgs.num_levels", f"{LAYERS[0]}.attn_cfgs.embed_dims"),
    *(f"{LAYERS[1]}.attn_cfgs.num_heads", f"{HEAD}.pixel_decoder.encoder.num_layers"),
]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_or_unreadable_setting_is_named(path):
    with pytest.raises(ConfigError, match=rf"{re.escape(path)}\b"):
        parse_model(tiny_config({path: REMOVED}))
    mark = Unreadable("mmcv_config.py:7: open(...) can't be read")
    with pytest.raises(ConfigError, match=r"^mmcv_config.py:7: open"):
        parse_model(tiny_config({path: mark}))


def test_what_training_reads_may_be_unreadable():
    for path in ("model.train_cfg", f"{HEAD}.loss_cls", "model.pretrained", f"{HEAD}.sampler"):
        config = tiny_config({path: Unreadable("no")})
        assert parse_model(config) == parse_model(tiny_config())
    assert hash(parse_model(config)) == hash(parse_model(tiny_config()))


def test_builtin_defaults():
    stages = [[0, 2], [3, 5], [6, 8], [9, 11]]
    backbone = {"type": "BEiTAdapter", "qkv_bias": True, "interaction_indexes": stages}
    changes = {"model.backbone": backbone, f"{HEAD}.in_channels": [768] * 4}
    found = parse_model(tiny_config(changes)).backbone
    assert (found.img_size, found.embed_dim, found.depth) == ((512, 512), 768, 12)
    assert (found.num_heads, found.mlp_ratio, found.conv_inplane) == (12, 4.0, 64)
    assert (found.n_points, found.deform_num_heads, found.deform_ratio) == (4, 6, 1.0)
    assert (found.with_cffn, found.cffn_ratio, found.add_vit_feature) == (True, 0.25, True)
    assert (found.init_values, found.drop_path_rate, found.with_cp) == (0.0, 0.0, False)


SLIDE = WindowSettings("slide", (64, 96), (32, 48))
DENSE = WindowSettings("slide", (64, 64), (1, 1))


@pytest.mark.parametrize(
    ("test_cfg", "expected"),
    [
        ({"mode": "whole"}, WindowSettings("whole")),
        ({"mode": "whole", "crop_size": "any", "stride": None}, WindowSettings("whole")),
        ({"mode": "slide", "crop_size": (64, 96), "stride": [32, 48], "iou_thr": 0.8}, SLIDE),
        ({"mode": "slide", "crop_size": 64, "stride": 1}, DENSE),
        ({"mode": "zoom"}, "mode"),
        ({"mode": "slide", "crop_size": 0, "stride": 1}, "crop_size"),
        ({"mode": "slide", "crop_size": 64, "stride": (65, 64)}, "at most crop_size"),
        ({"mode": "slide", "crop_size": 65, "stride": 1}, "4096 windows"),
    ],
)
def test_windows(test_cfg, expected):
    config = tiny_config({"model.test_cfg": test_cfg})
    outside = tiny_config({"model.test_cfg": REMOVED, "test_cfg": test_cfg})
    for one in (config, outside):
        if isinstance(expected, WindowSettings):
            assert parse_model(one).windows == expected
        else:
            with pytest.raises(ConfigError, match=expected):
                parse_model(one)
    with pytest.raises(ConfigError, match="more than one test_cfg"):
        parse_model(tiny_config({"test_cfg": {"mode": "whole"}}))


def test_classes_and_palette_may_hold_more_than_are_predicted():
    assert parse_classes({"CLASSES": ("a", "b", "c")}, 2) == ["a", "b", "c"]
    colours = parse_palette({"PALETTE": ((0, 1, 2), [253, 254, 255])}, 1)
    assert colours == [[0, 1, 2], [253, 254, 255]]


NO_LISTS = [None, "red", {"a": 1}, 3, []]
NO_NAMES = [[1, 2], ["a"], ["a", None]]
NO_COLOURS = [[1, 2, 3], [[1, 2]] * 2, [[1, 2, 256]] * 2, [[-1, 2, 3]] * 2, [[1, 2, 0.5]] * 2]


@pytest.mark.parametrize(
    ("parse", "key", "values"),
    [
        (parse_classes, "CLASSES", NO_LISTS + NO_NAMES),
        (parse_palette, "PALETTE", NO_LISTS + NO_COLOURS),
    ],
)
def test_classes_and_palettes_are_refused(parse, key, values):
    for value in values:
        with pytest.raises(ConfigError, match=key):
            parse({key: value}, 2)
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        parse({}, 2)
    with pytest.raises(ConfigError, match=r"^line 3"):
        parse({key: Unreadable("line 3: urlopen")}, 2)


def test_the_test_pipeline_is_found_and_put_where_mmcvs_files_have_it():
    steps = [{"type": "LoadImageFromFile"}]
    for config in (
        {"data": {"test": {"pipeline": steps}}, "test_pipeline": [2]},
        {"data": {"samples_per_gpu": 2}, "test_pipeline": steps},
        {"test_pipeline": steps},
    ):
        assert find_test_pipeline(config) is steps
        assert config["data"]["test"]["pipeline"] is steps
    for data in (None, {"test": [1]}):
        with pytest.raises(ConfigError, match=r"(data|test) in mmcv_config\.py is .* dict"):
            find_test_pipeline({"data": data})
    mark = Unreadable("line 9: lambda")
    for data in (mark, {"test": mark}, {"test": {"pipeline": mark}}):
        with pytest.raises(ConfigError, match=r"^line 9"):
            parse_test_pipeline(find_test_pipeline({"data": data}))
    with pytest.raises(ConfigError, match=r"Write one as data\.test\.pipeline"):
        parse_test_pipeline(find_test_pipeline({}))


GOLDEN_TEXT = (GOLDEN / "base" / "mmcv_config.py").read_text(encoding="utf-8")


def test_trust_executes_only_what_can_not_be_read_as_data(tmp_path, caplog):
    path, mark = tmp_path / "mmcv_config.py", tmp_path / "executed"
    code = f"{GOLDEN_TEXT}\nimport pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    caplog.set_level(logging.WARNING, logger="modelscope.vitadapter")
    path.write_text(code, encoding="utf-8")
    read = load_model_config(tmp_path, trust_remote_code=True)
    path.write_text(f"{code}\nmodel['neck'] = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="trust_remote_code=True"):
        load_model_config(tmp_path)
    path.write_text(f"{GOLDEN_TEXT}\nPALETTE = []", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: PALETTE")):
        load_model_config(tmp_path, trust_remote_code=True)
    assert not mark.exists()
    assert not caplog.records
    path.write_text(f"{code}\nCLASSES = tuple(CLASSES)", encoding="utf-8")
    executed = load_model_config(tmp_path, trust_remote_code=True)
    assert mark.exists()
    assert str(path) in caplog.text
    assert isinstance(executed.config.model, ConfigDict)
    assert (executed.settings, executed.transform) == (read.settings, read.transform)
    assert executed.classes == read.classes


def test_trust_reports_both_failures(tmp_path):
    path = tmp_path / "mmcv_config.py"
    with pytest.raises(ConfigNotFoundError, match="does not exist"):
        load_model_config(tmp_path, trust_remote_code=True)
    path.write_text("model = undefined()", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"neither read nor executed.*`undefined\(\)`.*NameError"):
        load_model_config(tmp_path, trust_remote_code=True)
