import pytest
import torch
from torch import distributed, multiprocessing, nn

from modelscope_vitadapter.training.batch_norm import share_batch_norms
from tests.training.shared_batches import (
    PROCESSES,
    criterion_answer,
    norms,
    norms_answer,
    norms_input,
    work,
)

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="PyTorch was built without gloo",
)


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """What each of two processes gives for its half of a batch."""
    folder = tmp_path_factory.mktemp("halves")
    multiprocessing.spawn(work, (folder,), nprocs=PROCESSES)
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(PROCESSES)]


def test_the_mean_loss_and_gradient_are_those_of_one_with_both_halves(halves):
    for name, expected in criterion_answer().items():
        found = sum(half["criterion"][name] for half in halves) / PROCESSES
        scale = max(1.0, expected.abs().max().item())
        assert (found - expected).abs().max() <= 1e-5 * scale, name


def test_batch_norms_normalise_as_one_with_both_halves(halves):
    expected = norms_answer(norms())
    found = [half["norms"] for half in halves]
    assert torch.allclose(torch.cat([one["rows"] for one in found]), expected["rows"], atol=1e-5)
    for name, value in expected["state"].items():
        for one in found:
            assert torch.allclose(one["state"][name].double(), value.double(), atol=1e-5), name
    for name, value in expected["gradients"].items():
        total = sum(one["gradients"][name] for one in found)
        assert torch.allclose(total, value, atol=1e-4), name


def test_sharing_norms_keeps_names_and_tensors_and_the_answer_of_one_process():
    plain, shared = norms(), norms()
    before = dict(shared.state_dict(keep_vars=True))
    share_batch_norms(shared)
    after = dict(shared.state_dict(keep_vars=True))
    assert list(before) == list(after)
    assert all(after[name] is value for name, value in before.items())
    assert not any(type(module) is nn.BatchNorm2d for module in shared.modules())
    assert torch.equal(plain(norms_input()), shared(norms_input()))
    assert torch.equal(plain.eval()(norms_input()), shared.eval()(norms_input()))
