"""What training starts from: a network in memory, filled as far as checkpoints fit."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
from modelscope_vitadapter.checkpoint.names import hub_name, is_left_over, is_optional, plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
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

Choose = Callable[[Mapping[str, object], Mapping[str, Tensor]], Mapping[str, str]]
"""A file's names and a network's state to `{network name: file name}`."""

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
        path = find_checkpoint(model_dir)
        taken = _fill(network, path, plan_names, [trained], grid)
        _check_model(network, taken, path)
    if beit is not None:
        _check_beit(network, _fill(network, beit, beit_sources, [], grid), beit)
    return Segmenter(network.eval(), config)


def beit_sources(names: Iterable[str], state: Iterable[str]) -> dict[str, str]:
    """Which entry of a BEiT checkpoint each parameter of the network is filled from.

    Args:
        names: of the file: BEiT's own, perhaps with prefixes of wrappers.
        state: names of the network (`backbone.blocks.0.attn.qkv.weight`).

    Returns:
        `{network name: file name}`, without what BEiT has no part for.
    """
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


@torch.no_grad()
def _fill(
    network: nn.Module, path: Path, choose: Choose, trained: list[GridSize], grid: GridSize
) -> set[str]:
    """Copies what fits of a checkpoint into a network, and logs what it gave.

    Args:
        network: with memory; what the checkpoint has nothing for, or nothing that fits, stays.
        path: the checkpoint.
        choose: see `Choose`.
        trained: crops in patches that position biases may have been trained with; a square one is
            told by their length.
        grid: the network's, to which they are resized.

    Returns:
        Names of the parameters and buffers that were filled.

    Raises:
        CheckpointError: the file can't be read.
    """
    state = network.state_dict()
    taken: dict[str, str] = {}
    with closing(open_checkpoint(path)) as source:
        for name, file_name in choose(source.tensors, state).items():
            value = source.read(file_name).to(state[name].dtype)
            if name.endswith(TABLE):
                value = _resized(value, trained, grid)
            if value.shape == state[name].shape:
                state[name].copy_(value)
                taken[name] = file_name
        used = set(taken.values())
        unused = [name for name in source.tensors if name not in used and not is_left_over(name)]
    fresh = [name for name in state if name not in taken and not is_optional(name)]
    logger.info(
        "%s gave %d entries. Start fresh: %s. Not used of the file: %s.",
        path,
        len(taken),
        listing(fresh) or "none",
        listing(unused) or "none",
    )
    return set(taken)


def _resized(table: Tensor, trained: list[GridSize], grid: GridSize) -> Tensor:
    """A position bias for the network's windows; itself where its own can't be told."""
    side = (math.isqrt(max(len(table) - EXTRA_ROWS, 0)) + 1) // 2
    for own in [*trained, (side, side)]:
        if table_length(own) == len(table):
            return table_for_window(table, own, grid)
    return table
