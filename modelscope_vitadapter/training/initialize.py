"""What training starts from: a network in memory, filled as far as checkpoints fit."""

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.checkpoint.keys import hub_name, is_left_over, is_optional, plan_keys
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.locate import find_checkpoint
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

BEIT_PREFIXES = ("backbone.", "encoder.")
"""What wrappers put before BEiT's own names."""

Fit = Callable[[str, Tensor], Tensor]
"""A stored tensor, by the network's name for it, resized where it has to be."""

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
    grid = config.settings.backbone.grid
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config.settings, adapter_form=adapter_form)
        set_fresh_weights(network)
    if not from_scratch:
        _fill_from_model(network, find_checkpoint(model_dir), source.settings.backbone.grid, grid)
    if beit is not None:
        _fill_from_beit(network, beit, grid)
    return Segmenter(network.eval(), config)


def _fill_from_model(
    network: nn.Module, path: Path, trained_grid: GridSize, grid: GridSize
) -> None:
    """Fills a network from the checkpoint of the same architecture with, perhaps, other classes.

    Args:
        network: what the checkpoint has no fitting tensor for stays.
        path: the checkpoint.
        trained_grid: crop in patches that it was trained with.
        grid: the network's; position biases are resized to it.

    Raises:
        CheckpointError: the file can't be read, or hardly anything of it fits.
    """

    def fit(name: str, value: Tensor) -> Tensor:
        is_table = name.endswith(TABLE) and len(value) == table_length(trained_grid)
        return table_for_window(value, trained_grid, grid) if is_table else value

    taken = _fill(network, path, lambda names, state: plan_keys(names, state).used, fit)
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    if 2 * sum(sizes.get(name, 0) for name in taken) < sum(sizes.values()):
        raise CheckpointError(
            f"Of the checkpoint '{path}' {len(taken)} entries fit the network, more are missing or "
            "have another shape: it belongs to another architecture. Give a model of the "
            "architecture that is trained, or give its checkpoint as a BEiT backbone."
        )


def _fill_from_beit(network: nn.Module, path: Path, grid: GridSize) -> None:
    """Fills the ViT's blocks, tokens and patch embedding from a checkpoint of BEiT or BEiT v2.

    Args:
        network: what BEiT has nothing for stays.
        path: the checkpoint, pre-trained or fine-tuned.
        grid: the network's trained crop in patches; position biases are resized to it.

    Raises:
        CheckpointError: the file can't be read, or is no BEiT of this width and depth.
    """

    def choose(names: Mapping[str, object], state: Mapping[str, Tensor]) -> dict[str, str]:
        available = {beit_name(name): name for name in names}
        sources = {name: beit_source(name, available) for name in state}
        return {name: available[found] for name, found in sources.items() if found is not None}

    def fit(name: str, value: Tensor) -> Tensor:
        if not name.endswith(TABLE) or value.ndim != 2:
            return value
        side = (math.isqrt(max(len(value) - EXTRA_ROWS, 0)) + 1) // 2
        is_square = side >= 1 and table_length((side, side)) == len(value)
        return table_for_window(value, (side, side), grid) if is_square else value

    taken = _fill(network, path, choose, fit)
    blocks = [name for name, _ in network.named_parameters() if name.startswith("backbone.blocks.")]
    lacking = [name for name in blocks if name not in taken]
    if lacking:
        raise CheckpointError(
            f"'{path}' is no BEiT checkpoint for this backbone: it has nothing that fits "
            f"{listing(lacking)}. Expected BEiT of the same width, depth and number of heads."
        )


def beit_name(name: str) -> str:
    """The name that BEiT's own code gives an entry, without the prefixes of wrappers."""
    bare = hub_name(name)
    for prefix in BEIT_PREFIXES:
        bare = bare.removeprefix(prefix)
    return bare


def beit_source(name: str, available: Mapping[str, object]) -> str | None:
    """Which BEiT entry a parameter of the network is filled from.

    Args:
        name: of the network's parameter (`backbone.blocks.0.attn.qkv.weight`).
        available: names that `beit_name` gives.

    Returns:
        A name from `available`, or None where BEiT has no such part.
    """
    if not name.startswith("backbone."):
        return None
    bare = name.removeprefix("backbone.")
    if bare in available:
        return bare
    is_table = bare.startswith("blocks.") and bare.endswith(f".attn.{TABLE}")
    return SHARED_TABLE if is_table and SHARED_TABLE in available else None


@torch.no_grad()
def _fill(
    network: nn.Module,
    path: Path,
    choose: Callable[[Mapping[str, object], Mapping[str, Tensor]], Mapping[str, str]],
    fit: Fit,
) -> set[str]:
    """Copies what fits of a checkpoint into a network, and logs what it gave.

    Args:
        network: with memory.
        path: the checkpoint.
        choose: the file's names and the network's state to `{network name: file name}`.
        fit: see `Fit`.

    Returns:
        Names of the parameters and buffers that were filled.
    """
    state = network.state_dict()
    taken: dict[str, str] = {}
    with closing(open_checkpoint(path)) as source:
        for name, file_name in choose(source.tensors, state).items():
            value = fit(name, source.read(file_name).to(state[name].dtype))
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
