import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.inference.sweep import MAX_STRIP_PIXELS, plan_sweep, reaches

SIDES = st.integers(1, 150)
SLIDE = WindowSettings("slide", (32, 32), (20, 24))
WHOLE = WindowSettings("whole", (32, 32), (20, 24))
FLIPS = st.sampled_from([None, "horizontal", "vertical"])


def plan(inputs, flips, size, windows=SLIDE, strip_bytes=4 * 5 * 32 * 40, **options):
    options = {"num_classes": 5, "align_corners": False} | options
    return plan_sweep(inputs, flips, size, windows, strip_bytes=strip_bytes, **options)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(SIDES, SIDES), FLIPS), min_size=1, max_size=3),
    st.tuples(SIDES, SIDES),
    st.booleans(),
    st.sampled_from([SLIDE, WHOLE]),
)
def test_each_strip_finds_its_windows(augmentations, size, align_corners, windows):
    inputs, flips = zip(*augmentations, strict=True)
    sweep = plan(inputs, flips, size, windows, align_corners=align_corners)
    assert sweep.size == (size[::-1] if sweep.transposed else size)
    assert [row for strip in sweep.strips for row in strip.rows] == list(range(sweep.size[0]))
    order = [task.first_strip for task in sweep.tasks]
    assert order == sorted(order)
    for number, strip in enumerate(sweep.strips):
        for i, (layer, span) in enumerate(zip(sweep.layers, strip.spans, strict=True)):
            held = {
                task.window
                for task in sweep.tasks
                if task.layer == i and task.first_strip <= number <= task.last_strip
            }
            needed = {window for window in layer.windows if reaches(window, span)}
            assert needed
            assert needed <= held
            assert 0 <= span.start < span.stop <= layer.size[0]
            part = layer.rows.at(layer.rows.low.new_tensor(list(strip.rows)))
            assert span.start == part.low.min()
            assert span.stop == part.high.max() + 1


@pytest.mark.parametrize("flip", [None, "horizontal", "vertical"])
@pytest.mark.parametrize("shape", [(32, 2000), (2000, 32)])
def test_few_windows_are_held_at_once_however_many_there_are(shape, flip):
    sweep = plan([shape], [flip], (shape[0] * 2, shape[1] * 2))
    assert len(sweep.tasks) > 80
    assert sweep.transposed == (shape[1] > shape[0])
    for number in range(len(sweep.strips)):
        held = [t for t in sweep.tasks if t.first_strip <= number <= t.last_strip]
        assert len(held) <= 5


def test_augmentations_advance_together():
    """Windows run in the order in which the upright picture needs them, from both ends."""
    sweep = plan([(2000, 32), (1000, 32)], [None, "vertical"], (500, 16))
    first = [task for task in sweep.tasks if task.first_strip == 0]
    assert {task.layer for task in first} == {0, 1}
    assert min(task.window.top for task in first if task.layer == 0) == 0
    assert max(task.window.top for task in first if task.layer == 1) == 1000 - 32
    for number in range(len(sweep.strips)):
        held = [t for t in sweep.tasks if t.first_strip <= number <= t.last_strip]
        assert len(held) <= 8


def test_windows_that_no_pixel_is_made_of_are_not_run():
    sweep = plan([(640, 32)], [None], (2, 2))
    assert len(sweep.layers[0].windows) > len(sweep.tasks) >= 2


def test_strips_are_bounded_by_scores_and_by_pixels():
    sweep = plan([(400, 100)], [None], (800, 200), num_classes=7, strip_bytes=4 * 7 * 100 * 10)
    assert {len(strip.rows) for strip in sweep.strips} == {20}
    assert all(len(strip.spans[0]) <= 12 for strip in sweep.strips)
    sweep = plan([(4, 4)], [None], (6000, 4000), strip_bytes=2**30)
    assert max(len(strip.rows) for strip in sweep.strips) * 4000 <= MAX_STRIP_PIXELS
    sweep = plan([(64, 64)], [None], (64, 64), strip_bytes=1)
    assert {len(strip.rows) for strip in sweep.strips} == {1}
