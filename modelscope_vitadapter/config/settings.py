"""What a network is built from, filled from `mmcv_config.py`, whose keys name the fields.

What all published models have in common is no field: it stands in `network` and is checked.
"""

from dataclasses import dataclass
from enum import Enum

Size = tuple[int, int]
"""`(height, width)` in pixels."""

PATCH_SIZE = 16
"""Pixels of a patch's side: the adapter's pyramid has the fixed strides 8, 16 and 32."""


class AdapterForm(str, Enum):
    """What the injectors' and extractors' deformable attention returns.

    `BUILTIN` adds the normalised query to the attended values, as the built-in model does by mmcv's
    module. `AUTHORS` adds nothing, as the operator that the ViT-Adapter authors trained with.
    """

    BUILTIN = "builtin"
    AUTHORS = "authors"


def parse_adapter_form(value: object) -> AdapterForm:
    """Reads `adapter_form`, None for the built-in model's; `ValueError` for an unknown one."""
    try:
        return AdapterForm.BUILTIN if value is None else AdapterForm(value)
    except ValueError:
        raise ValueError(
            f"adapter_form={value!r}: expected 'builtin' (ModelScope's model, the default) or "
            "'authors' (checkpoints of the ViT-Adapter authors)"
        ) from None


@dataclass(frozen=True)
class BackboneSettings:
    """The ViT-Adapter around BEiT.

    Attributes:
        img_size: the window whose position bias was trained.
        embed_dim: channels of all tokens.
        depth: blocks of the ViT.
        num_heads: heads of a block's attention.
        mlp_ratio: hidden channels of a block's feed-forward network, times `embed_dim`.
        init_values: what layer scales start from.
        drop_path_rate: chance of the last block's branches to be dropped in training, in [0, 1].
        conv_inplane: channels of the spatial prior's first map.
        n_points: points that the adapter's attention samples for each head and level.
        deform_num_heads: heads of the adapter's attention.
        deform_ratio: channels of its values, times `embed_dim`.
        with_cffn: whether extractors have a feed-forward network.
        cffn_ratio: its hidden channels, times `embed_dim`.
        interaction_indexes: first and last block of each stage, both included.
        use_extra_extractor: whether the last stage has two more extractors.
        add_vit_feature: whether the ViT's maps are added to the pyramid's; for four stages.
        with_cp: whether activations are computed again in the backward pass, which saves memory.
    """

    img_size: Size
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    init_values: float
    drop_path_rate: float
    conv_inplane: int
    n_points: int
    deform_num_heads: int
    deform_ratio: float
    with_cffn: bool
    cffn_ratio: float
    interaction_indexes: tuple[tuple[int, int], ...]
    use_extra_extractor: bool
    add_vit_feature: bool
    with_cp: bool

    @property
    def grid(self) -> Size:
        """The trained window in patches."""
        return self.img_size[0] // PATCH_SIZE, self.img_size[1] // PATCH_SIZE


@dataclass(frozen=True)
class EncoderSettings:
    """The pixel decoder's deformable encoder; `num_points` for each head and level."""

    num_layers: int
    num_heads: int
    num_points: int
    feedforward_channels: int


@dataclass(frozen=True)
class DecoderSettings:
    """The masked-attention transformer decoder."""

    num_layers: int
    num_heads: int
    feedforward_channels: int


@dataclass(frozen=True)
class HeadSettings:
    """The Mask2Former head.

    Attributes:
        feat_channels: channels of its tokens and queries.
        out_channels: channels of the mask features.
        num_classes: "no object" not counted.
        num_queries: masks that are predicted.
        num_groups: groups of the pixel decoder's norms.
        encoder: of the pixel decoder.
        decoder: of the queries.
    """

    feat_channels: int
    out_channels: int
    num_classes: int
    num_queries: int
    num_groups: int
    encoder: EncoderSettings
    decoder: DecoderSettings


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
