"""Every setting that ModelScope's built-in model takes, and what changing it does here.

The keys are those of the built-in constructors (ModelScope 1.40.2, mmdet 2.28.2, mmcv 1.7.2).
"""

from dataclasses import dataclass, field

from tests.support.configs import LEARNED, REMOVED, WIDTH

BACKBONE = "model.backbone"
HEAD = "model.decode_head"
PIXEL = f"{HEAD}.pixel_decoder"
ENCODER = f"{PIXEL}.encoder"
ENCODER_LAYER = f"{ENCODER}.transformerlayers"
ENCODER_ATTENTION = f"{ENCODER_LAYER}.attn_cfgs"
ENCODER_FFN = f"{ENCODER_LAYER}.ffn_cfgs"
DECODER = f"{HEAD}.transformer_decoder"
DECODER_LAYER = f"{DECODER}.transformerlayers"
DECODER_ATTENTION = f"{DECODER_LAYER}.attn_cfgs"
DECODER_FFN = f"{DECODER_LAYER}.ffn_cfgs"
PIXEL_ENCODING = f"{PIXEL}.positional_encoding"
HEAD_ENCODING = f"{HEAD}.positional_encoding"

ANSWER = "answer"
"""The state dict's names or shapes change, or the scores do."""
REFUSED = "refused"
"""A `ConfigError` names the setting."""
TRAINING = "training"
"""Scores stay; a training step changes."""
START = "start"
"""Only what parameters start from changes; a checkpoint overwrites it."""
NOTHING = "nothing"
"""Neither scores nor a training step change, as in the built-in model."""


@dataclass(frozen=True)
class Row:
    """One setting, a value that differs from the tiny model's, and its effect.

    `also` are changes that the value needs, `given` changes of the model that it is compared with.
    """

    path: str
    value: object
    effect: str
    also: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)
    reason: str = ""

    @property
    def key(self):
        return self.path.rsplit(".", 1)[1]

    @property
    def name(self):
        return f"{self.path.removeprefix('model.')}={self.value!r}"[:90]


def rows(section, effect, *entries, **options):
    """Rows of one section: each entry is `(key, value)` or `(key, value, options)`."""
    made = []
    for key, value, *more in entries:
        made.append(Row(f"{section}.{key}", value, effect, **(options | (more[0] if more else {}))))
    return made


ABSOLUTE = {f"{BACKBONE}.use_abs_pos_emb": True, f"{BACKBONE}.pretrain_size": 64}
THREE_STAGES = {f"{BACKBONE}.add_vit_feature": False}
WIDER_HEAD = {
    f"{HEAD}.out_channels": 8,
    f"{ENCODER_ATTENTION}.embed_dims": 32,
    f"{ENCODER_FFN}.embed_dims": 32,
    f"{DECODER_ATTENTION}.embed_dims": 32,
    f"{DECODER_FFN}.embed_dims": 32,
    f"{PIXEL_ENCODING}.num_feats": 16,
    f"{HEAD_ENCODING}.num_feats": 16,
}
LEARNED_PIXEL = {PIXEL_ENCODING: LEARNED}
LEARNED_HEAD = {HEAD_ENCODING: LEARNED}
BATCH_NORM = {f"{PIXEL}.norm_cfg": {"type": "BN"}}
PRE_NORM = {f"{ENCODER_LAYER}.operation_order": ("norm", "self_attn", "norm", "ffn")}
LEAKY = {f"{PIXEL}.act_cfg": {"type": "LeakyReLU", "negative_slope": 0.1}}
PLAIN_LAYER = {
    f"{DECODER_LAYER}.type": "BaseTransformerLayer",
    f"{DECODER_FFN}.feedforward_channels": 24,
}

MODEL = [
    *rows(
        "model",
        REFUSED,
        ("type", "EncoderDecoder"),
        ("backbone", "beit"),
        ("decode_head", [1]),
        ("neck", {"type": "FPN"}),
        ("test_cfg", None),
    ),
    *rows(
        "model",
        NOTHING,
        ("pretrained", "beit.pth", {"reason": "a checkpoint is loaded over it"}),
        ("auxiliary_head", {"type": "FCNHead"}, {"reason": "serves a training loss only"}),
        ("train_cfg", {"num_points": 5}, {"reason": "belongs to the training loss"}),
        ("init_cfg", {"type": "Normal"}, {"reason": "a checkpoint is loaded over it"}),
    ),
]

BACKBONE_ROWS = [
    *rows(
        BACKBONE,
        ANSWER,
        ("pretrain_size", 32, {"given": ABSOLUTE, "also": {f"{BACKBONE}.img_size": 32}}),
        ("conv_inplane", 8),
        ("n_points", 3),
        ("deform_num_heads", 4),
        ("cffn_ratio", 0.25),
        ("deform_ratio", 1.0),
        ("with_cffn", False),
        ("interaction_indexes", [[0, 0], [1, 1], [2, 2], [0, 3]]),
        ("interaction_indexes", [[0, 1], [2, 3]], {"given": THREE_STAGES}),
        ("add_vit_feature", False),
        ("img_size", 96),
        ("img_size", (64, 96)),
        ("embed_dim", 32, {"also": {f"{HEAD}.in_channels": [32] * 4}}),
        ("depth", 5),
        ("num_heads", 4),
        ("mlp_ratio", 3),
        ("qkv_bias", False),
        ("qk_scale", 0.9),
        ("use_abs_pos_emb", True, {"also": {f"{BACKBONE}.pretrain_size": 64}}),
        ("use_rel_pos_bias", False),
        ("use_shared_rel_pos_bias", True),
    ),
    *rows(
        BACKBONE,
        REFUSED,
        ("type", "BEiT"),
        ("patch_size", 8),
        ("in_chans", 4),
        ("hybrid_backbone", {"type": "ResNet"}),
        ("norm_layer", "BatchNorm"),
        ("init_values", None),
        ("pretrain_size", 224, {"given": ABSOLUTE}),
        ("pretrain_size", 0),
        ("img_size", 8),
        ("img_size", (64, 64, 64)),
        ("deform_num_heads", 5),
        ("deform_ratio", 0.2),
        ("cffn_ratio", 0.01),
        ("mlp_ratio", 0),
        ("qk_scale", "big"),
        ("interaction_indexes", None),
        ("interaction_indexes", [[0, 4]] * 4),
        ("interaction_indexes", [[]] * 4),
        ("interaction_indexes", [0, 1, 2, 3]),
        ("add_vit_feature", True, {"also": {f"{BACKBONE}.interaction_indexes": [[0, 3]]}}),
        ("depth", 2.5),
        ("num_heads", True),
        ("drop_rate", 1.5),
        ("with_cp", 1),
    ),
    *rows(
        BACKBONE,
        TRAINING,
        ("drop_rate", 0.5),
        ("attn_drop_rate", 0.5),
        ("drop_path_rate", 0.5),
        ("with_cp", True),
    ),
    *rows(BACKBONE, START, ("init_values", 0.5)),
    *rows(
        BACKBONE,
        NOTHING,
        ("num_classes", 7, {"reason": "the built-in backbone has no classifier"}),
        ("use_checkpoint", True, {"reason": "the built-in backbone reads with_cp instead"}),
        ("pretrained", "beit.pth", {"reason": "a checkpoint is loaded over it"}),
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
        ("qk_scale", 0, {"reason": "means None"}),
        ("qk_scale", None, {"reason": "the default"}),
    ),
]

HEAD_ROWS = [
    *rows(
        HEAD,
        ANSWER,
        ("out_channels", 12),
        ("num_things_classes", 3),
        ("num_stuff_classes", 1),
        ("num_queries", 4),
        (
            "num_transformer_feat_level",
            2,
            {"also": {f"{ENCODER_ATTENTION}.num_levels": 2}},
        ),
        ("feat_channels", 32, {"also": WIDER_HEAD}),
        ("enforce_decoder_input_project", True),
        ("align_corners", True),
    ),
    *rows(
        HEAD,
        REFUSED,
        ("type", "MaskFormerHead"),
        ("in_channels", [256] * 4),
        ("in_channels", WIDTH),
        ("in_index", [0, 1, 2]),
        ("feat_channels", 0),
        ("num_classes", 4),
        ("num_things_classes", -1),
        ("num_stuff_classes", 0, {"also": {f"{HEAD}.num_things_classes": 0}}),
        ("num_transformer_feat_level", 2),
        ("num_transformer_feat_level", 5),
        ("pixel_decoder", None),
        ("transformer_decoder", "detr"),
        ("positional_encoding", None),
        ("align_corners", None),
    ),
    *rows(
        HEAD,
        NOTHING,
        ("loss_cls", {"type": "CrossEntropyLoss"}),
        ("loss_mask", {"type": "CrossEntropyLoss"}),
        ("loss_dice", {"type": "DiceLoss"}),
        ("loss_decode", {"type": "CrossEntropyLoss"}),
        ("train_cfg", {"num_points": 5}),
        ("sampler", {"type": "OHEMPixelSampler"}),
        ("ignore_index", 0),
        reason="belongs to the training loss",
    ),
    *rows(
        HEAD,
        NOTHING,
        ("test_cfg", {"mode": "whole"}, {"reason": "the segmentor overwrites it"}),
        ("init_cfg", {"type": "Normal"}, {"reason": "a checkpoint is loaded over it"}),
        ("dropout_ratio", 0.9, {"reason": "precedes conv_seg, which this head has not"}),
        ("conv_cfg", {"type": "Conv2d"}, {"reason": "this head has no such convolution"}),
        ("norm_cfg", {"type": "BN"}, {"reason": "this head has no such convolution"}),
        ("act_cfg", {"type": "GELU"}, {"reason": "this head has no such convolution"}),
        ("in_index", (0, 1, 2, 3), {"reason": "the same as a list"}),
        ("num_classes", 5, {"reason": "the sum of things and stuff"}),
    ),
]

PIXEL_ROWS = [
    *rows(
        PIXEL,
        ANSWER,
        ("norm_cfg", None),
        ("norm_cfg", {"type": "BN"}),
        ("act_cfg", None),
        ("act_cfg", {"type": "GELU"}),
    ),
    *rows(
        PIXEL,
        REFUSED,
        ("type", "PixelDecoder"),
        ("strides", [2, 4, 8, 16]),
        ("strides", 4),
        ("num_outs", 2),
        ("norm_cfg", {"type": "LN"}),
        ("norm_cfg", {"type": "GN", "num_groups": 5}),
        ("act_cfg", {"type": "Mish"}),
        ("encoder", None),
        ("positional_encoding", None),
    ),
    *rows(
        PIXEL,
        NOTHING,
        ("in_channels", [7] * 4, {"reason": "the head's is used"}),
        ("feat_channels", 7, {"reason": "the head's is used"}),
        ("out_channels", 7, {"reason": "the head's is used"}),
        ("num_outs", 4, {"reason": "the head reads the first ones only"}),
        ("init_cfg", {"type": "Xavier"}, {"reason": "a checkpoint is loaded over it"}),
    ),
    *rows(
        f"{PIXEL}.norm_cfg",
        ANSWER,
        ("type", "IN", {"given": BATCH_NORM}),
        ("num_groups", 2),
        ("eps", 0.5),
        ("affine", False),
        ("track_running_stats", False, {"given": BATCH_NORM}),
    ),
    *rows(
        f"{PIXEL}.norm_cfg",
        TRAINING,
        ("momentum", 0.7, {"given": BATCH_NORM}),
        ("requires_grad", False),
    ),
    *rows(
        f"{PIXEL}.norm_cfg",
        REFUSED,
        ("num_groups", 0),
        ("num_groups", 2, {"given": BATCH_NORM}),
        ("momentum", 0.7),
        ("track_running_stats", True),
        ("eps", "small"),
        ("affine", "yes"),
    ),
    *rows(f"{PIXEL}.act_cfg", ANSWER, ("type", "Tanh"), ("negative_slope", 0.4, {"given": LEAKY})),
    *rows(
        f"{PIXEL}.act_cfg",
        REFUSED,
        ("type", "Softmax"),
        ("negative_slope", 0.4),
        ("negative_slope", "steep", {"given": LEAKY}),
    ),
    *rows(f"{PIXEL}.act_cfg", NOTHING, ("inplace", False, {"reason": "saves memory only"})),
]

ENCODER_ROWS = [
    *rows(ENCODER, ANSWER, ("num_layers", 2)),
    *rows(
        ENCODER,
        REFUSED,
        ("type", "DetrTransformerDecoder"),
        ("num_layers", 0),
        ("transformerlayers", []),
        ("post_norm_cfg", None, {"given": PRE_NORM}),
    ),
    *rows(
        ENCODER,
        NOTHING,
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
        ("post_norm_cfg", None, {"reason": "only pre-norm layers are followed by a norm"}),
    ),
    Row(f"{ENCODER}.post_norm_cfg", {"type": "LN", "eps": 1.0}, ANSWER, given=PRE_NORM),
    *rows(
        ENCODER_LAYER,
        ANSWER,
        ("operation_order", ("norm", "self_attn", "norm", "ffn")),
        ("operation_order", ["self_attn", "norm", "ffn", "norm", "ffn", "norm"]),
        ("norm_cfg", {"type": "LN", "eps": 1.0}),
        ("feedforward_channels", 20),
        ("ffn_num_fcs", 3),
    ),
    *rows(
        ENCODER_LAYER,
        REFUSED,
        ("type", "DetrTransformerDecoderLayer"),
        ("batch_first", True),
        ("operation_order", ("cross_attn", "norm", "ffn", "norm")),
        ("operation_order", ("self_attn", "conv", "ffn")),
        ("operation_order", None),
        ("attn_cfgs", None),
        ("ffn_cfgs", [{}, {}]),
        ("norm_cfg", {"type": "BN"}),
    ),
    *rows(ENCODER_LAYER, TRAINING, ("ffn_dropout", 0.5)),
    *rows(
        ENCODER_LAYER,
        NOTHING,
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
        ("batch_first", False, {"reason": "the default"}),
    ),
    *rows(
        f"{ENCODER_LAYER}.norm_cfg",
        ANSWER,
        ("eps", 1.0),
        ("elementwise_affine", False),
        given={f"{ENCODER_LAYER}.norm_cfg": {"type": "LN"}},
    ),
    *rows(
        f"{ENCODER_LAYER}.norm_cfg",
        TRAINING,
        ("requires_grad", False),
        given={f"{ENCODER_LAYER}.norm_cfg": {"type": "LN"}},
    ),
    *rows(
        f"{ENCODER_LAYER}.norm_cfg",
        REFUSED,
        ("type", "GN"),
        given={f"{ENCODER_LAYER}.norm_cfg": {"type": "LN"}},
    ),
    *rows(
        ENCODER_ATTENTION,
        ANSWER,
        ("num_heads", 4),
        ("num_points", 3),
        (
            "num_levels",
            4,
            {"also": {f"{HEAD}.num_transformer_feat_level": 4, f"{PIXEL}.num_outs": 4}},
        ),
    ),
    *rows(
        ENCODER_ATTENTION,
        REFUSED,
        ("type", "MultiheadAttention"),
        ("embed_dims", 8),
        ("num_heads", 5),
        ("num_levels", 5),
        ("batch_first", True),
    ),
    *rows(ENCODER_ATTENTION, TRAINING, ("dropout", 0.5)),
    *rows(
        ENCODER_ATTENTION,
        NOTHING,
        ("im2col_step", 1, {"reason": "splits the work of mmcv's kernel only"}),
        ("norm_cfg", {"type": "BN"}, {"reason": "mmcv's attention holds no norm"}),
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
    ),
]


def feed_forward_rows(section):
    return [
        *rows(
            section,
            ANSWER,
            ("act_cfg", {"type": "GELU"}),
            ("act_cfg", {"type": "PReLU", "num_parameters": 1, "init": 0.4}),
            ("add_identity", False),
            ("add_residual", False),
        ),
        *rows(
            section,
            REFUSED,
            ("type", "MoE"),
            ("embed_dims", 8),
            ("act_cfg", None),
            ("act_cfg", {"type": "PReLU", "num_parameters": 1.5}),
            ("dropout_layer", {"type": "Shake"}),
        ),
        *rows(
            section,
            TRAINING,
            ("dropout_layer", {"type": "DropPath", "drop_prob": 0.5}),
            ("dropout_layer", {"type": "Dropout", "drop_prob": 0.5}),
            ("dropout_layer", {"type": "Dropout"}),
        ),
        *rows(
            section,
            NOTHING,
            ("with_cp", True, {"reason": "mmcv's feed-forward network drops it unread"}),
            ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
            ("dropout_layer", None, {"reason": "the default"}),
        ),
    ]


FEED_FORWARD = [
    *feed_forward_rows(ENCODER_FFN),
    *feed_forward_rows(DECODER_FFN),
    *rows(ENCODER_FFN, ANSWER, ("feedforward_channels", 20), ("num_fcs", 3)),
    *rows(
        ENCODER_FFN,
        REFUSED,
        ("num_fcs", 1),
        ("feedforward_channels", 0),
        ("ffn_drop", -0.1),
    ),
    *rows(
        ENCODER_FFN,
        TRAINING,
        ("ffn_drop", 0.5),
        ("dropout", 0.5, {"also": {f"{ENCODER_FFN}.ffn_drop": REMOVED}}),
    ),
    *rows(
        DECODER_FFN,
        NOTHING,
        ("feedforward_channels", 20),
        ("num_fcs", 3),
        ("ffn_drop", 0.5),
        reason="mmdet's DetrTransformerDecoderLayer puts its own keys over these",
    ),
    *rows(
        DECODER_FFN,
        ANSWER,
        ("feedforward_channels", 20),
        ("num_fcs", 3),
        given=PLAIN_LAYER | {f"{DECODER_LAYER}.feedforward_channels": None},
    ),
]

DECODER_ROWS = [
    *rows(
        DECODER,
        ANSWER,
        ("num_layers", 2),
        ("post_norm_cfg", {"type": "LN", "eps": 1.0}),
    ),
    *rows(
        DECODER,
        REFUSED,
        ("type", "DetrTransformerEncoder"),
        ("num_layers", "nine"),
        ("transformerlayers", None),
        ("post_norm_cfg", None),
    ),
    *rows(
        DECODER,
        NOTHING,
        ("return_intermediate", False, {"reason": "the head runs the layers itself"}),
        ("init_cfg", {"type": "Xavier"}, {"reason": "a checkpoint is loaded over it"}),
    ),
    *rows(
        DECODER_LAYER,
        ANSWER,
        ("feedforward_channels", 20),
        ("ffn_num_fcs", 3),
        ("norm_cfg", {"type": "LN", "eps": 1.0}),
        ("operation_order", ("norm", "cross_attn", "norm", "self_attn", "norm", "ffn")),
    ),
    *rows(
        DECODER_LAYER,
        REFUSED,
        ("type", "DetrTransformerEncoderLayer"),
        ("batch_first", True),
        ("operation_order", ("self_attn", "norm", "cross_attn", "norm", "ffn", "norm")),
        ("attn_cfgs", None),
        ("ffn_cfgs", None),
    ),
    *rows(DECODER_LAYER, TRAINING, ("ffn_dropout", 0.5)),
    *rows(
        DECODER_LAYER,
        NOTHING,
        ("act_cfg", {"type": "GELU"}, {"reason": "mmdet's layer drops it unread"}),
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
        ("type", "BaseTransformerLayer", {"reason": "the same with these settings"}),
    ),
    *rows(DECODER_ATTENTION, ANSWER, ("num_heads", 4)),
    *rows(
        DECODER_ATTENTION,
        REFUSED,
        ("type", "MultiScaleDeformableAttention"),
        ("embed_dims", 8),
        ("num_heads", 5),
        ("batch_first", True),
        ("dropout_layer", {"type": "Shake"}),
    ),
    *rows(
        DECODER_ATTENTION,
        TRAINING,
        ("attn_drop", 0.5),
        ("proj_drop", 0.5),
        ("dropout", 0.5),
        ("dropout_layer", {"type": "DropPath", "drop_prob": 0.5}),
    ),
    *rows(
        DECODER_ATTENTION,
        NOTHING,
        ("init_cfg", None, {"reason": "a checkpoint is loaded over it"}),
        ("dropout_layer", None, {"reason": "the default"}),
    ),
]


def encoding_rows(section, learned):
    return [
        *rows(
            section,
            ANSWER,
            ("temperature", 20),
            ("normalize", False),
            ("scale", 1.0),
            ("eps", 2.0),
            ("offset", 0.5),
        ),
        *rows(section, ANSWER, ("row_num_embed", 60), ("col_num_embed", 60), given=learned),
        *rows(
            section,
            REFUSED,
            ("type", "RelativePositionalEncoding"),
            ("num_feats", 4),
            ("temperature", "hot"),
            ("row_num_embed", 60),
        ),
        *rows(section, REFUSED, ("row_num_embed", 0), ("normalize", True), given=learned),
        *rows(section, NOTHING, ("init_cfg", None), reason="a checkpoint is loaded over it"),
        Row(section, LEARNED, ANSWER),
    ]


ENCODINGS = [
    *encoding_rows(PIXEL_ENCODING, LEARNED_PIXEL),
    *encoding_rows(HEAD_ENCODING, LEARNED_HEAD),
]

TABLE = [
    *MODEL,
    *BACKBONE_ROWS,
    *HEAD_ROWS,
    *PIXEL_ROWS,
    *ENCODER_ROWS,
    *FEED_FORWARD,
    *DECODER_ROWS,
    *ENCODINGS,
]

_BASE_LAYER = (
    "type attn_cfgs ffn_cfgs operation_order norm_cfg init_cfg batch_first "
    "feedforward_channels ffn_dropout ffn_num_fcs"
)
_FFN = (
    "type embed_dims feedforward_channels num_fcs act_cfg ffn_drop dropout_layer add_identity "
    "init_cfg with_cp"
)
_ENCODING = (
    "type num_feats temperature normalize scale eps offset init_cfg row_num_embed col_num_embed"
)

BUILTIN_KEYS = {
    "model": "type backbone decode_head neck auxiliary_head train_cfg test_cfg pretrained init_cfg",
    BACKBONE: "type pretrain_size conv_inplane n_points deform_num_heads init_values cffn_ratio "
    "deform_ratio with_cffn interaction_indexes add_vit_feature with_cp img_size patch_size "
    "in_chans num_classes embed_dim depth num_heads mlp_ratio qkv_bias qk_scale drop_rate "
    "attn_drop_rate drop_path_rate hybrid_backbone norm_layer use_checkpoint use_abs_pos_emb "
    "use_rel_pos_bias use_shared_rel_pos_bias pretrained",
    HEAD: "type in_channels feat_channels out_channels num_things_classes num_stuff_classes "
    "num_queries num_transformer_feat_level pixel_decoder enforce_decoder_input_project "
    "transformer_decoder positional_encoding loss_cls loss_mask loss_dice train_cfg test_cfg "
    "init_cfg dropout_ratio conv_cfg norm_cfg act_cfg in_index loss_decode ignore_index sampler "
    "align_corners",
    PIXEL: "type in_channels strides feat_channels out_channels num_outs norm_cfg act_cfg encoder "
    "positional_encoding init_cfg",
    f"{PIXEL}.norm_cfg": "type num_groups eps momentum affine track_running_stats requires_grad",
    f"{PIXEL}.act_cfg": "type inplace negative_slope",
    ENCODER: "type transformerlayers num_layers post_norm_cfg init_cfg",
    ENCODER_LAYER: _BASE_LAYER,
    f"{ENCODER_LAYER}.norm_cfg": "type eps elementwise_affine requires_grad",
    ENCODER_ATTENTION: "type embed_dims num_heads num_levels num_points im2col_step dropout "
    "batch_first norm_cfg init_cfg",
    ENCODER_FFN: _FFN,
    DECODER: "type transformerlayers num_layers post_norm_cfg return_intermediate init_cfg",
    DECODER_LAYER: f"{_BASE_LAYER} act_cfg",
    DECODER_ATTENTION: "type embed_dims num_heads attn_drop proj_drop dropout_layer init_cfg "
    "batch_first dropout",
    DECODER_FFN: _FFN,
    PIXEL_ENCODING: _ENCODING,
    HEAD_ENCODING: _ENCODING,
}
