"""Puts the network together from its settings."""

import torch
from torch import nn

from modelscope_vitadapter.config.settings import (
    PATCH_SIZE,
    AdapterForm,
    BackboneSettings,
    DecoderSettings,
    EncoderSettings,
    HeadSettings,
    ModelSettings,
)
from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.beit import Attention, Block, Mlp, PatchEmbed
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.interaction import ConvFFN, Extractor, Injector, InteractionBlock
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead, TransformerDecoder
from modelscope_vitadapter.network.pixel_decoder import (
    LEVELS,
    ConvModule,
    DeformableEncoder,
    MSDeformAttnPixelDecoder,
)
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule
from modelscope_vitadapter.network.transformer_layer import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    MaskedAttention,
)

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
    )


def _build_backbone(s: BackboneSettings, add_query: bool) -> BEiTAdapter:
    rates = torch.linspace(0, s.drop_path_rate, s.depth, device="cpu").tolist()
    stages = len(s.interaction_indexes)
    extras = [0] * (stages - 1) + [EXTRA_EXTRACTORS if s.use_extra_extractor else 0]
    return BEiTAdapter(
        embed_dim=s.embed_dim,
        patch_embed=PatchEmbed(patch_size=PATCH_SIZE, embed_dim=s.embed_dim),
        blocks=[_build_block(s, rate) for rate in rates],
        spatial_prior=SpatialPriorModule(inplanes=s.conv_inplane, embed_dim=s.embed_dim),
        interactions=[
            InteractionBlock(
                injector=_build_injector(s, add_query),
                extractor=_build_extractor(s, add_query),
                extra_extractors=[_build_extractor(s, add_query) for _ in range(extra)],
            )
            for extra in extras
        ],
        interaction_indexes=s.interaction_indexes,
        add_vit_feature=s.add_vit_feature,
    )


def _build_block(s: BackboneSettings, drop_path: float) -> Block:
    return Block(
        attention=Attention(embed_dim=s.embed_dim, num_heads=s.num_heads, table_grid=s.grid),
        mlp=Mlp(embed_dim=s.embed_dim, hidden_dim=int(s.embed_dim * s.mlp_ratio)),
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
        attention=_build_adapter_attention(s, LEVELS),
        embed_dim=s.embed_dim,
        init_values=s.init_values,
        add_query=add_query,
        with_cp=s.with_cp,
    )


def _build_extractor(s: BackboneSettings, add_query: bool) -> Extractor:
    hidden_dim = int(s.embed_dim * s.cffn_ratio)
    return Extractor(
        attention=_build_adapter_attention(s, 1),
        embed_dim=s.embed_dim,
        ffn=ConvFFN(embed_dim=s.embed_dim, hidden_dim=hidden_dim) if s.with_cffn else None,
        drop_path=s.drop_path_rate,
        add_query=add_query,
        with_cp=s.with_cp,
    )


def _build_head(s: HeadSettings, embed_dim: int) -> Mask2FormerHead:
    decoder = TransformerDecoder(
        layers=[
            _build_decoder_layer(s.decoder, s.feat_channels) for _ in range(s.decoder.num_layers)
        ],
        embed_dim=s.feat_channels,
    )
    return Mask2FormerHead(
        pixel_decoder=_build_pixel_decoder(s, embed_dim),
        transformer_decoder=decoder,
        num_classes=s.num_classes,
        num_queries=s.num_queries,
        feat_channels=s.feat_channels,
        out_channels=s.out_channels,
    )


def _build_pixel_decoder(s: HeadSettings, embed_dim: int) -> MSDeformAttnPixelDecoder:
    channels, groups = s.feat_channels, s.num_groups
    lateral = nn.Conv2d(embed_dim, channels, 1, bias=False)
    output = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return MSDeformAttnPixelDecoder(
        input_convs=[
            ConvModule(conv=nn.Conv2d(embed_dim, channels, 1), num_groups=groups)
            for _ in range(LEVELS)
        ],
        encoder=DeformableEncoder(
            layers=[_build_encoder_layer(s.encoder, channels) for _ in range(s.encoder.num_layers)]
        ),
        lateral_conv=ConvModule(conv=lateral, num_groups=groups),
        output_conv=ConvModule(conv=output, num_groups=groups, activated=True),
        mask_feature=nn.Conv2d(channels, s.out_channels, 1),
        feat_channels=channels,
    )


def _build_encoder_layer(s: EncoderSettings, channels: int) -> EncoderLayer:
    attention = MultiScaleDeformableAttention(
        embed_dim=channels,
        num_heads=s.num_heads,
        num_levels=LEVELS,
        num_points=s.num_points,
        value_dim=channels,
    )
    ffn = FeedForward(embed_dim=channels, hidden_dim=s.feedforward_channels)
    return EncoderLayer(attention=attention, ffn=ffn, embed_dim=channels)


def _build_decoder_layer(s: DecoderSettings, channels: int) -> DecoderLayer:
    return DecoderLayer(
        cross_attention=MaskedAttention(embed_dim=channels, num_heads=s.num_heads),
        self_attention=MaskedAttention(embed_dim=channels, num_heads=s.num_heads),
        ffn=FeedForward(embed_dim=channels, hidden_dim=s.feedforward_channels),
        embed_dim=channels,
    )
