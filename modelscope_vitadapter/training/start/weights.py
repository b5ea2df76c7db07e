"""Fills a network from checkpoints as far as they fit."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from modelscope_vitadapter.checkpoint.names import is_left_over, is_optional, plan_names
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.stored import Checkpoint
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.position_bias import GridSize, table_for_window, table_length
from modelscope_vitadapter.training.start.beit import TABLE, beit_name, fitted, source_of
from modelscope_vitadapter.validation import listing

logger = get_logger()


@dataclass(frozen=True)
class Filled:
    """What a checkpoint gave to a network.

    Attributes:
        taken: names of the network's parameters and buffers that it filled.
        fresh: names that it has nothing for, or nothing that fits.
        unused: names in the file that the network has no place for.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def fill_from_model(
    network: nn.Module, path: Path, trained_grid: GridSize, grid: GridSize
) -> Filled:
    """Fills a network from the checkpoint of the same architecture with, perhaps, other classes.

    Args:
        network: with memory; what the checkpoint has no fitting tensor for stays.
        path: a checkpoint that `checkpoint.load` reads.
        trained_grid: crop in patches that the checkpoint was trained with.
        grid: the network's; position biases are resized to it.

    Raises:
        CheckpointError: the file can't be read, or hardly anything of it fits.
    """

    def choose(source: Checkpoint, state: dict[str, Tensor]) -> dict[str, str]:
        return dict(plan_names(source.tensors, state).used)

    def fit(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
        is_table = name.endswith(TABLE) and len(value) == table_length(trained_grid)
        return table_for_window(value, trained_grid, grid) if is_table else value

    filled = _fill(network, path, choose, fit)
    parameters = dict(network.named_parameters())
    given = sum(parameters[name].numel() for name in filled.taken if name in parameters)
    if 2 * given < sum(parameter.numel() for parameter in parameters.values()):
        raise CheckpointError(
            f"Of the checkpoint '{path}' {len(filled.taken)} entries fit the network and "
            f"{len(filled.fresh)} are missing or have another shape: it belongs to another "
            "architecture. Give a model of the architecture that is trained, or give its "
            "checkpoint as a BEiT backbone."
        )
    return filled


def fill_from_beit(network: nn.Module, path: Path, grid: GridSize) -> Filled:
    """Fills the ViT's blocks, tokens and patch embedding from a BEiT checkpoint.

    Args:
        network: with memory; what BEiT has nothing for stays.
        path: a checkpoint of BEiT or BEiT v2, pre-trained or fine-tuned.
        grid: the network's trained crop in patches; position biases are resized to it.

    Raises:
        CheckpointError: the file can't be read, or is no BEiT of this width and depth.
    """

    def choose(source: Checkpoint, state: dict[str, Tensor]) -> dict[str, str]:
        available = {beit_name(name): name for name in source.tensors}
        chosen = {name: source_of(name, available) for name in state}
        return {name: available[found] for name, found in chosen.items() if found is not None}

    filled = _fill(
        network, path, choose, lambda name, value, shape: fitted(name, value, shape, grid)
    )
    taken = set(filled.taken)
    lacking = [
        name
        for name, _ in network.named_parameters()
        if name.startswith("backbone.blocks.") and name not in taken
    ]
    if lacking:
        raise CheckpointError(
            f"'{path}' is no BEiT checkpoint for this backbone: it has nothing that fits "
            f"{listing(lacking)}. Expected BEiT of the same width, depth and number of heads."
        )
    return filled


def _fill(
    network: nn.Module,
    path: Path,
    choose: Callable[[Checkpoint, dict[str, Tensor]], dict[str, str]],
    fit: Callable[[str, Tensor, tuple[int, ...]], Tensor | None],
) -> Filled:
    state = network.state_dict()
    taken, used = [], set()
    with closing(open_checkpoint(path)) as source, torch.no_grad():
        chosen = choose(source, state)
        for name, file_name in chosen.items():
            stored = source.tensors[file_name]
            if stored.problem is not None or stored.dtype is None or stored.dtype.is_complex:
                continue
            value = fit(
                name, source.read(file_name).to(state[name].dtype), tuple(state[name].shape)
            )
            if value is not None and value.shape == state[name].shape:
                state[name].copy_(value)
                taken.append(name)
                used.add(file_name)
        unused = tuple(
            name for name in source.tensors if name not in used and not is_left_over(name)
        )
    fresh = tuple(name for name in state if name not in taken and not is_optional(name))
    return Filled(tuple(taken), fresh, unused)


def log_filled(filled: Filled, path: Path) -> None:
    """Says what a checkpoint gave and what starts fresh, by name."""
    logger.info(
        "%s gave %d entries. Start fresh: %s. Not used of the file: %s.",
        path,
        len(filled.taken),
        listing(filled.fresh) or "none",
        listing(filled.unused) or "none",
    )
