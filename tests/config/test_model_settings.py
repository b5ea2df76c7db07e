import logging
import re

import pytest
import torch

from modelscope_vitadapter.config.model_config import (
    find_test_pipeline,
    parse_classes,
    parse_model,
    parse_palette,
)
from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.inference.scores import window_scores
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import REMOVED, tiny_config
from tests.support.networks import network_of, random_image, randomise
from tests.support.settings_table import (
    ANSWER,
    BUILTIN_KEYS,
    NOTHING,
    REFUSED,
    START,
    TABLE,
    TRAINING,
)

IMAGE = random_image(2, 3, 64, 96)


def of_effect(*effects):
    chosen = [row for row in TABLE if row.effect in effects]
    return pytest.mark.parametrize("row", chosen, ids=[row.name for row in chosen])


def config_before(row):
    """The configuration that a row is compared with."""
    return tiny_config(row.given)


def config_after(row):
    return tiny_config({**row.given, **row.also, row.path: row.value})


@pytest.fixture(scope="module")
def before():
    """`before(function, row)`: the function of the configuration a row is compared with, cached."""
    known = {}

    def answer(function, row):
        key = function.__name__, repr(sorted(row.given.items()))
        if key not in known:
            known[key] = function(config_before(row))
        return known[key]

    return answer


def shapes(config):
    """Names and shapes of the state dict."""
    with torch.device("meta"):
        network = build_network(parse_model(config))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def scores(config):
    network = network_of(config)
    with torch.inference_mode():
        return window_scores(*network(IMAGE), (64, 96), align_corners=network.align_corners)


def training_step(config):
    """What a training step shows: scores, gradients, statistics, how often blocks ran."""
    torch.manual_seed(0)
    network = randomise(build_network(parse_model(config))).train()
    runs = []
    for name in ("blocks.0.attn", "interactions.0.injector.attn", "interactions.0.extractor.attn"):
        module = network.backbone.get_submodule(name)
        module.register_forward_hook(lambda *_, name=name: runs.append(name))
    answer = window_scores(*network(IMAGE), (64, 96), align_corners=network.align_corners)
    answer.sum().backward()
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return answer.detach(), statistics, sorted(runs), frozen


def equal_steps(first, second):
    return (
        torch.equal(first[0], second[0])
        and first[1].keys() == second[1].keys()
        and all(torch.equal(first[1][name], second[1][name]) for name in first[1])
        and first[2:] == second[2:]
    )


@pytest.mark.parametrize("section", BUILTIN_KEYS)
def test_the_table_holds_every_key_of_the_builtin_model(section):
    rows = {row.key for row in TABLE if row.path.rsplit(".", 1)[0] == section}
    assert set(BUILTIN_KEYS[section].split()) - rows == set()


def test_what_has_no_effect_says_why():
    assert [row.name for row in TABLE if row.effect == NOTHING and not row.reason] == []


@of_effect(ANSWER)
def test_changes_the_answer(row, before):
    after = config_after(row)
    found = scores(after)
    assert torch.isfinite(found).all()
    if before(shapes, row) == shapes(after):
        assert (before(scores, row) - found).abs().max() > 1e-3


@of_effect(REFUSED)
def test_is_refused_by_name(row, before):
    before(parse_model, row)
    with pytest.raises(ConfigError, match=rf"(^|[\s.]){re.escape(row.key)}\b") as caught:
        parse_model(config_after(row))
    assert len(caught.value.args) == 1


@of_effect(TRAINING)
def test_changes_training_only(row, before):
    after = config_after(row)
    assert torch.equal(before(scores, row), scores(after))
    assert not equal_steps(before(training_step, row), training_step(after))


@of_effect(START)
def test_changes_the_start_only(row, before):
    after = config_after(row)
    assert torch.equal(before(scores, row), scores(after))
    for config, value in ((config_before(row), 1e-6), (after, row.value)):
        network = build_network(parse_model(config))
        gammas = [p for name, p in network.named_parameters() if "gamma" in name]
        assert len(gammas) == 4 * 2 + 4
        assert all(torch.equal(gamma, torch.full_like(gamma, value)) for gamma in gammas)


@of_effect(NOTHING)
def test_changes_nothing_as_in_the_builtin_model(row, before):
    after = config_after(row)
    assert before(shapes, row) == shapes(after)
    assert torch.equal(before(scores, row), scores(after))
    assert equal_steps(before(training_step, row), training_step(after))


def test_shared_position_bias_is_held_unused_and_says_so(caplog):
    config = tiny_config({"model.backbone.use_shared_rel_pos_bias": True})
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        assert shapes(config)["backbone.rel_pos_bias.relative_position_bias_table"] == (52, 2)
    assert "use_shared_rel_pos_bias" in caplog.text
    assert torch.equal(scores(config), scores(tiny_config()))


@pytest.mark.parametrize(
    "path",
    [
        "model",
        *(
            section
            for section in BUILTIN_KEYS
            if not section.endswith(("transformerlayers.norm_cfg", "test_cfg"))
        ),
    ],
)
def test_an_unknown_key_is_refused_by_name(path):
    with pytest.raises(ConfigError, match=rf"{re.escape(path)}\.surprise = 3"):
        parse_model(tiny_config({f"{path}.surprise": 3}))


REQUIRED = [
    "model.type",
    "model.backbone",
    "model.decode_head",
    "model.test_cfg",
    "model.test_cfg.mode",
    "model.test_cfg.crop_size",
    "model.test_cfg.stride",
    "model.backbone.interaction_indexes",
    "model.decode_head.in_channels",
    "model.decode_head.feat_channels",
    "model.decode_head.out_channels",
    "model.decode_head.pixel_decoder",
    "model.decode_head.transformer_decoder",
    "model.decode_head.positional_encoding",
    "model.decode_head.transformer_decoder.transformerlayers.feedforward_channels",
    "model.decode_head.transformer_decoder.transformerlayers.operation_order",
    "model.decode_head.transformer_decoder.transformerlayers.attn_cfgs.num_heads",
    "model.decode_head.pixel_decoder.encoder.num_layers",
]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_setting_is_named(path):
    with pytest.raises(ConfigError, match=rf"{re.escape(path)}\b"):
        parse_model(tiny_config({path: REMOVED}))


def test_no_model():
    with pytest.raises(ConfigError, match="`model`"):
        parse_model({})


NEEDED = [
    "model",
    "model.type",
    "model.backbone",
    "model.backbone.depth",
    "model.backbone.interaction_indexes",
    "model.decode_head.num_queries",
    "model.decode_head.pixel_decoder.norm_cfg",
    "model.decode_head.pixel_decoder.act_cfg",
    "model.decode_head.pixel_decoder.encoder.transformerlayers.ffn_cfgs",
    "model.decode_head.transformer_decoder.transformerlayers.operation_order",
    "model.decode_head.surprise",
    "model.test_cfg",
    "model.test_cfg.crop_size",
    "model.neck",
]


@pytest.mark.parametrize("path", NEEDED)
def test_an_unreadable_value_that_is_needed_raises_its_own_error(path):
    mark = Unreadable("mmcv_config.py:7: open(...) can't be read")
    config = {"model": mark} if path == "model" else tiny_config({path: mark})
    with pytest.raises(ConfigError, match=r"^mmcv_config.py:7: open"):
        parse_model(config)


UNNEEDED = [
    "model.pretrained",
    "model.train_cfg",
    "model.init_cfg",
    "model.auxiliary_head",
    "model.backbone.pretrained",
    "model.decode_head.loss_cls",
    "model.decode_head.loss_whatever",
    "model.decode_head.train_cfg",
    "model.decode_head.sampler",
    "model.decode_head.pixel_decoder.init_cfg",
    "model.decode_head.pixel_decoder.encoder.init_cfg",
    "model.decode_head.pixel_decoder.encoder.transformerlayers.attn_cfgs.im2col_step",
    "model.decode_head.transformer_decoder.transformerlayers.ffn_cfgs.with_cp",
]


@pytest.mark.parametrize("path", UNNEEDED)
def test_an_unreadable_value_of_training_is_passed_over(path):
    assert parse_model(tiny_config({path: Unreadable("no")})) == parse_model(tiny_config())


def test_settings_are_plain_and_equal_for_equal_configs():
    settings = parse_model(tiny_config())
    assert settings == parse_model(tiny_config())
    assert hash(settings) == hash(parse_model(tiny_config()))
    assert settings.backbone.grid == (4, 4)
    assert settings.backbone.interaction_indexes == ((0, 0), (1, 1), (2, 2), (3, 3))
    assert settings.head.num_classes == 5


def test_builtin_defaults():
    backbone = {"type": "BEiTAdapter", "interaction_indexes": [[0, 2], [3, 5], [6, 8], [9, 11]]}
    width = 768
    settings = parse_model(
        tiny_config({"model.backbone": backbone, "model.decode_head.in_channels": [width] * 4})
    ).backbone
    assert settings.img_size == (512, 512)
    assert (settings.embed_dim, settings.depth, settings.num_heads) == (width, 12, 12)
    assert (settings.mlp_ratio, settings.qkv_bias, settings.qk_scale) == (4.0, False, None)
    assert (settings.conv_inplane, settings.n_points, settings.deform_num_heads) == (64, 4, 6)
    assert (settings.deform_ratio, settings.cffn_ratio, settings.with_cffn) == (1.0, 0.25, True)
    assert (settings.use_rel_pos_bias, settings.use_abs_pos_emb) == (True, False)
    assert (settings.init_values, settings.drop_path_rate) == (0.0, 0.0)
    assert settings.add_vit_feature
    assert not settings.with_cp


@pytest.mark.parametrize(
    ("test_cfg", "expected"),
    [
        ({"mode": "whole"}, WindowSettings("whole")),
        ({"mode": "whole", "crop_size": "any", "stride": None}, WindowSettings("whole")),
        (
            {"mode": "slide", "crop_size": (64, 96), "stride": [32, 48]},
            WindowSettings("slide", (64, 96), (32, 48)),
        ),
        (
            {"mode": "slide", "crop_size": 64, "stride": 32},
            WindowSettings("slide", (64, 64), (32, 32)),
        ),
    ],
)
def test_windows(test_cfg, expected):
    assert parse_model(tiny_config({"model.test_cfg": test_cfg})).windows == expected


def test_windows_outside_of_the_model():
    config = tiny_config({"model.test_cfg": REMOVED, "test_cfg": {"mode": "whole"}})
    assert parse_model(config).windows == WindowSettings("whole")
    with pytest.raises(ConfigError, match="both"):
        parse_model(tiny_config({"test_cfg": {"mode": "whole"}}))
    with pytest.raises(ConfigError, match=r"^test_cfg\.mode"):
        parse_model(tiny_config({"model.test_cfg": REMOVED, "test_cfg": {"mode": "crop"}}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", "crop"),
        ("mode", None),
        ("crop_size", 0),
        ("crop_size", (64, 64, 64)),
        ("crop_size", "64"),
        ("stride", (0, 32)),
        ("stride", 1.5),
        ("stride", True),
    ],
)
def test_windows_are_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=rf"model\.test_cfg\.{key} = "):
        parse_model(tiny_config({f"model.test_cfg.{key}": value}))


def test_the_authors_base_files_leave_panoptic_settings_in_test_cfg():
    keys = ("panoptic_on", "semantic_on", "instance_on", "max_per_image", "iou_thr")
    inherited = {f"model.test_cfg.{key}": True for key in keys}
    assert parse_model(tiny_config(inherited)).windows == parse_model(tiny_config()).windows


def test_classes():
    assert parse_classes({"CLASSES": ["a", "b"]}, 2) == ("a", "b")
    assert parse_classes({"CLASSES": ("a", "b", "c")}, 2) == ("a", "b", "c")


@pytest.mark.parametrize(
    "config",
    [{}, {"CLASSES": None}, {"CLASSES": "ab"}, {"CLASSES": ["a"]}, {"CLASSES": ["a", 2]}],
)
def test_classes_are_refused(config):
    with pytest.raises(ConfigError, match="CLASSES"):
        parse_classes(config, 2)


def test_palette():
    assert parse_palette({"PALETTE": [(0, 1, 2), [253, 254, 255]]}, 2) == [
        [0, 1, 2],
        [253, 254, 255],
    ]


@pytest.mark.parametrize(
    "palette", [None, "red", [1, 2, 3], [[1, 2]], [[1, 2, 256]], [[-1, 2, 3]], [[1, 2, 0.5]]]
)
def test_palette_is_refused(palette):
    with pytest.raises(ConfigError, match="PALETTE"):
        parse_palette({"PALETTE": palette}, 2)


def test_unreadable_classes_and_palette_raise_their_own_error():
    mark = Unreadable("line 3: urlopen")
    with pytest.raises(ConfigError, match=r"^line 3"):
        parse_classes({"CLASSES": mark}, 2)
    with pytest.raises(ConfigError, match=r"^line 3"):
        parse_palette({"PALETTE": mark}, 2)


def test_input_transform():
    steps = [{"type": "LoadImageFromFile"}]
    assert find_test_pipeline({"data": {"test": {"pipeline": steps}}}) is steps


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"data": None},
        {"data": {"test": [1]}},
        {"data": {"test": {"pipeline": []}}},
        {"data": {"test": {"pipeline": "steps"}}},
    ],
)
def test_no_input_transform(config):
    with pytest.raises(ConfigError, match=r"data\.test\.pipeline"):
        find_test_pipeline(config)


@pytest.mark.parametrize("keys", [(), ("test",), ("test", "pipeline")])
def test_unreadable_input_transform(keys):
    value = Unreadable("line 9: lambda")
    for key in reversed(keys):
        value = {key: value}
    with pytest.raises(ConfigError, match=r"^line 9"):
        find_test_pipeline({"data": value})
