"""What a network is built from: small frozen dataclasses, filled from `mmcv_config.py`.

Field names follow the configuration's keys where they are the field's terms. Sizes are
`(height, width)` in pixels.
"""

import math
from dataclasses import dataclass
from enum import Enum

Size = tuple[int, int]


class AdapterForm(str, Enum):
    """What the injectors' and extractors' deformable attention returns.

    `BUILTIN` adds the normalised query to the attended values, as ModelScope's built-in model does
    (mmcv's module adds its query when no identity is given). `AUTHORS` adds nothing, as the
    operator that the ViT-Adapter authors trained with.
    """

    BUILTIN = "builtin"
    AUTHORS = "authors"


def parse_adapter_form(value: object) -> AdapterForm:
    """Reads `adapter_form`; None means the built-in model's.

    Raises:
        ValueError: for an unknown form.
    """
    if value is None:
        return AdapterForm.BUILTIN
    try:
        return AdapterForm(value)
    except ValueError:
        raise ValueError(
            f"adapter_form={value!r}: expected 'builtin' (ModelScope's model, the default) or "
            "'authors' (checkpoints of the ViT-Adapter authors)"
        ) from None


@dataclass(frozen=True)
class Activation:
    """An activation by its class name in `torch.nn`, with its arguments."""

    kind: str = "ReLU"
    options: tuple[tuple[str, float | bool], ...] = ()


@dataclass(frozen=True)
class MapNorm:
    """A norm over feature maps: `GN`, `BN` or `IN`."""

    kind: str
    num_groups: int = 1
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    track_running_stats: bool = False
    requires_grad: bool = True


@dataclass(frozen=True)
class TokenNorm:
    """A layer norm over tokens."""

    eps: float = 1e-5
    elementwise_affine: bool = True
    requires_grad: bool = True


@dataclass(frozen=True)
class BranchDropout:
    """What is dropped from a residual branch in training: `Dropout`, `DropPath` or nothing."""

    kind: str | None = None
    probability: float = 0.0


@dataclass(frozen=True)
class SineEncoding:
    """Sine positional encoding; `num_feats` features for each axis."""

    num_feats: int
    temperature: float = 10000.0
    normalize: bool = False
    scale: float = 2 * math.pi
    eps: float = 1e-6
    offset: float = 0.0


@dataclass(frozen=True)
class LearnedEncoding:
    """Learned positional encoding for maps of at most this many rows and columns."""

    num_feats: int
    row_num_embed: int = 50
    col_num_embed: int = 50


Encoding = SineEncoding | LearnedEncoding


@dataclass(frozen=True)
class DeformableAttentionSettings:
    """Deformable self-attention of the pixel decoder."""

    num_heads: int
    num_levels: int
    num_points: int
    dropout: float = 0.1


@dataclass(frozen=True)
class AttentionSettings:
    """Multi-head attention of the transformer decoder."""

    num_heads: int
    attn_drop: float = 0.0
    proj_drop: float = 0.0
    branch_dropout: BranchDropout = BranchDropout()


@dataclass(frozen=True)
class FeedForwardSettings:
    """Feed-forward network; `num_fcs` counts its linear layers."""

    feedforward_channels: int
    num_fcs: int = 2
    activation: Activation = Activation()
    ffn_drop: float = 0.0
    branch_dropout: BranchDropout = BranchDropout()
    add_identity: bool = True


@dataclass(frozen=True)
class EncoderSettings:
    """The pixel decoder's deformable encoder."""

    num_layers: int
    operation_order: tuple[str, ...]
    attention: DeformableAttentionSettings
    ffn: FeedForwardSettings
    norm: TokenNorm
    post_norm: TokenNorm | None


@dataclass(frozen=True)
class PixelDecoderSettings:
    """The pixel decoder; `norm` and `activation` belong to its convolutions."""

    encoder: EncoderSettings
    positional_encoding: Encoding
    norm: MapNorm | None
    activation: Activation | None


@dataclass(frozen=True)
class DecoderSettings:
    """The masked-attention transformer decoder."""

    num_layers: int
    operation_order: tuple[str, ...]
    attention: AttentionSettings
    ffn: FeedForwardSettings
    norm: TokenNorm
    post_norm: TokenNorm


@dataclass(frozen=True)
class HeadSettings:
    """The Mask2Former head; `num_classes` does not count "no object"."""

    feat_channels: int
    out_channels: int
    num_classes: int
    num_queries: int
    num_transformer_feat_level: int
    pixel_decoder: PixelDecoderSettings
    transformer_decoder: DecoderSettings
    positional_encoding: Encoding
    enforce_decoder_input_project: bool
    align_corners: bool


@dataclass(frozen=True)
class BackboneSettings:
    """The ViT-Adapter around BEiT.

    `img_size` is the crop whose position bias was trained; rates are probabilities in [0, 1];
    `deform_ratio` and `cffn_ratio` scale `embed_dim`.
    """

    img_size: Size
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    qkv_bias: bool
    qk_scale: float | None
    drop_rate: float
    attn_drop_rate: float
    drop_path_rate: float
    init_values: float
    use_abs_pos_emb: bool
    use_rel_pos_bias: bool
    use_shared_rel_pos_bias: bool
    pretrain_size: int
    conv_inplane: int
    n_points: int
    deform_num_heads: int
    deform_ratio: float
    with_cffn: bool
    cffn_ratio: float
    interaction_indexes: tuple[tuple[int, ...], ...]
    add_vit_feature: bool
    with_cp: bool

    @property
    def grid(self) -> Size:
        """The trained crop in patches."""
        return self.img_size[0] // self.patch_size, self.img_size[1] // self.patch_size

    @property
    def position_grid(self) -> Size:
        """How absolute position embeddings are laid out: `pretrain_size` in patches."""
        side = self.pretrain_size // self.patch_size
        return side, side


@dataclass(frozen=True)
class WindowSettings:
    """How an image is cut: `slide` with windows of `crop_size` every `stride`, or `whole`."""

    mode: str
    crop_size: Size | None = None
    stride: Size | None = None


@dataclass(frozen=True)
class ModelSettings:
    """Everything that decides what the network answers."""

    backbone: BackboneSettings
    head: HeadSettings
    windows: WindowSettings
