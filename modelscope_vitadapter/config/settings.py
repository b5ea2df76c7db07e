"""What a network is built from, filled from `mmcv_config.py`, whose keys name the fields.

What all published models have in common is no field: it stands in `network` and is checked.
"""

from dataclasses import dataclass
from enum import Enum

Size = tuple[int, int]
"""`(height, width)` in pixels."""

PATCH_SIZE = 16  # pixels of a patch's side: the pyramid has the fixed strides 8, 16 and 32


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
    """The ViT-Adapter around BEiT."""

    img_size: Size  # the window whose position bias was trained
    embed_dim: int  # channels of all tokens
    depth: int  # blocks of the ViT
    num_heads: int  # of a block's attention
    mlp_ratio: float  # hidden channels of a block's feed-forward network, times `embed_dim`
    init_values: float  # what layer scales start from
    drop_path_rate: float  # chance in [0, 1] of the last block's branches to be dropped in training
    conv_inplane: int  # channels of the spatial prior's first map
    n_points: int  # that the adapter's attention samples for each head and level
    deform_num_heads: int  # of the adapter's attention
    deform_ratio: float  # channels of its values, times `embed_dim`
    with_cffn: bool  # whether extractors have a feed-forward network
    cffn_ratio: float  # its hidden channels, times `embed_dim`
    interaction_indexes: tuple[tuple[int, int], ...]  # first and last block of each stage, included
    use_extra_extractor: bool  # whether the last stage has two more extractors
    add_vit_feature: bool  # whether the ViT's maps are added to the pyramid's; for four stages
    with_cp: bool  # whether the backward pass computes activations again, which saves memory

    @property
    def grid(self) -> Size:
        """The trained window in patches."""
        return self.img_size[0] // PATCH_SIZE, self.img_size[1] // PATCH_SIZE


@dataclass(frozen=True)
class EncoderSettings:
    """The pixel decoder's deformable encoder."""

    num_layers: int
    num_heads: int
    num_points: int  # for each head and level
    feedforward_channels: int


@dataclass(frozen=True)
class DecoderSettings:
    """The masked-attention transformer decoder."""

    num_layers: int
    num_heads: int
    feedforward_channels: int


@dataclass(frozen=True)
class HeadSettings:
    """The Mask2Former head."""

    feat_channels: int  # of its tokens and queries
    out_channels: int  # of the mask features
    num_classes: int  # "no object" not counted
    num_queries: int  # masks that are predicted
    num_groups: int  # of the pixel decoder's norms
    encoder: EncoderSettings  # of the pixel decoder
    decoder: DecoderSettings  # of the queries


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
