"""What changing each setting of the tiny model does; `docs/configuration.md` says what it means."""

from dataclasses import dataclass, field

from tests.support.configs import widths

BACKBONE = "model.backbone"
HEAD = "model.decode_head"
PIXEL = f"{HEAD}.pixel_decoder"
ENCODER = f"{PIXEL}.encoder"
ENCODER_LAYER = f"{ENCODER}.transformerlayers"
DECODER = f"{HEAD}.transformer_decoder"
DECODER_LAYER = f"{DECODER}.transformerlayers"

ANSWER = "answer"
"""The state dict's names or shapes change, or the logits do."""
TRAINING = "training"
"""Logits stay; a training step changes."""
START = "start"
"""Only what parameters start from changes; a checkpoint overwrites it."""
NOTHING = "nothing"
"""The settings are the same."""
REFUSED = "refused"
"""A `ConfigError` names the setting."""


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

    @property
    def key(self):
        return self.path.rsplit(".", 1)[1]

    @property
    def name(self):
        return f"{self.path.removeprefix('model.')}={self.value!r}"[:90]


def rows(effect, section, *entries, **values):
    """Rows of one section: `(key, value)` or `(key, value, options)`, or by keyword."""
    pairs = [*entries, *((key, value) for key, value in values.items())]
    return [
        Row(f"{section}.{key}", value, effect, **(more[0] if more else {}))
        for key, value, *more in pairs
    ]


NOT_ADDED = {"given": {f"{BACKBONE}.add_vit_feature": False}}
ATTENTIONS = (f"{ENCODER_LAYER}.attn_cfgs", f"{DECODER_LAYER}.attn_cfgs")
FEED_FORWARDS = (f"{ENCODER_LAYER}.ffn_cfgs", f"{DECODER_LAYER}.ffn_cfgs")
ENCODINGS = (f"{HEAD}.positional_encoding", f"{PIXEL}.positional_encoding")
NOT_DROPPED = {"type": "Dropout", "drop_prob": 0.0}

BUILDING = [
    *rows(
        ANSWER,
        BACKBONE,
        ("embed_dim", 32, {"also": widths(backbone=32)}),
        ("img_size", (64, 96)),
        ("interaction_indexes", [[0, 1], [2, 3]], NOT_ADDED),
        ("interaction_indexes", [[0, 0], [2, 3]], NOT_ADDED),
        img_size=96,
        depth=5,
        num_heads=4,
        mlp_ratio=3,
        conv_inplane=8,
        n_points=3,
        deform_num_heads=4,
        deform_ratio=1.0,
        with_cffn=False,
        cffn_ratio=0.25,
        use_extra_extractor=False,
        add_vit_feature=False,
    ),
    *rows(TRAINING, BACKBONE, drop_path_rate=0.5, with_cp=True),
    *rows(START, BACKBONE, init_values=0.5),
    *rows(
        ANSWER,
        HEAD,
        ("feat_channels", 32, {"also": widths(head=32)}),
        out_channels=12,
        num_things_classes=3,
        num_stuff_classes=1,
        num_queries=4,
    ),
    *rows(ANSWER, f"{PIXEL}.norm_cfg", num_groups=2),
    *rows(ANSWER, ENCODER, num_layers=2),
    *rows(ANSWER, f"{ENCODER_LAYER}.attn_cfgs", num_heads=4, num_points=3),
    *rows(ANSWER, f"{ENCODER_LAYER}.ffn_cfgs", feedforward_channels=20),
    *rows(ANSWER, ENCODER_LAYER, feedforward_channels=20),
    *rows(ANSWER, DECODER, num_layers=2),
    *rows(ANSWER, DECODER_LAYER, feedforward_channels=20),
    *rows(ANSWER, f"{DECODER_LAYER}.attn_cfgs", num_heads=4),
]

PASSED_OVER = [
    *rows(NOTHING, "model", type="EncoderDecoderMask2FormerAug", neck=None),
    *rows(NOTHING, "model", pretrained="beit.pth", auxiliary_head={"type": "FCNHead"}),
    *rows(NOTHING, "model", train_cfg={"num_points": 5}, init_cfg={"type": "Normal"}),
    *rows(NOTHING, BACKBONE, num_classes=7, use_checkpoint=True, pretrain_size=7, init_cfg=[1]),
    *rows(NOTHING, BACKBONE, qk_scale=None, in_chans=3, use_shared_rel_pos_bias=False),
    *rows(NOTHING, BACKBONE, hybrid_backbone=None, norm_layer=None, drop_rate=0.0),
    *rows(NOTHING, HEAD, type="Mask2FormerHead", num_classes=5, in_index=(0, 1, 2, 3)),
    *rows(NOTHING, HEAD, loss_cls=1, loss_mask=2, loss_dice=3, train_cfg=4, sampler=5),
    *rows(NOTHING, HEAD, test_cfg={"mode": "whole"}, dropout_ratio=0.9, ignore_index=0),
    *rows(NOTHING, HEAD, conv_cfg=1, norm_cfg={"type": "BN"}, act_cfg={"type": "GELU"}),
    *rows(NOTHING, PIXEL, in_channels=[7] * 4, feat_channels=7, out_channels=7, init_cfg=8),
    *rows(NOTHING, PIXEL, strides=(4, 8, 16, 32), num_outs=3),
    *rows(NOTHING, f"{PIXEL}.act_cfg", inplace=False),
    *rows(NOTHING, f"{PIXEL}.norm_cfg", eps=1e-5, requires_grad=True),
    *rows(NOTHING, ENCODER, post_norm_cfg=None, init_cfg=None),
    *rows(NOTHING, ENCODER_LAYER, operation_order=["self_attn", "norm", "ffn", "norm"]),
    *rows(NOTHING, f"{ENCODER_LAYER}.attn_cfgs", im2col_step=1, norm_cfg=2, batch_first=False),
    *rows(NOTHING, DECODER, return_intermediate=False, post_norm_cfg={"type": "LN"}),
    *rows(NOTHING, DECODER_LAYER, act_cfg={"type": "GELU"}, ffn_num_fcs=2, ffn_dropout=0.0),
    *rows(
        NOTHING,
        DECODER_LAYER,
        ("type", "BaseTransformerLayer"),
        ("norm_cfg", {"type": "LN", "eps": 1e-5, "requires_grad": True}),
    ),
    *rows(NOTHING, f"{DECODER_LAYER}.ffn_cfgs", feedforward_channels=99),  # the layer's own wins
    *rows(NOTHING, f"{DECODER_LAYER}.attn_cfgs", attn_drop=0.0, proj_drop=0, dropout=0.0),
    *(row for part in ATTENTIONS for row in rows(NOTHING, part, dropout=0, init_cfg=None)),
    *rows(NOTHING, ATTENTIONS[1], dropout_layer=NOT_DROPPED),
    *(
        row
        for part in FEED_FORWARDS
        for row in rows(NOTHING, part, with_cp=True, add_residual=True)
    ),
    *(row for part in FEED_FORWARDS for row in rows(NOTHING, part, dropout_layer=None, dropout=0)),
    *(row for part in FEED_FORWARDS for row in rows(NOTHING, part, dropout_layer=NOT_DROPPED)),
    *(row for part in ENCODINGS for row in rows(NOTHING, part, offset=0.0, temperature=10000.0)),
]

NOT_HONOURED = [
    *rows(REFUSED, "model", type="EncoderDecoder", backbone="beit", decode_head=[1], test_cfg=None),
    *rows(REFUSED, "model", neck={"type": "FPN"}),
    *rows(
        REFUSED,
        BACKBONE,
        ("img_size", 8),
        ("img_size", (64, 64, 64)),
        ("interaction_indexes", None),
        ("interaction_indexes", [[0, 4]] * 4),
        ("interaction_indexes", [[]] * 4),
        ("interaction_indexes", [0, 1, 2, 3]),
        ("interaction_indexes", [[1, 0], [2, 2]], NOT_ADDED),
        ("interaction_indexes", [[0, 1], [1, 2]], NOT_ADDED),
        ("add_vit_feature", True, {"also": {f"{BACKBONE}.interaction_indexes": [[0, 3]]}}),
        ("depth", 2.5),
        type="ViTAdapter",
        patch_size=8,
        in_chans=4,
        hybrid_backbone={"type": "ResNet"},
        norm_layer="BatchNorm",
        qkv_bias=False,
        qk_scale=0.9,
        drop_rate=0.1,
        attn_drop_rate=0.1,
        use_abs_pos_emb=True,
        use_rel_pos_bias=False,
        use_shared_rel_pos_bias=True,
        embed_dim=65537,
        depth=129,
        num_heads=5,
        deform_num_heads=5,
        deform_ratio=0.2,
        mlp_ratio=0,
        cffn_ratio=0.01,
        conv_inplane=4097,
        n_points=65,
        init_values=None,
        drop_path_rate=1.5,
        with_cp=1,
    ),
    *rows(
        REFUSED,
        HEAD,
        ("in_channels", [256] * 4),
        ("num_stuff_classes", 0, {"also": {f"{HEAD}.num_things_classes": 0}}),
        type="MaskFormerHead",
        in_channels=16,
        in_index=[0, 1, 2],
        feat_channels=0,
        num_classes=4,
        num_things_classes=-1,
        num_queries=4097,
        num_transformer_feat_level=2,
        enforce_decoder_input_project=True,
        align_corners=True,
        pixel_decoder=None,
        transformer_decoder="detr",
        positional_encoding=None,
    ),
    *rows(REFUSED, PIXEL, type="PixelDecoder", strides=[2, 4, 8, 16], num_outs=4, encoder=None),
    *rows(REFUSED, PIXEL, norm_cfg=None, act_cfg=None, positional_encoding=[]),
    *rows(REFUSED, f"{PIXEL}.norm_cfg", type="BN", num_groups=5, eps=0.5, requires_grad=False),
    *rows(REFUSED, f"{PIXEL}.act_cfg", type="GELU"),
    *rows(REFUSED, ENCODER, type="DetrTransformerDecoder", num_layers=0, transformerlayers=[]),
    *rows(REFUSED, ENCODER_LAYER, ("operation_order", ("norm", "self_attn", "norm", "ffn"))),
    *rows(REFUSED, ENCODER_LAYER, type="DetrTransformerDecoderLayer", batch_first=True),
    *rows(REFUSED, f"{ENCODER_LAYER}.attn_cfgs", type="MultiheadAttention", num_levels=4),
    *rows(REFUSED, f"{ENCODER_LAYER}.attn_cfgs", dropout=0.1, num_points=65),
    *rows(REFUSED, DECODER, type="DetrTransformerEncoder", num_layers="nine", post_norm_cfg=None),
    *rows(REFUSED, DECODER_LAYER, type="DetrTransformerEncoderLayer", norm_cfg={"type": "BN"}),
    *rows(REFUSED, DECODER_LAYER, ffn_dropout=0.5, ffn_num_fcs=3, ffn_cfgs=[{}, {}]),
    *rows(REFUSED, f"{DECODER_LAYER}.attn_cfgs", attn_drop=0.1, proj_drop=0.1, dropout=0.1),
    *rows(REFUSED, f"{DECODER_LAYER}.attn_cfgs", dropout_layer={"type": "Dropout"}),
    *(row for part in ATTENTIONS for row in rows(REFUSED, part, embed_dims=8, num_heads=5)),
    *(row for part in FEED_FORWARDS for row in rows(REFUSED, part, num_fcs=3, ffn_drop=0.1)),
    *(row for part in FEED_FORWARDS for row in rows(REFUSED, part, act_cfg={"type": "GELU"})),
    *(row for part in FEED_FORWARDS for row in rows(REFUSED, part, type="MoE", embed_dims=8)),
    *(row for part in FEED_FORWARDS for row in rows(REFUSED, part, add_identity=False)),
    *(row for part in ENCODINGS for row in rows(REFUSED, part, normalize=False, num_feats=4)),
    *(row for part in ENCODINGS for row in rows(REFUSED, part, temperature=20, scale=1.0, eps=2)),
    *(row for part in ENCODINGS for row in rows(REFUSED, part, type="LearnedPositionalEncoding")),
]

TABLE = [*BUILDING, *PASSED_OVER, *NOT_HONOURED]
