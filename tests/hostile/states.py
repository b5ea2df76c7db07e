"""State dicts of the tiny model, changed."""

from tests.hostile.entries import CHECKPOINT, tiny_state

WEIGHT = "backbone.blocks.0.mlp.fc1.weight"
"""A weight of the tiny model, 32 x 16."""


def replaced(make, name=WEIGHT):
    """A state dict with one tensor changed."""
    state = tiny_state()
    state[name] = make(state[name])
    return state


def prefixed(prefix):
    return {prefix + name: tensor for name, tensor in tiny_state().items()}


def cast(dtype):
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in tiny_state().items()}


def as_safetensors(content):
    def make(directory):
        (directory / CHECKPOINT).unlink()
        (directory / "model.safetensors").write_bytes(content)

    return make
