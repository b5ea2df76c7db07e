import io
import zipfile

import pytest
import torch

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.errors import CheckpointError


@pytest.fixture
def saved(tmp_path):
    def save(content, **options):
        path = tmp_path / "pytorch_model.pt"
        torch.save(content, path, **options)
        return path

    return save


def rewrite(path, change=lambda name, content: content, compression=zipfile.ZIP_STORED):
    """Pack the zip again, with the content of its records changed; None leaves one out."""
    result = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(result, "w", compression) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    path.write_bytes(result.getvalue())
    return path


def views():
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    return {
        "base": base,
        "transposed": base.transpose(0, 2),
        "sliced": base[1:, ::2, 3],
        "offset": base[2],
        "row": base[:, 1, 1],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 6),
        "scalar": torch.tensor(3.0),
        "element": base[2, 3, 4],
        "none": torch.zeros(0, 3),
        "one": torch.ones(1, 1, 1),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "counter": torch.tensor(2**40),
        "half": torch.randn(4).half(),
        "brain": torch.randn(4).bfloat16(),
        "double": torch.randn(4).double(),
        "unsigned": torch.arange(5).to(torch.uint16)[1:4],
        "bytes": torch.arange(9, dtype=torch.uint8)[2:],
        "flags": torch.tensor([True, False]),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("entry", [None, "state_dict", "model", "module"])
def test_every_view_reads_as_it_was(saved, zipped, entry):
    expected = views()
    if not zipped:
        del expected["unsigned"]  # of a type that the old format never knew
    content = expected if entry is None else {"epoch": 3, entry: expected}
    source = open_checkpoint(saved(content, _use_new_zipfile_serialization=zipped))
    assert source.others == (() if entry is None else ("epoch",))
    assert set(source.tensors) == set(expected)
    for name, tensor in expected.items():
        found = source.read(name)
        assert torch.equal(found, tensor), name
        assert found.dtype == tensor.dtype
        assert found.is_contiguous()
        assert found.untyped_storage().nbytes() == found.numel() * found.element_size()
        assert not found.requires_grad
    source.close()


def test_the_golden_file_reads_as_torch_reads_it(golden):
    path = golden / "base" / "pytorch_model.pt"
    expected = torch.load(path, weights_only=True)["state_dict"]
    source = open_checkpoint(path)
    assert source.others == ("meta",)
    assert list(source.tensors) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(source.read(name), tensor), name
    source.close()


def test_every_truncation_is_a_checkpoint_error(saved, state, tmp_path):
    content = saved(state).read_bytes()
    cut = tmp_path / "cut.pt"
    for size in range(0, len(content), 37):
        cut.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            open_checkpoint(cut)


def test_every_truncation_of_an_old_file_is_a_checkpoint_error(saved, state, tmp_path):
    content = saved(state, _use_new_zipfile_serialization=False).read_bytes()
    cut = tmp_path / "cut.pt"
    for size in range(0, len(content), 37):
        cut.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            open_checkpoint(cut)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_bytes_raise_nothing_else(saved, state, tmp_path):
    content = bytearray(saved(state).read_bytes())
    damaged = tmp_path / "damaged.pt"
    refused = 0
    for position in range(0, len(content), 13):
        original = content[position]
        content[position] = original ^ 0xFF
        damaged.write_bytes(content)
        content[position] = original
        try:
            source = open_checkpoint(damaged)
            for name in source.tensors:
                source.read(name)
            source.close()
        except CheckpointError:
            refused += 1
    assert refused > 10


def test_a_file_that_is_cut_after_opening(saved, state):
    path = saved(state)
    source = open_checkpoint(path)
    with path.open("rb+") as file:
        file.truncate(100)
    with pytest.raises(CheckpointError, match=r"cut short: tensor 'backbone\.linear\.weight'"):
        source.read("backbone.linear.weight")
    source.close()


def test_a_disk_that_fails(saved, state, monkeypatch):
    def fail(*_args):
        raise OSError(5, "Input/output error")

    source = open_checkpoint(saved(state))
    monkeypatch.setattr(source.file, "_read_some", fail)
    with pytest.raises(CheckpointError, match=r"'backbone\.gamma'.*Input/output error"):
        source.read("backbone.gamma")
    source.close()


def test_memory_is_not_the_file(saved, state):
    path = saved(state)
    source = open_checkpoint(path)
    tensor = source.read("backbone.linear.weight")
    source.close()
    path.write_bytes(b"")
    assert torch.equal(tensor, state["backbone.linear.weight"])


def test_compressed_records_are_refused(saved, state):
    with pytest.raises(CheckpointError, match="compressed or encrypted"):
        open_checkpoint(rewrite(saved(state), compression=zipfile.ZIP_DEFLATED))


def test_a_zip_that_was_packed_again_uncompressed_reads(saved, state):
    source = open_checkpoint(rewrite(saved(state)))
    for name, tensor in state.items():
        assert torch.equal(source.read(name), tensor)
    source.close()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_record_that_is_there_twice(saved, state):
    path = saved(state)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pytorch_model/data/0", b"other")
    with pytest.raises(CheckpointError, match="twice"):
        open_checkpoint(path)


def test_big_endian_is_refused(saved, state):
    path = saved(state)
    rewrite(path, lambda name, content: b"big" if name.endswith("byteorder") else content)
    with pytest.raises(CheckpointError, match="little-endian"):
        open_checkpoint(path)


def test_files_without_byte_order_are_little_endian(saved, state):
    path = saved(state)
    rewrite(path, lambda name, content: None if name.endswith("byteorder") else content)
    source = open_checkpoint(path)
    name = "backbone.linear.weight"
    assert torch.equal(source.read(name), state[name])
    source.close()


def test_a_missing_record(saved, state):
    path = saved(state)
    rewrite(path, lambda name, content: None if name.endswith("/data/1") else content)
    with pytest.raises(CheckpointError, match="damaged"):
        open_checkpoint(path)


def test_a_record_that_is_too_small(saved):
    path = saved({"a": torch.ones(12)})
    rewrite(path, lambda name, content: content[:-4] if name.endswith("/data/0") else content)
    source = open_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"needs 48 bytes of a record that has 44"):
        source.read("a")
    source.close()


def test_a_declared_size_beyond_the_file_takes_no_memory(saved):
    path = saved({"big": torch.zeros(1000)})
    number = (1000).to_bytes(2, "little")

    def enlarge(name, content):
        if not name.endswith("data.pkl"):
            return content
        assert content.count(b"M" + number) == 2  # size of the storage, size of the tensor
        return content.replace(b"M" + number, b"J" + (2**31 - 1).to_bytes(4, "little"))

    source = open_checkpoint(rewrite(path, enlarge))
    assert source.tensors["big"].shape == (2**31 - 1,)
    with pytest.raises(CheckpointError, match="needs 8589934588 bytes of a record that has 4000"):
        source.read("big")
    source.close()


def test_a_table_of_contents_that_points_elsewhere(saved, state):
    content = bytearray(saved(state).read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 42 : directory + 46] = (1).to_bytes(4, "little")
    path = saved(state)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        open_checkpoint(path)


def test_a_record_that_reaches_beyond_the_file(saved, state):
    content = bytearray(saved(state).read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    for place in (20, 24):
        content[directory + place : directory + place + 4] = (10**9).to_bytes(4, "little")
    path = saved(state)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="claims 1000000000 bytes"):
        open_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_tensors_that_are_not_dense_fail_only_when_read(saved, zipped):
    content = {
        "dense": torch.ones(2),
        "sparse": torch.eye(2).to_sparse(),
        "no data": torch.zeros(2, device="meta"),
    }
    source = open_checkpoint(saved(content, _use_new_zipfile_serialization=zipped))
    assert torch.equal(source.read("dense"), torch.ones(2))
    for name in ("sparse", "no data"):
        assert source.tensors[name].problem is not None
    source.close()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(2), "holds one Tensor"),
        ([1, 2], "holds one list"),
        ({}, "no tensors by name"),
        ({"state_dict": {}, "epoch": 3}, "'state_dict', 'epoch'"),
        ({1: torch.zeros(1)}, "no tensors by name"),
    ],
)
def test_content_without_a_state_dict(saved, content, said, zipped):
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(saved(content, _use_new_zipfile_serialization=zipped))
