import pytest
import torch
from torch import distributed, multiprocessing

from tests.training.criterion.batches import Head, features_of, gradients, losses_of
from tests.training.criterion.half_of_a_batch import PROCESSES, SEEDS, four_maps, work

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)


def test_two_processes_have_the_loss_and_gradient_of_one_with_both_halves(tmp_path):
    multiprocessing.spawn(work, (tmp_path,), nprocs=PROCESSES)
    found = torch.load(tmp_path / "answer.pt", weights_only=True)
    head = Head()
    losses = losses_of(head, features_of(4), four_maps(), SEEDS)
    losses["loss"].backward()
    expected = {name: value.detach() for name, value in losses.items()} | gradients(head)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, value.abs().max().item())
        assert (found[name] - value).abs().max() <= 1e-5 * scale, name
