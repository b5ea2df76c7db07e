"""Puts the network together from its settings."""

import torch
from torch import nn

from modelscope_vitadapter.config.settings import (
    Activation,
    AdapterForm,
    BackboneSettings,
    BranchDropout,
    DecoderSettings,
    EncoderSettings,
    Encoding,
    FeedForwardSettings,
    HeadSettings,
    MapNorm,
    ModelSettings,
    SineEncoding,
    TokenNorm,
)
from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.beit import (
    Attention,
    Block,
    Mlp,
    PatchEmbed,
    SharedPositionBias,
)
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.drop_path import DropPath
from modelscope_vitadapter.network.interaction import (
    ConvFFN,
    Extractor,
    Injector,
    InteractionBlock,
)
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead, TransformerDecoder
from modelscope_vitadapter.network.pixel_decoder import (
    ConvModule,
    DeformableEncoder,
    MSDeformAttnPixelDecoder,
)
from modelscope_vitadapter.network.positional_encoding import (
    LearnedPositionalEncoding,
    PositionalEncoding,
    SinePositionalEncoding,
)
from modelscope_vitadapter.network.sample_noise import Dropout
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule
from modelscope_vitadapter.network.transformer_layer import (
    FeedForward,
    MaskedAttention,
    TransformerLayer,
)

BACKBONE_LEVELS = 4
EXTRA_EXTRACTORS = 2


def build_network(
    settings: ModelSettings, *, adapter_form: AdapterForm = AdapterForm.BUILTIN
) -> EncoderDecoderMask2Former:
    """Builds the network with parameters as PyTorch initialises them.

    Build under `torch.device("meta")` to take no memory before a checkpoint is loaded.

    Args:
        settings: what `parse_model` gives.
        adapter_form: what the adapter's deformable attention returns.

    Returns:
        A network that maps windows `(B, 3, H, W)` to a class and a mask for each query, see
        `EncoderDecoderMask2Former.forward`.
    """
    return EncoderDecoderMask2Former(
        backbone=_build_backbone(settings.backbone, adapter_form is AdapterForm.BUILTIN),
        decode_head=_build_head(settings.head, settings.backbone.embed_dim),
        num_classes=settings.head.num_classes,
        align_corners=settings.head.align_corners,
    )


def _build_backbone(s: BackboneSettings, add_query: bool) -> BEiTAdapter:
    rates = torch.linspace(0, s.drop_path_rate, s.depth, device="cpu").tolist()
    last = len(s.interaction_indexes) - 1
    return BEiTAdapter(
        embed_dim=s.embed_dim,
        patch_embed=PatchEmbed(patch_size=s.patch_size, embed_dim=s.embed_dim),
        blocks=[_build_block(s, rate) for rate in rates],
        spatial_prior=SpatialPriorModule(inplanes=s.conv_inplane, embed_dim=s.embed_dim),
        interactions=[
            InteractionBlock(
                injector=_build_injector(s, add_query),
                extractor=_build_extractor(s, add_query),
                extra_extractors=[
                    _build_extractor(s, add_query)
                    for _ in range(EXTRA_EXTRACTORS if i == last else 0)
                ],
            )
            for i in range(last + 1)
        ],
        interaction_indexes=s.interaction_indexes,
        add_vit_feature=s.add_vit_feature,
        position_grid=s.position_grid if s.use_abs_pos_emb else None,
        num_positions=1 + s.grid[0] * s.grid[1],
        shared_position_bias=SharedPositionBias(table_grid=s.grid, num_heads=s.num_heads)
        if s.use_shared_rel_pos_bias
        else None,
        drop_rate=s.drop_rate,
    )


def _build_block(s: BackboneSettings, drop_path: float) -> Block:
    attention = Attention(
        embed_dim=s.embed_dim,
        num_heads=s.num_heads,
        qkv_bias=s.qkv_bias,
        qk_scale=s.qk_scale,
        table_grid=s.grid if s.use_rel_pos_bias else None,
        attn_drop=s.attn_drop_rate,
        proj_drop=s.drop_rate,
    )
    hidden_dim = int(s.embed_dim * s.mlp_ratio)
    return Block(
        attention=attention,
        mlp=Mlp(embed_dim=s.embed_dim, hidden_dim=hidden_dim, drop=s.drop_rate),
        embed_dim=s.embed_dim,
        init_values=s.init_values,
        drop_path=drop_path,
        with_cp=s.with_cp,
    )


def _build_adapter_attention(s: BackboneSettings, levels: int) -> MultiScaleDeformableAttention:
    return MultiScaleDeformableAttention(
        embed_dim=s.embed_dim,
        num_heads=s.deform_num_heads,
        num_levels=levels,
        num_points=s.n_points,
        value_dim=int(s.embed_dim * s.deform_ratio),
    )


def _build_injector(s: BackboneSettings, add_query: bool) -> Injector:
    return Injector(
        attention=_build_adapter_attention(s, levels=3),
        embed_dim=s.embed_dim,
        init_values=s.init_values,
        add_query=add_query,
        with_cp=s.with_cp,
    )


def _build_extractor(s: BackboneSettings, add_query: bool) -> Extractor:
    ffn = ConvFFN(embed_dim=s.embed_dim, hidden_dim=int(s.embed_dim * s.cffn_ratio))
    return Extractor(
        attention=_build_adapter_attention(s, levels=1),
        embed_dim=s.embed_dim,
        ffn=ffn if s.with_cffn else None,
        drop_path=s.drop_path_rate,
        add_query=add_query,
        with_cp=s.with_cp,
    )


def _build_head(s: HeadSettings, embed_dim: int) -> Mask2FormerHead:
    def projection() -> nn.Conv2d | nn.Identity:
        if s.enforce_decoder_input_project:
            return nn.Conv2d(s.feat_channels, s.feat_channels, 1)
        return nn.Identity()

    return Mask2FormerHead(
        pixel_decoder=_build_pixel_decoder(s, embed_dim),
        transformer_decoder=_build_decoder(s.transformer_decoder, s.feat_channels),
        positional_encoding=_build_encoding(s.positional_encoding),
        decoder_input_projs=[projection() for _ in range(s.num_transformer_feat_level)],
        num_classes=s.num_classes,
        num_queries=s.num_queries,
        feat_channels=s.feat_channels,
        out_channels=s.out_channels,
    )


def _build_pixel_decoder(s: HeadSettings, embed_dim: int) -> MSDeformAttnPixelDecoder:
    decoder, channels = s.pixel_decoder, s.feat_channels
    levels = decoder.encoder.attention.num_levels
    bias = decoder.norm is None

    def conv(
        in_channels: int, kernel: int, bias: bool, activation: Activation | None
    ) -> ConvModule:
        return ConvModule(
            conv=nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=bias),
            norm=None if decoder.norm is None else _build_map_norm(decoder.norm, channels),
            norm_name="" if decoder.norm is None else decoder.norm.kind.lower(),
            activation=None if activation is None else _build_activation(activation),
        )

    finer = range(BACKBONE_LEVELS - levels)
    return MSDeformAttnPixelDecoder(
        input_convs=[conv(embed_dim, 1, True, None) for _ in range(levels)],
        encoder=_build_encoder(decoder.encoder, channels),
        positional_encoding=_build_encoding(decoder.positional_encoding),
        lateral_convs=[conv(embed_dim, 1, bias, None) for _ in finer],
        output_convs=[conv(channels, 3, bias, decoder.activation) for _ in finer],
        mask_feature=nn.Conv2d(channels, s.out_channels, 1),
        feat_channels=channels,
    )


def _build_encoder(s: EncoderSettings, channels: int) -> DeformableEncoder:
    def attention() -> MultiScaleDeformableAttention:
        return MultiScaleDeformableAttention(
            embed_dim=channels,
            num_heads=s.attention.num_heads,
            num_levels=s.attention.num_levels,
            num_points=s.attention.num_points,
            dropout=s.attention.dropout,
        )

    return DeformableEncoder(
        layers=[
            _build_layer(s.operation_order, [attention()], s.ffn, s.norm, channels)
            for _ in range(s.num_layers)
        ],
        post_norm=None if s.post_norm is None else _build_token_norm(s.post_norm, channels),
    )


def _build_decoder(s: DecoderSettings, channels: int) -> TransformerDecoder:
    def attention() -> MaskedAttention:
        return MaskedAttention(
            embed_dim=channels,
            num_heads=s.attention.num_heads,
            attn_drop=s.attention.attn_drop,
            proj_drop=s.attention.proj_drop,
            branch_dropout=_build_branch_dropout(s.attention.branch_dropout),
        )

    return TransformerDecoder(
        layers=[
            _build_layer(s.operation_order, [attention(), attention()], s.ffn, s.norm, channels)
            for _ in range(s.num_layers)
        ],
        post_norm=_build_token_norm(s.post_norm, channels),
    )


def _build_layer(
    operation_order: tuple[str, ...],
    attentions: list[nn.Module],
    ffn: FeedForwardSettings,
    norm: TokenNorm,
    channels: int,
) -> TransformerLayer:
    def feed_forward() -> FeedForward:
        return FeedForward(
            embed_dim=channels,
            hidden_dim=ffn.feedforward_channels,
            num_layers=ffn.num_fcs,
            activation=_build_activation(ffn.activation),
            dropout=ffn.ffn_drop,
            branch_dropout=_build_branch_dropout(ffn.branch_dropout),
            add_identity=ffn.add_identity,
        )

    return TransformerLayer(
        operation_order=operation_order,
        attentions=attentions,
        ffns=[feed_forward() for _ in range(operation_order.count("ffn"))],
        norms=[_build_token_norm(norm, channels) for _ in range(operation_order.count("norm"))],
    )


def _build_encoding(s: Encoding) -> PositionalEncoding:
    if isinstance(s, SineEncoding):
        return SinePositionalEncoding(
            num_feats=s.num_feats,
            temperature=s.temperature,
            normalize=s.normalize,
            scale=s.scale,
            eps=s.eps,
            offset=s.offset,
        )
    return LearnedPositionalEncoding(
        num_feats=s.num_feats, row_num_embed=s.row_num_embed, col_num_embed=s.col_num_embed
    )


def _build_branch_dropout(s: BranchDropout) -> Dropout | DropPath | nn.Identity:
    if s.kind == "Dropout":
        return Dropout(s.probability)
    return DropPath(s.probability) if s.kind == "DropPath" else nn.Identity()


def _build_map_norm(s: MapNorm, channels: int) -> nn.Module:
    norm: nn.Module
    if s.kind == "GN":
        norm = nn.GroupNorm(s.num_groups, channels, eps=s.eps, affine=s.affine)
    else:
        cls = nn.BatchNorm2d if s.kind == "BN" else nn.InstanceNorm2d
        norm = cls(
            channels,
            eps=s.eps,
            momentum=s.momentum,
            affine=s.affine,
            track_running_stats=s.track_running_stats,
        )
    return norm.requires_grad_(s.requires_grad)


def _build_token_norm(s: TokenNorm, channels: int) -> nn.LayerNorm:
    norm = nn.LayerNorm(channels, eps=s.eps, elementwise_affine=s.elementwise_affine)
    return norm.requires_grad_(s.requires_grad)


def _build_activation(s: Activation) -> nn.Module:
    activation: nn.Module = getattr(nn, s.kind)(**dict(s.options))
    return activation
