"""Writing a state dict: what is read back, and what a failure leaves."""

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from modelscope_vitadapter.checkpoint import save as save_module
from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.checkpoint.stored import DTYPES
from modelscope_vitadapter.errors import CheckpointError
from tests.support.torch_bytes import dumped

NAMES = ["pytorch_model.pt", "model.safetensors"]
VIEWS = (
    lambda tensor: tensor,
    lambda tensor: torch.permute(tensor, tuple(reversed(range(tensor.ndim)))),
    lambda tensor: tensor[..., ::2] if tensor.ndim else tensor,
    lambda tensor: tensor[1:] if tensor.ndim else tensor,
    lambda tensor: tensor.expand(2, *tensor.shape),
)


@st.composite
def states(draw):
    """Tensors by name, of any type, some of them views of others or the same as others."""
    letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    state = {}
    for name in draw(st.lists(letters, min_size=1, max_size=5, unique=True)):
        if state and draw(st.booleans()):
            tensor = state[draw(st.sampled_from(sorted(state)))]
        else:
            shape = draw(st.lists(st.integers(0, 3), max_size=4))
            tensor = torch.arange(1, torch.Size(shape).numel() + 1).reshape(shape)
            tensor = tensor.to(draw(st.sampled_from(list(DTYPES.values()))))
        tensor = draw(st.sampled_from(VIEWS))(tensor)
        if tensor.is_floating_point() and draw(st.booleans()):
            tensor = torch.nn.Parameter(tensor)
        state[name] = tensor
    return state


@given(states(), st.sampled_from([*NAMES, "zip", "old"]))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_what_was_saved_is_what_is_read(tmp_path, state, way):
    """By us, or by `torch.save`, which keeps views as they are."""
    path = tmp_path / way
    if way in NAMES:
        save_state_dict(state, path)
    else:
        path.write_bytes(dumped(state, zipped=way == "zip"))
    with open_checkpoint(path) as file:
        assert set(file.tensors) == set(state)
        for name, tensor in state.items():
            found = file.read(name)
            assert torch.equal(found, tensor)
            assert found.dtype == tensor.dtype
            assert found.shape == tensor.shape == file.tensors[name].shape
            assert not found.requires_grad


def test_the_libraries_of_the_formats_read_it_too(tmp_path, state):
    save_state_dict(state, tmp_path / "new 目录" / "a.safetensors")
    with safe_open(tmp_path / "new 目录" / "a.safetensors", "pt") as file:
        assert set(file.keys()) == set(state)
        assert file.metadata() == {"format": "pt"}
    save_state_dict(state, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("name", NAMES)
def test_a_view_does_not_bring_its_whole_storage(tmp_path, name):
    save_state_dict({"row": torch.zeros(1000, 1000)[0]}, tmp_path / name)
    assert (tmp_path / name).stat().st_size < 10_000


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_leaves_the_old_file(tmp_path, state, monkeypatch, name):
    path = tmp_path / name
    save_state_dict(state, path)
    before = path.read_bytes()

    def full(_tensors, target, **_kwargs):
        (target.write if hasattr(target, "write") else target.write_bytes)(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr(save_module, "save_file", full)
    with pytest.raises(CheckpointError, match=r"cannot be written.*No space left"):
        save_state_dict({"a": torch.zeros(1)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_state_dict(state, path / "below a file")


def test_the_data_is_on_the_disk_before_the_file_has_its_name(tmp_path, state, monkeypatch):
    path, seen = tmp_path / "pytorch_model.pt", []
    fsync = save_module.os.fsync

    def record(descriptor):
        seen.append(path.exists())
        return fsync(descriptor)

    monkeypatch.setattr(save_module.os, "fsync", record)
    save_state_dict(state, path)
    assert seen[0] is False
