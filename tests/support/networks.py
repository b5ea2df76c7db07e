"""Networks for tests, with random weights that depend on a parameter's name only."""

import math
import zlib

import torch

from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import tiny_config

# On tensors this small threads mostly wait for each other: 3 minutes of CPU time became 35 s.
torch.set_num_threads(1)


def randomise(network):
    """Fills parameters and running statistics so that every one of them matters.

    Parameters of equal name and shape get equal values in every network.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            noise = torch.randn(tensor.shape, generator=generator)
            leaf = name.rsplit(".", 1)[-1]
            if leaf == "running_var":
                tensor.copy_(1 + 0.2 * noise.abs())
            elif tensor.ndim >= 2 and "embed" not in leaf and "table" not in leaf:
                tensor.copy_(noise * math.sqrt(2 / tensor[0].numel()))
            elif leaf == "weight" or leaf.startswith("gamma"):
                tensor.copy_(1 + 0.3 * noise)
            else:
                tensor.copy_(0.5 * noise)
    return network


def network_of(config, *, form=AdapterForm.BUILTIN):
    """A configuration's network with random weights, for inference."""
    return randomise(build_network(parse_model(config), adapter_form=form)).eval()


def tiny_network(changes=None, *, form=AdapterForm.BUILTIN):
    """The tiny model's network, see `tiny_config`."""
    return network_of(tiny_config(changes), form=form)


def random_image(*shape, seed=0):
    """Normal noise, as normalised images are."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative_error(found, expected):
    """`|found - expected| / |expected|`."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())
