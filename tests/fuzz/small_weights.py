"""A small network, its weights, and checkpoints of it in each format."""

import io
import zlib

import torch
from safetensors.torch import save

PREFIXES = ("", "model.", "module.", "module.model.", "_orig_mod.")
WRAPPERS = (None, "state_dict", "model", "module")


class Small(torch.nn.Module):
    """Parameters, counters, shared weights, a persistent and a transient buffer."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm2d(4)
        self.conv = torch.nn.Conv2d(2, 3, 3, bias=False)
        self.gamma = torch.nn.Parameter(torch.zeros(4), requires_grad=False)
        self.tied = torch.nn.Linear(3, 4, bias=False)
        self.tied.weight = self.linear.weight
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("transient", torch.ones(2), persistent=False)


def small_network():
    """The network as the loader is given it, without memory."""
    with torch.device("meta"):
        return Small()


def small_state():
    """Its weights: small whole numbers, which every type of tensor can hold."""
    state = {}
    for name, tensor in Small().state_dict().items():
        start = 1 if name == "tied.weight" else zlib.crc32(name.encode()) % 5
        start = 1 if name == "linear.weight" else start
        values = torch.arange(start, start + tensor.numel()) % 11
        state[name] = values.reshape(tensor.shape).to(tensor.dtype)
    return state


STATE = small_state()


def zipped(content):
    """The bytes of torch's zip format."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def old(content):
    """The bytes of the format that torch wrote before 1.6."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def tensors_only(state):
    """The bytes of a safetensors file."""
    return save({name: tensor.contiguous().clone() for name, tensor in state.items()})


def wrapped(state, wrapper):
    """A state dict, bare or with what trainers put around it."""
    if wrapper is None:
        return state
    meta = {"epoch": 3, "CLASSES": ("a", "b"), "time": 0.5, "seed": 2**40, "none": None}
    return {"meta": meta, wrapper: state, "optimizer": {"state": {}, "groups": [{"lr": 1e-4}]}}


def laid_out(choices, tensor):
    """The same values in another layout or type."""
    kind = choices.below(8)
    if kind == 1 and tensor.is_floating_point():
        return tensor.to(choices.pick((torch.float16, torch.bfloat16, torch.float64)))
    if kind == 2:
        wide = torch.zeros(*tensor.shape, 2, dtype=tensor.dtype)
        wide[..., 1] = tensor
        return wide[..., 1]
    if kind == 3 and tensor.ndim >= 2:
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    if kind == 4:
        return torch.cat([torch.full((3,), 9, dtype=tensor.dtype), tensor.reshape(-1)])[3:].view(
            tensor.shape
        )
    if kind == 5 and tensor.is_floating_point():
        return torch.nn.Parameter(tensor)
    return tensor


def valid_state(choices):
    """The small network's weights under other names, in another order, among left-overs."""
    prefix = choices.pick(PREFIXES)
    state = {prefix + name: laid_out(choices, tensor) for name, tensor in STATE.items()}
    if choices.chance(50):
        del state[prefix + "norm.num_batches_tracked"]
        del state[prefix + choices.pick(("tied.weight", "linear.weight"))]
    if choices.chance(50):
        state[prefix + "auxiliary_head.conv.weight"] = torch.ones(2)
        state[choices.pick(("extra", "天", "a" * 300, ""))] = torch.ones(2)
    if choices.chance(30):
        state = dict(reversed(state.items()))
    return state
