from pathlib import Path

import pytest
import torch


class Block(torch.nn.Module):
    """A bit of everything: parameters, counters, a persistent and a transient buffer."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm2d(4)
        self.gamma = torch.nn.Parameter(torch.zeros(4), requires_grad=False)
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("transient", torch.ones(2), persistent=False)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Block()
        self.decode_head = torch.nn.Conv2d(2, 3, 3, bias=False)


@pytest.fixture
def make_network():
    """Build the small network without memory, as the loader is given it."""

    def make():
        with torch.device("meta"):
            return Network()

    return make


@pytest.fixture
def state():
    """Seeded weights of the small network, by name."""
    torch.manual_seed(0)
    network = Network()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()
        else:
            tensor.fill_(7)
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@pytest.fixture
def golden() -> Path:
    return Path(__file__).parents[1] / "golden"


def assert_loaded(network, state):
    """All persistent tensors are there, with the values of the state dict."""
    result = network.state_dict()
    assert set(result) == set(state)
    for name, tensor in result.items():
        assert tensor.device.type == "cpu", name
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name


@pytest.fixture
def check_loaded():
    return assert_loaded
