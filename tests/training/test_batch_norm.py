import copy

import pytest
import torch
from torch import distributed, multiprocessing, nn

from modelscope_vitadapter.training.batch_norm import SharedBatchNorm2d, share_batch_norms
from tests.training.half_of_norms import PROCESSES, batch, network, passes, work

needs_gloo = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)


@needs_gloo
def test_two_processes_normalise_as_one_with_both_halves(tmp_path):
    multiprocessing.spawn(work, (tmp_path,), nprocs=PROCESSES)
    halves = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(PROCESSES)]
    expected = passes(network(), batch())
    joined = torch.cat([half["output"] for half in halves])
    assert torch.allclose(joined, expected["output"], atol=1e-5)
    gradient = torch.cat([half["input gradient"] for half in halves])
    assert torch.allclose(gradient, expected["input gradient"], atol=1e-5)
    for name, value in expected["state"].items():
        for half in halves:
            assert torch.allclose(half["state"][name].double(), value.double(), atol=1e-5), name
    for name, value in expected["gradients"].items():
        total = sum(half["gradients"][name] for half in halves)
        assert torch.allclose(total, value, atol=1e-4), name


def test_sharing_keeps_names_and_tensors():
    plain = network()
    shared = copy.deepcopy(plain)
    before = dict(shared.state_dict(keep_vars=True))
    share_batch_norms(shared)
    after = dict(shared.state_dict(keep_vars=True))
    assert list(before) == list(after)
    assert all(after[name] is value for name, value in before.items())
    assert sum(isinstance(module, SharedBatchNorm2d) for module in shared.modules()) == 2
    assert not any(type(module) is nn.BatchNorm2d for module in shared.modules())


def test_alone_and_in_evaluation_it_is_the_plain_norm():
    plain = network()
    shared = copy.deepcopy(plain)
    share_batch_norms(shared)
    assert torch.equal(plain(batch()), shared(batch()))
    assert torch.equal(plain.eval()(batch()), shared.eval()(batch()))
