import numpy as np
import pytest

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.measuring import measure
from modelscope_vitadapter.evaluation.processes import Processes
from modelscope_vitadapter.evaluation.saved_counts import SavedCounts
from tests.datasets.makers import folder_of
from tests.evaluation.makers import first_channel, plain_pairs, shifted


def total_of(pairs, guess=lambda label: label, num_classes=3):
    counts = np.zeros((num_classes, num_classes), np.int64)
    for _, label in pairs:
        np.add.at(counts, (label.ravel(), guess(label).ravel()), 1)
    return counts


@pytest.mark.parametrize("ahead", [0, 3])
def test_counts_over_a_data_set(ahead):
    pairs = plain_pairs(9)
    matrix = measure(shifted, open_labelled(pairs), 3, ahead=ahead)
    expected = total_of(pairs, lambda label: np.minimum(label, 1))
    np.testing.assert_array_equal(matrix.counts, expected)


def test_only_some_pictures_and_none_twice():
    pairs = plain_pairs(9)
    matrix = measure(first_channel, open_labelled(pairs), 3, indices=[7, 2, 2])
    np.testing.assert_array_equal(matrix.counts, total_of([pairs[2], pairs[7]]))


def test_a_model_may_take_several_pictures_at_a_time():
    def in_threes(images):
        images = list(images)
        while images:
            part, images = images[:3], images[3:]
            yield from first_channel(part)

    pairs = plain_pairs(8)
    np.testing.assert_array_equal(
        measure(in_threes, open_labelled(pairs), 3).counts, total_of(pairs)
    )


def test_few_pictures_are_held():
    most = 0

    pairs = open_labelled(plain_pairs(40))

    class Watched:
        label_ids = pairs.label_ids
        handed_out = 0

        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            Watched.handed_out += 1
            return pairs[index]

    def segment(images):
        nonlocal most
        for given, image in enumerate(images):
            most = max(most, Watched.handed_out - given)
            yield image[:, :, 0]

    measure(segment, Watched(), 3, ahead=4)
    assert most <= 6


def test_progress_is_told_with_the_counts_so_far():
    told = []
    pairs = plain_pairs(3)
    measure(
        first_channel,
        open_labelled(pairs),
        3,
        progress=lambda done, total, matrix: told.append((done, total, matrix.counts.sum())),
    )
    assert told == [(number, 3, 20 * number) for number in range(4)]


class StoppedError(Exception):
    pass


def stopping_after(count, model=first_channel, error=StoppedError):
    def segment(images):
        for number, class_map in enumerate(model(images)):
            if number == count:
                raise error
            yield class_map

    return segment


def state(tmp_path, seconds=0.0, identity="this"):
    return SavedCounts(tmp_path / "state", identity, seconds)


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_it_goes_on_where_it_was_stopped(tmp_path, seconds, error):
    pairs = plain_pairs(9)
    pictures = open_labelled(pairs)
    for stop in (4, 2):
        with pytest.raises(error):
            measure(stopping_after(stop, error=error), pictures, 3, saved=state(tmp_path, seconds))
    seen, told = [], []

    def segment(images):
        for image in images:
            seen.append(image)
            yield image[:, :, 0]

    matrix = measure(
        segment,
        pictures,
        3,
        saved=state(tmp_path),
        progress=lambda done, total, matrix: told.append((done, total)),
    )
    assert len(seen) == 3
    assert told[0] == (6, 9)
    assert told[-1] == (9, 9)
    np.testing.assert_array_equal(matrix.counts, total_of(pairs))


def test_a_state_of_something_else_is_refused(tmp_path):
    pictures = open_labelled(plain_pairs(4))
    with pytest.raises(StoppedError):
        measure(stopping_after(2), pictures, 3, saved=state(tmp_path))
    with pytest.raises(DataSetError, match="another evaluation"):
        measure(first_channel, pictures, 3, saved=state(tmp_path, identity="that"))


def test_each_picture_is_counted_by_one_process(tmp_path, monkeypatch):
    """Without a process group: each process's share alone, and what it leaves for a later run."""
    monkeypatch.setattr(Processes, "sum", lambda self, array: array)
    monkeypatch.setattr(Processes, "from_first", lambda self, array: array)
    pairs = plain_pairs(7)
    counts = [
        measure(
            first_channel,
            open_labelled(pairs),
            3,
            processes=Processes(rank, 3),
            saved=state(tmp_path) if rank != 1 else None,
        ).counts
        for rank in range(3)
    ]
    np.testing.assert_array_equal(sum(counts), total_of(pairs))
    # One process goes on alone: the second one's pictures are missing.
    seen = []
    monkeypatch.undo()
    matrix = measure(
        lambda images: (seen.append(0) or image[:, :, 0] for image in images),
        open_labelled(pairs),
        3,
        saved=state(tmp_path),
    )
    assert len(seen) == 2
    np.testing.assert_array_equal(matrix.counts, total_of(pairs))


def test_a_picture_that_fails_ends_it_by_name(tmp_path):
    root = folder_of(tmp_path, count=4)
    (root / "images" / "val" / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(DataSetError, match=r"2\.jpg"):
        measure(first_channel, open_labelled(root), 256)


def test_class_maps_of_another_size_are_refused_by_name():
    with pytest.raises(DataSetError, match=r"pair 0.*shape"):
        measure(
            lambda images: (image[:2, :, 0] for image in images), open_labelled(plain_pairs(2)), 3
        )


def test_a_model_that_drops_pictures_is_found_out():
    def dropping(images):
        return list(first_channel(images))[:-1]

    with pytest.raises(DataSetError, match="1 class maps for 2 pictures"):
        measure(dropping, open_labelled(plain_pairs(2)), 3)


def test_no_pictures():
    with pytest.raises(DataSetError, match="empty"):
        measure(first_channel, open_labelled(plain_pairs(2)), 3, indices=[])
