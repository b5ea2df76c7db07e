import json

import pytest
import torch
from safetensors.torch import save_file

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.checkpoint.safetensors_file import open_safetensors
from modelscope_vitadapter.errors import CheckpointError


def write(path, header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(raw) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + raw + data)
    return path


def entry(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    ],
)
def test_files_of_the_library_are_read_alike(tmp_path, dtype):
    tensors = {
        "matrix": torch.arange(12).reshape(3, 4).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 4, dtype=dtype),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    source = open_safetensors(tmp_path / "m.safetensors")
    assert set(source.tensors) == set(tensors)
    for name, expected in tensors.items():
        found = source.read(name)
        assert found.dtype == dtype
        assert found.shape == expected.shape
        assert torch.equal(found, expected)
    source.close()


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"a": entry(0, 8)}, bytes(8), "'a' of type F32 and shape .1. has 8 bytes"),
        ({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4), "overlap"),
        ({"a": entry(4, 8)}, bytes(8), "gap"),
        ({"a": entry(0, 4)}, bytes(8), "take 4 bytes and 8 are there"),
        ({"a": entry(0, 4)}, bytes(2), "take 4 bytes and 2 are there"),
        ({"a": entry(0, 4 << 50, [1 << 50])}, bytes(8), "are there"),
        ({"a": entry(4, 0, [0])}, bytes(4), "has -4 bytes"),
        ({"a": entry(4, 0, dtype="F4")}, bytes(4), "overlap or leave a gap"),
        ({"a": entry(-4, 0)}, bytes(4), "lacks a valid"),
        ({"a": entry(0, 4, [True])}, bytes(4), "lacks a valid"),
        ({"a": entry(0, 4, [-1])}, bytes(4), "lacks a valid"),
        ({"a": {"dtype": 3, "shape": [1], "data_offsets": [0, 4]}}, bytes(4), "lacks a valid"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4]}}, bytes(4), "lacks a valid"),
        ({"a": {}}, b"", "lacks a valid"),
        ({"a": 3}, b"", "lacks a valid"),
        (b'{"a": 1, "a": 2}', b"", "twice"),
        (b'{"a" ', b"", "no valid JSON"),
        (b'{"\xff": 1}', b"", "no valid JSON"),
        (b'{"a":' + b"[" * 200_000, b"", "no valid JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", b"", "no valid JSON"),
    ],
)
def test_damaged_headers(tmp_path, header, data, said):
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(write(tmp_path / "m.safetensors", header, data))


def test_a_header_that_is_no_table(tmp_path):
    with pytest.raises(CheckpointError, match="no table"):
        open_safetensors(write(tmp_path / "m.safetensors", b"[]"))


def test_a_header_length_beyond_the_file_or_any_sense(tmp_path):
    with pytest.raises(CheckpointError, match="cut short"):
        open_checkpoint(write(tmp_path / "a.safetensors", b"{}", length=10**7))
    with pytest.raises(CheckpointError, match="claims 1000000000000 bytes"):
        open_safetensors(write(tmp_path / "b.safetensors", b"{}", length=10**12))


def test_a_header_whose_length_begins_like_a_pickle(tmp_path):
    header = json.dumps({"a": entry(0, 4)}).encode()
    header += b" " * (0x280 - len(header))
    path = write(tmp_path / "m.safetensors", header, bytes(4))
    assert path.read_bytes().startswith(b"\x80\x02")
    source = open_checkpoint(path)
    assert source.read("a").item() == 0
    source.close()


def test_a_type_that_torch_lacks_fails_only_when_read(tmp_path):
    header = {"a": entry(0, 4), "odd": entry(4, 8, [8], "F4")}
    source = open_safetensors(write(tmp_path / "m.safetensors", header, bytes(8)))
    assert source.read("a").item() == 0
    with pytest.raises(CheckpointError, match=r"'odd' .* is of type F4"):
        source.read("odd")
    source.close()


def test_every_truncation_is_a_checkpoint_error(tmp_path, state):
    whole = tmp_path / "whole.safetensors"
    save_file(state, whole)
    content = whole.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for size in range(0, len(content), 7):
        cut.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            open_checkpoint(cut)
