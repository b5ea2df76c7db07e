"""Settings that are absurd, alone or together; refused before anything of that size is made."""

from tests.hostile.entries import ANYTHING, TEST_PIPELINE, Entry, rewritten
from tests.support.settings_table import NOTHING, START, TABLE, TRAINING

REFUSED, UNREADABLE = "ConfigError", "UnreadableConfigError"
BACKBONE = "model.backbone"
HEAD = "model.decode_head"
PIXEL = f"{HEAD}.pixel_decoder"
ENCODER = f"{PIXEL}.encoder"
ENCODER_LAYER = f"{ENCODER}.transformerlayers"
ENCODER_ATTENTION = f"{ENCODER_LAYER}.attn_cfgs"
DECODER = f"{HEAD}.transformer_decoder"
DECODER_LAYER = f"{DECODER}.transformerlayers"
WINDOWS = "model.test_cfg"

ALONE = [
    f"{BACKBONE}.embed_dim",
    f"{BACKBONE}.depth",
    f"{BACKBONE}.num_heads",
    f"{BACKBONE}.mlp_ratio",
    f"{BACKBONE}.img_size",
    f"{BACKBONE}.pretrain_size",
    f"{BACKBONE}.conv_inplane",
    f"{BACKBONE}.n_points",
    f"{BACKBONE}.deform_num_heads",
    f"{BACKBONE}.deform_ratio",
    f"{BACKBONE}.cffn_ratio",
    f"{BACKBONE}.patch_size",
    f"{BACKBONE}.in_chans",
    f"{BACKBONE}.drop_path_rate",
    f"{HEAD}.feat_channels",
    f"{HEAD}.out_channels",
    f"{HEAD}.num_queries",
    f"{HEAD}.num_things_classes",
    f"{HEAD}.num_stuff_classes",
    f"{HEAD}.num_transformer_feat_level",
    f"{HEAD}.positional_encoding.num_feats",
    f"{PIXEL}.num_outs",
    f"{PIXEL}.norm_cfg.num_groups",
    f"{ENCODER}.num_layers",
    f"{ENCODER_ATTENTION}.num_heads",
    f"{ENCODER_ATTENTION}.num_levels",
    f"{ENCODER_ATTENTION}.num_points",
    f"{ENCODER_ATTENTION}.embed_dims",
    f"{ENCODER_LAYER}.ffn_cfgs.feedforward_channels",
    f"{ENCODER_LAYER}.ffn_cfgs.num_fcs",
    f"{DECODER}.num_layers",
    f"{DECODER_LAYER}.feedforward_channels",
    f"{DECODER_LAYER}.attn_cfgs.num_heads",
    f"{WINDOWS}.crop_size",
    f"{WINDOWS}.stride",
]
"""Settings that are sizes."""

ABSURD = [10**9, 10**300, 1e300, -1, "9" * 50_000]

TOGETHER = {
    "a wide and deep backbone": (
        {
            f"{BACKBONE}.embed_dim": 65536,
            f"{BACKBONE}.depth": 1024,
            f"{BACKBONE}.mlp_ratio": 64,
            f"{HEAD}.in_channels": [65536] * 4,
        },
        "embed_dim = 65536",
    ),
    "a deep backbone of narrow blocks": ({f"{BACKBONE}.depth": 1024}, "depth = 1024"),
    "a large position table": (
        {f"{BACKBONE}.img_size": 65536, f"{BACKBONE}.num_heads": 16, f"{BACKBONE}.depth": 64},
        "img_size",
    ),
    "a large absolute position table": (
        {
            f"{BACKBONE}.img_size": 65536,
            f"{BACKBONE}.pretrain_size": 65536,
            f"{BACKBONE}.use_rel_pos_bias": False,
            f"{BACKBONE}.use_abs_pos_emb": True,
            f"{BACKBONE}.embed_dim": 4096,
            f"{HEAD}.in_channels": [4096] * 4,
        },
        "img_size",
    ),
    "a wide spatial prior": (
        {f"{BACKBONE}.conv_inplane": 16384, f"{BACKBONE}.img_size": 64},
        "conv_inplane",
    ),
    "as many stages as blocks": (
        {f"{BACKBONE}.depth": 512, f"{BACKBONE}.interaction_indexes": [[0, 511]] * 512},
        "interaction_indexes",
    ),
    "many stages that share blocks": (
        {f"{BACKBONE}.depth": 64, f"{BACKBONE}.interaction_indexes": [[0, 63]] * 64},
        "interaction_indexes",
    ),
    "points and heads": (
        {f"{BACKBONE}.n_points": 1024, f"{BACKBONE}.deform_num_heads": 16},
        "deform_ratio|n_points",
    ),
    "many encoder layers of many layers": (
        {f"{ENCODER}.num_layers": 1024, f"{ENCODER_LAYER}.ffn_cfgs.num_fcs": 64},
        "num_layers = 1024",
    ),
    "many decoder layers": ({f"{DECODER}.num_layers": 1024}, "num_layers = 1024"),
    "wide feed-forward networks": (
        {
            f"{ENCODER_LAYER}.ffn_cfgs.feedforward_channels": 2**20,
            f"{ENCODER_LAYER}.ffn_cfgs.num_fcs": 3,
        },
        "feedforward_channels = 1048576",
    ),
    "queries of a large window": (
        {f"{HEAD}.num_queries": 65536, f"{WINDOWS}.crop_size": 4096, f"{WINDOWS}.stride": 4096},
        "num_queries",
    ),
    "a window of four billion pixels": (
        {f"{WINDOWS}.crop_size": 65536, f"{WINDOWS}.stride": 65536, f"{HEAD}.num_queries": 64},
        "crop_size",
    ),
    "ten million windows": (
        {f"{WINDOWS}.crop_size": 4096, f"{WINDOWS}.stride": 1},
        "stride",
    ),
    "gaps between windows": ({f"{WINDOWS}.stride": 65}, "stride"),
}

SCALE = "img_scale=(64, 64)"
NORMALIZE = 'dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])'
RESIZE = 'dict(type="Resize", keep_ratio=True)'

PIPELINES = {
    "img_scale": (SCALE, "img_scale=(10**9, 10**9)"),
    "img_scale beyond floats": (SCALE, "img_scale=(10**300, 10**300)"),
    "img_scale that fits alone": (SCALE, "img_scale=(65536, 65536)"),
    "img_scale of text": (SCALE, "img_scale='9' * 10**4"),
    "img_scale none": (SCALE, "img_scale=(0, 64)"),
    "a thousand scales": (SCALE, "img_scale=[(64, 64)] * 1000"),
    "scale_factor": (SCALE, "scale_factor=10**9"),
    "scale_factor beyond floats": (SCALE, "scale_factor=(2**1023 - 1) * 2 + 1"),
    "many scale_factors": (SCALE, "scale_factor=[1.0] * 100000"),
    "mean": (NORMALIZE, NORMALIZE.replace("123.675", "10**300")),
    "mean beyond floats": (NORMALIZE, NORMALIZE.replace("123.675", "(2**1023 - 1) * 2 + 1")),
    "std": (NORMALIZE, NORMALIZE.replace("58.395", "1e-300")),
    "a thousand transforms": (RESIZE, f"*[{RESIZE}] * 1000"),
    "pad": (RESIZE, f'{RESIZE}, dict(type="Pad", size=(10**9, 10**9))'),
    "pad that fits alone": (RESIZE, f'{RESIZE}, dict(type="Pad", size=(65536, 65536))'),
    "pad divisor": (RESIZE, f'{RESIZE}, dict(type="Pad", size_divisor=65536)'),
    "pad value": (RESIZE, f'{RESIZE}, dict(type="Pad", size_divisor=32, pad_val=10**300)'),
    "multiple": (RESIZE, f'{RESIZE}, dict(type="ResizeToMultiple", size_divisor=65536)'),
    "code": (RESIZE, 'dict(type="Resize", keep_ratio=open(CANARY, "w"))'),
    "unknown": (RESIZE, 'dict(type="canary_module.run")'),
    "a long unknown": (RESIZE, 'dict(type="x" * 90000)'),
}


def _entries():
    for number, path in enumerate(ALONE):
        value = ABSURD[number % len(ABSURD)]
        name = f"{path.removeprefix('model.')} is {value!r:.20}"
        yield Entry(name, rewritten(changes={path: value}), REFUSED, "mmcv_config.py")
    for name, (changes, words) in TOGETHER.items():
        yield Entry(f"together: {name}", rewritten(changes=changes), REFUSED, words)
    for name, (old, new) in PIPELINES.items():
        text = TEST_PIPELINE.replace(old, new)
        assert text != TEST_PIPELINE
        error, words = REFUSED, "test pipeline"
        if name == "code":
            error, words = UNREADABLE, "line"
        yield Entry(f"pipeline: {name}", rewritten(test_pipeline=text), error, words)
    large = {
        "a large window": {f"{WINDOWS}.crop_size": 4096, f"{WINDOWS}.stride": 4096},
        "windows that overlap much": {f"{WINDOWS}.stride": 1},
        "whole pictures": {WINDOWS: {"mode": "whole", "crop_size": 10**9}},
        "unused settings of any size": {
            "model.train_cfg": {"num_points": 10**300},
            f"{BACKBONE}.num_classes": 10**300,
            f"{HEAD}.loss_cls": {"class_weight": [1.0] * 10_000},
        },
    }
    for name, changes in large.items():
        yield Entry(f"large: {name}", rewritten(changes=changes), same=False)
    for number, row in enumerate(TABLE):
        if row.effect in (TRAINING, START, NOTHING) and not row.given:
            make = rewritten(changes={**row.also, row.path: row.value})
            yield Entry(f"setting {number} without effect: {row.name}", make, warns=ANYTHING)


ENTRIES = list(_entries())
