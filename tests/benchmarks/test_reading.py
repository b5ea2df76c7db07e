import pytest
import torch

from benchmarks.model_files import INDEX
from benchmarks.reading import time_reading, used_ranges


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "pytorch_model.pt"
    weights = {
        "first": torch.arange(6.0).view(2, 3),
        f"backbone.blocks.0.{INDEX}": torch.zeros(50, 50, dtype=torch.int64),
        "second": torch.full((5,), 7, dtype=torch.int64),
    }
    torch.save({"state_dict": weights}, path)
    return path


def test_ranges_are_the_tensors_without_the_indices(checkpoint):
    first, second = used_ranges(checkpoint)
    content = checkpoint.read_bytes()
    assert [count for _, count in (first, second)] == [24, 40]
    values = torch.frombuffer(bytearray(content[first[0] : sum(first)]), dtype=torch.float32)
    assert values.tolist() == [0, 1, 2, 3, 4, 5]


def test_both_ways_read_all_of_it(checkpoint):
    answer = time_reading(checkpoint)
    assert answer["bytes"] == 64
    assert answer["fresh_s"] > 0
    assert answer["reused_s"] > 0


def test_a_file_that_ends_early_is_no_measurement(checkpoint, monkeypatch):
    from benchmarks import reading

    monkeypatch.setattr(reading, "used_ranges", lambda path: [(path.stat().st_size - 3, 8)])
    with pytest.raises(EOFError, match="ends before"):
        time_reading(checkpoint)
