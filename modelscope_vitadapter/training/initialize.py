"""What training starts from: a network in memory, filled as far as checkpoints fit."""

import math
import re
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
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.network.position_bias import (
    EXTRA_ROWS,
    GridSize,
    table_for_window,
    table_length,
)
from modelscope_vitadapter.segmenter import Segmenter
from modelscope_vitadapter.training.fresh_weights import set_fresh_weights
from modelscope_vitadapter.validation import listing

TABLE = "relative_position_bias_table"
SHARED_TABLE = f"rel_pos_bias.{TABLE}"
"""BEiT's pre-training shares one table among its blocks; fine-tuned checkpoints have one each."""

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
        seed: of the weights that no checkpoint gives: the same ones in every process.

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
            sources = plan_names(file.tensors, network.state_dict()).used
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
    available = {
        hub_name(name).removeprefix("backbone.").removeprefix("encoder."): name for name in names
    }
    sources = {}
    for name in state:
        bare = name.removeprefix("backbone.")
        if bare not in available and re.fullmatch(rf"blocks\.\d+\.attn\.{TABLE}", bare):
            bare = SHARED_TABLE
        if name.startswith("backbone.") and bare in available:
            sources[name] = available[bare]
    return sources


@torch.no_grad()
def _fill(
    network: nn.Module,
    file: Checkpoint,
    sources: Mapping[str, str],
    trained: GridSize,
    grid: GridSize,
) -> set[str]:
    """Copies what fits of a checkpoint into a network, and logs what it gave.

    Args:
        network: with memory; what nothing fits stays as it is.
        file: the checkpoint.
        sources: `{network name: file name}`.
        trained: windows in patches that its position biases were trained with; square ones of
            another size are told by their length.
        grid: the network's, to which they are resized.

    Returns:
        Names of the parameters and buffers that were filled.
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
