import copy

import torch
from torch import nn

from modelscope_vitadapter.training.batch_norm import share_batch_norms
from tests.training.shared_batches import norms, norms_input


def test_sharing_keeps_names_and_tensors_and_the_answer_of_one_process():
    plain = norms()
    shared = copy.deepcopy(plain)
    before = dict(shared.state_dict(keep_vars=True))
    share_batch_norms(shared)
    after = dict(shared.state_dict(keep_vars=True))
    assert list(before) == list(after)
    assert all(after[name] is value for name, value in before.items())
    assert not any(type(module) is nn.BatchNorm2d for module in shared.modules())
    assert torch.equal(plain(norms_input()), shared(norms_input()))
    assert torch.equal(plain.eval()(norms_input()), shared.eval()(norms_input()))
