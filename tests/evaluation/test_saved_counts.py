import numpy as np
import pytest

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.saved_counts import Counted, SavedCounts


def counted(pictures, done, value):
    result = Counted.nothing(2, pictures)
    result.done[list(done)] = True
    result.counts[0, 0] = value
    return result


def saved(tmp_path, identity="this", seconds=0.0):
    return SavedCounts(tmp_path / "state[1] 中文", identity, seconds)


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_nothing_is_there_at_first(tmp_path):
    found = saved(tmp_path).gather(2, 5)
    assert found.counts.sum() == 0
    assert not found.done.any()
    assert names(tmp_path) == []


def test_parts_of_all_processes_are_gathered(tmp_path):
    saved(tmp_path).save(counted(5, [0, 2], 7), 0)
    saved(tmp_path).save(counted(5, [1], 5), 1)
    found = saved(tmp_path).gather(2, 5)
    assert found.counts[0, 0] == 12
    assert found.done.tolist() == [True, True, True, False, False]
    assert names(tmp_path) == ["state[1] 中文"]
    saved(tmp_path).save(counted(5, [4], 1), 0)
    assert saved(tmp_path).gather(2, 5).counts[0, 0] == 13


def test_a_part_that_was_gathered_before_is_not_counted_twice(tmp_path):
    saved(tmp_path).save(counted(5, [0, 2], 7), 0)
    part = tmp_path / "state[1] 中文.part0"
    content = part.read_bytes()
    saved(tmp_path).gather(2, 5)
    part.write_bytes(content)  # as if the process had been killed before it could remove it
    assert saved(tmp_path).gather(2, 5).counts[0, 0] == 7


def test_parts_that_overlap_are_refused(tmp_path):
    saved(tmp_path).save(counted(5, [0, 2], 7), 0)
    saved(tmp_path).save(counted(5, [2, 3], 7), 1)
    with pytest.raises(DataSetError, match="part1"):
        saved(tmp_path).gather(2, 5)


def test_another_evaluation_is_refused(tmp_path):
    saved(tmp_path).save(counted(5, [0], 7), 0)
    with pytest.raises(DataSetError, match=r"another evaluation.*There: this\. Here: that"):
        saved(tmp_path, "that").gather(2, 5)


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_a_file_that_is_no_state_is_refused(tmp_path, content):
    saved(tmp_path).save(counted(5, [0], 7), 0)
    part = tmp_path / "state[1] 中文.part0"
    part.write_bytes(part.read_bytes()[:100] if content is None else content)
    with pytest.raises(DataSetError, match="no saved state"):
        saved(tmp_path).gather(2, 5)


def test_it_is_saved_at_most_so_often(tmp_path):
    state = saved(tmp_path, seconds=1000)
    state.save(counted(5, [0], 1), 0)
    state.save(counted(5, [0, 1], 2), 0)
    assert saved(tmp_path).gather(2, 5).counts[0, 0] == 1
    state.save(counted(5, [1], 2), 0, now=True)
    assert saved(tmp_path).gather(2, 5).counts[0, 0] == 3


def test_a_failed_saving_leaves_the_old_file(tmp_path, monkeypatch):
    saved(tmp_path).save(counted(5, [0], 1), 0)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(np, "savez", fail)
        saved(tmp_path).save(counted(5, [0, 1], 2), 0)
    assert names(tmp_path) == ["state[1] 中文.part0"]
    assert saved(tmp_path).gather(2, 5).counts[0, 0] == 1


def test_removed_with_all_parts(tmp_path):
    (tmp_path / "state").write_text("another file")
    saved(tmp_path).save(counted(5, [0], 1), 0)
    saved(tmp_path).gather(2, 5)
    saved(tmp_path).save(counted(5, [1], 1), 3)
    saved(tmp_path).remove()
    assert names(tmp_path) == ["state"]
