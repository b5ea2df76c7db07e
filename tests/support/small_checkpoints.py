"""A small network of all kinds of tensors, and checkpoints of it."""

import torch
from safetensors.torch import save

from tests.support.torch_bytes import dumped

FORMATS = ("zip", "old", "safetensors")


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


def make_network():
    """The small network without memory, as the loader is given it."""
    with torch.device("meta"):
        return Network()


def make_state():
    """Seeded weights of the small network, by name."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point()
        else torch.tensor(7)
        for name, tensor in make_network().state_dict().items()
    }


def bytes_of(content, kind):
    """A checkpoint in one of `FORMATS`."""
    return save(content) if kind == "safetensors" else dumped(content, zipped=kind == "zip")


def assert_loaded(network, state):
    """All persistent tensors are there, with the values of the state dict."""
    result = network.state_dict()
    assert set(result) == set(state)
    for name, tensor in result.items():
        assert tensor.device.type == "cpu", name
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name
