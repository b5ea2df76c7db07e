import pytest
import torch
from safetensors import safe_open

from modelscope_vitadapter.checkpoint import save as save_module
from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.errors import CheckpointError

NAMES = ["pytorch_model.pt", "pytorch_model.bin", "model.safetensors"]


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(tmp_path, state, make_network, check_loaded, name):
    path = tmp_path / "new 目录" / name
    save_state_dict(state, path)
    network = make_network()
    report = load_into(network, path)
    check_loaded(network, state)
    assert report.ignored == report.unexpected == ()
    assert [entry.name for entry in path.parent.iterdir()] == [name]


def test_formats_are_what_the_names_say(tmp_path, state):
    save_state_dict(state, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert set(file.keys()) == set(state)
        assert file.metadata() == {"format": "pt"}
    save_state_dict(state, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_views_parameters_and_shared_memory(tmp_path, name):
    base = torch.randn(50, 40)
    tensors = {
        "base": base,
        "same": base,
        "row": base[3],
        "transposed": base.t(),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "counter": torch.tensor(3),
        "half": torch.randn(3).bfloat16(),
        "none": torch.zeros(0, 2),
        "none too": torch.zeros(0, 2),
    }
    save_state_dict(tensors, tmp_path / name)
    source = open_checkpoint(tmp_path / name)
    assert set(source.tensors) == set(tensors)
    for key, value in tensors.items():
        assert torch.equal(source.read(key), value), key
    source.close()


def test_a_view_does_not_bring_its_whole_storage(tmp_path):
    save_state_dict({"row": torch.zeros(1000, 1000)[0]}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("entry", "said"),
    [(3, "is int; expected a tensor"), (torch.zeros(1, device="meta"), "on the meta device")],
)
def test_entries_without_data_are_refused(tmp_path, entry, said):
    with pytest.raises(CheckpointError, match=f"'odd'.*{said}"):
        save_state_dict({"odd": entry}, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_leaves_the_old_file(tmp_path, state, monkeypatch, name):
    path = tmp_path / name
    save_state_dict(state, path)
    before = path.read_bytes()

    def full(_tensors, target, **_kwargs):
        if hasattr(target, "write"):
            target.write(b"half")
        else:
            target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr(save_module, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_state_dict({"a": torch.zeros(1)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_final_name_appears_last(tmp_path, state, monkeypatch):
    path = tmp_path / "pytorch_model.pt"
    seen = []
    fsync = save_module.os.fsync

    def record(descriptor):
        seen.append(path.exists())
        return fsync(descriptor)

    monkeypatch.setattr(save_module.os, "fsync", record)
    save_state_dict(state, path)
    assert seen[0] is False  # the data is on the disk before the file has its name


def test_a_directory_that_cannot_be_made(tmp_path, state):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_state_dict(state, tmp_path / "file" / "pytorch_model.pt")


def test_tensors_that_require_gradients_are_detached(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    save_state_dict({"w": weight * 2}, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)["w"]
    assert not loaded.requires_grad
    assert loaded.tolist() == [2, 2]
