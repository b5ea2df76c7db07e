import numpy as np
import pytest

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.resume import Counted, SavedCounts

NAME = "state[1] 中文"


@pytest.fixture
def save(tmp_path):
    """Saves as one of several processes did: which images are done, and a count of theirs."""

    def save_counts(process, done, value):
        counted = Counted(2, 5)
        counted.done[list(done)] = True
        counted.counts[0, 0] = value
        SavedCounts(tmp_path / NAME, "this").save(counted, process)

    return save_counts


@pytest.fixture
def gather(tmp_path):
    return lambda identity="this": SavedCounts(tmp_path / NAME, identity).gather(2, 5)


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_parts_of_all_processes_are_gathered(tmp_path, save, gather):
    assert not gather().done.any()
    assert names(tmp_path) == []
    save(0, [0, 2], 7)
    save(1, [1], 5)
    found = gather()
    assert found.counts[0, 0] == 12
    assert found.done.tolist() == [True, True, True, False, False]
    assert names(tmp_path) == [NAME]
    save(0, [4], 1)
    assert gather().counts[0, 0] == 13


def test_a_part_that_was_gathered_before_is_not_counted_twice(tmp_path, save, gather):
    save(0, [0, 2], 7)
    part = tmp_path / f"{NAME}.part0"
    content = part.read_bytes()
    gather()
    part.write_bytes(content)  # as if the process had been killed before it could remove it
    assert gather().counts[0, 0] == 7
    save(1, [2, 3], 7)
    with pytest.raises(DataSetError, match="part1"):
        gather()


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_files_of_something_else_are_refused(tmp_path, save, gather, content):
    save(0, [0], 7)
    with pytest.raises(DataSetError, match=r"another evaluation.*There: this\. Here: that"):
        gather("that")
    part = tmp_path / f"{NAME}.part0"
    part.write_bytes(part.read_bytes()[:100] if content is None else content)
    with pytest.raises(DataSetError, match="no saved state"):
        gather()


def test_it_is_saved_at_most_so_often(tmp_path):
    state, counted = SavedCounts(tmp_path / NAME, "this", 1000.0), Counted(2, 5)
    for now, kept in ((False, 1), (False, 1), (True, 3)):
        counted.done[counted.done.sum()] = True
        state.save(counted, 0, now=now)
        with np.load(tmp_path / f"{NAME}.part0") as stored:
            assert stored["done"].sum() == kept


def test_removed_with_all_parts(tmp_path, save, gather):
    (tmp_path / "state1").write_text("another file")
    save(0, [0], 1)
    gather()
    save(3, [1], 1)
    SavedCounts(tmp_path / NAME, "this").remove()
    assert names(tmp_path) == ["state1"]
