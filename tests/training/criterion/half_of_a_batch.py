"""One of two processes that share a batch; imported by the processes that the test starts."""

import torch
from torch import distributed

from tests.training.criterion.batches import Head, features_of, gradients, label_maps, losses_of

PROCESSES = 2
SEEDS = [11, 12, 13, 14]


def four_maps():
    """The third image has no target, so that the two halves have different numbers of masks."""
    return label_maps([[0, 1, 2, 3], [1, 2, 3], [], [2]])


def summed(x):
    distributed.all_reduce(x)
    return x


def work(process, folder):
    """Saves the losses and gradients averaged over the processes."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=(folder / "store").as_uri(), rank=process, world_size=PROCESSES
    )
    own = slice(2 * process, 2 * process + 2)
    head = Head()
    losses = losses_of(
        head,
        features_of(4)[own],
        four_maps()[own],
        SEEDS[own],
        sum_over_processes=summed,
        processes=PROCESSES,
    )
    losses["loss"].backward()
    answer = {name: value.detach().clone() for name, value in losses.items()} | gradients(head)
    for value in answer.values():
        summed(value).div_(PROCESSES)
    if process == 0:
        torch.save(answer, folder / "answer.pt")
    distributed.destroy_process_group()
