"""What training starts from: a network in memory, filled as far as checkpoints fit."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
from modelscope_vitadapter.checkpoint.names import hub_name, is_left_over, is_optional, plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.stored import Checkpoint
from modelscope_vitadapter.config.model_config import ModelConfig
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.position_bias import (
    EXTRA_ROWS,
    GridSize,
    table_for_window,
    table_length,
)
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.segmenter import Segmenter
from modelscope_vitadapter.validation import listing

TABLE = "relative_position_bias_table"
SHARED_TABLE = f"backbone.rel_pos_bias.{TABLE}"
"""BEiT's pre-training shares one table among its blocks; fine-tuned checkpoints have one each."""

BEIT_STD, BEIT_WIDTH = 0.02, 1024
"""BEiT-L's standard deviation of weights, and the width that it goes with."""

LEANING = 4.0
"""Logit by which a query that starts fresh leans to its class."""

logger = get_logger()


def initialize(
    model_dir: Path,
    source: ModelConfig,
    config: ModelConfig,
    *,
    from_scratch: bool = False,
    beit: Path | None = None,
    adapter_form: AdapterForm = AdapterForm.BUILTIN,
    seed: int = 0,
) -> Segmenter:
    """A model in memory that training can start from.

    Args:
        model_dir: directory of the model that weights are taken from.
        source: that directory's configuration.
        config: of the model to make: `source` itself, or what `changed_config` made of it.
        from_scratch: take no weights of the directory; no checkpoint is needed in it then.
        beit: checkpoint of a BEiT backbone, which goes before the directory's weights.
        adapter_form: see `AdapterForm`.
        seed: of weights that no checkpoint gives.

    Raises:
        CheckpointError: a checkpoint can't be read, or belongs to another network.
    """
    if config is source and not from_scratch and beit is None:
        with torch.device("meta"):
            network = build_network(config.settings, adapter_form=adapter_form)
        load_into(network, find_checkpoint(model_dir))
        return Segmenter(network.eval(), config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config.settings, adapter_form=adapter_form)
        set_fresh_weights(network)
    trained, grid = source.settings.backbone.grid, config.settings.backbone.grid
    if not from_scratch:
        with open_checkpoint(find_checkpoint(model_dir)) as file:
            sources = plan_names(file.tensors, network.state_dict())
            taken = _fill(network, file, sources, trained, grid)
        _check_model(network, taken, file.path)
    if beit is not None:
        with open_checkpoint(beit) as file:
            sources = _beit_sources(file.tensors, network.state_dict())
            taken = _fill(network, file, sources, grid, grid)
        _check_beit(network, taken, beit)
    return Segmenter(network.eval(), config)


def _check_model(network: nn.Module, taken: set[str], path: Path) -> None:
    """Raises CheckpointError where hardly anything of a model's checkpoint fits."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    if 2 * sum(sizes.get(name, 0) for name in taken) < sum(sizes.values()):
        raise CheckpointError(
            f"Of the checkpoint '{path}' {len(taken)} entries fit the network, more are missing or "
            "have another shape: it belongs to another architecture. Give a model of the "
            "architecture that is trained, or give its checkpoint as a BEiT backbone."
        )


def _check_beit(network: nn.Module, taken: set[str], path: Path) -> None:
    """Raises CheckpointError where a BEiT checkpoint doesn't fill every block."""
    blocks = [name for name, _ in network.named_parameters() if name.startswith("backbone.blocks.")]
    lacking = [name for name in blocks if name not in taken]
    if lacking:
        raise CheckpointError(
            f"'{path}' is no BEiT checkpoint for this backbone: it has nothing that fits "
            f"{listing(lacking)}. Expected BEiT of the same width, depth and number of heads."
        )


def _beit_sources(names: Iterable[str], state: Iterable[str]) -> dict[str, str]:
    """`{network name: file name}` of what a BEiT checkpoint has, with wrappers' prefixes or not."""
    bare = {
        name: hub_name(name).removeprefix("backbone.").removeprefix("encoder.") for name in names
    }
    available = {f"backbone.{short}": name for name, short in bare.items()}
    shared = available.get(SHARED_TABLE)
    found = {name: available.get(name, shared if name.endswith(TABLE) else None) for name in state}
    return {name: source for name, source in found.items() if source is not None}


@torch.no_grad()
def _fill(
    network: nn.Module,
    file: Checkpoint,
    sources: Mapping[str, str],
    trained: GridSize,
    grid: GridSize,
) -> set[str]:
    """Copies what fits of `sources`, `{network name: file name}`; logs it, and gives its names.

    Position biases were trained with windows of `trained` patches, or with square ones, which their
    length tells; they are resized to `grid`.
    """
    state = network.state_dict()
    taken: dict[str, str] = {}
    for name, file_name in sources.items():
        value = file.read(file_name).to(state[name].dtype)
        if name.endswith(TABLE):
            value = _resized(value, trained, grid)
        if value.shape == state[name].shape:
            state[name].copy_(value)
            taken[name] = file_name
    used = set(taken.values())
    unused = [name for name in file.tensors if name not in used and not is_left_over(name)]
    fresh = [name for name in state if name not in taken and not is_optional(name)]
    logger.info(
        "%s gave %d entries. Start fresh: %s. Not used of the file: %s.",
        file.path,
        len(taken),
        listing(fresh) or "none",
        listing(unused) or "none",
    )
    return set(taken)


def _resized(table: Tensor, trained: GridSize, grid: GridSize) -> Tensor:
    """A position bias for the network's windows; itself where its own can't be told."""
    side = (math.isqrt(max(len(table) - EXTRA_ROWS, 0)) + 1) // 2
    for own in (trained, (side, side)):
        if table_length(own) == len(table):
            return table_for_window(table, own, grid)
    return table


@torch.no_grad()
def set_fresh_weights(network: EncoderDecoderMask2Former) -> None:
    """Fills a network as BEiT, ViT-Adapter and Mask2Former are filled before training.

    Backbone: linear layers and tokens from a normal distribution of 0.02, cut at two deviations,
    and blocks' output layers divided by sqrt(2 * depth) (BEiT, arXiv 2106.08254). That is for
    layers of 1024 inputs or more; narrower ones have as much more as keeps what they give alive.
    Convolutions from a normal distribution of sqrt(2 / fan out) (ViT-Adapter). Deformable
    attentions as in Deformable DETR (arXiv 2010.04159). Transformer layers of the head: Xavier
    uniform. Scales (`gamma`) and norms stay as they were built. Not from a paper: query k leans to
    class k from the beginning, which spares the matching a long search. Drawn from PyTorch's global
    generator.
    """
    _fill_backbone(network.backbone)
    _fill_head(network.decode_head)
    for module in network.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            module.reset_parameters()


def _fill_backbone(backbone: BEiTAdapter) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            std = BEIT_STD * max(1.0, math.sqrt(BEIT_WIDTH / module.in_features))
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    for name, parameter in backbone.named_parameters():
        if name.endswith(".bias"):
            nn.init.zeros_(parameter)
        elif name.startswith("blocks.") and name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            parameter.div_(math.sqrt(2.0 * (int(name.split(".")[1]) + 1)))
    nn.init.trunc_normal_(backbone.cls_token, std=BEIT_STD)
    nn.init.normal_(backbone.level_embed)


def _fill_head(head: Mask2FormerHead) -> None:
    decoder = head.pixel_decoder
    for part in (head.transformer_decoder, decoder.encoder):
        for parameter in part.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
    for name, parameter in decoder.named_parameters():
        if ".conv." in name and name.endswith(".bias"):
            nn.init.zeros_(parameter)
        elif ".conv." in name and name.startswith("input_convs"):
            nn.init.xavier_uniform_(parameter)
        elif ".conv." in name:
            nn.init.kaiming_uniform_(parameter, a=1)
    queries, width = head.query_feat.weight.shape
    classes = head.cls_embed.out_features - 1
    if queries >= classes:  # the classifier answers k to query k as it enters the decoder
        normed = head.transformer_decoder.post_norm(head.query_feat.weight[:classes])
        head.cls_embed.weight[:classes] = LEANING / width * normed
        nn.init.zeros_(head.cls_embed.weight[classes:])
        nn.init.zeros_(head.cls_embed.bias)
