import numpy as np
import pytest

from modelscope_vitadapter.visualization import draw, overlay
from modelscope_vitadapter.visualization.fonts import make_label
from modelscope_vitadapter.visualization.legend import Entry, draw_legend, shortened


@pytest.fixture
def told(monkeypatch):
    """Entries and sizes of text of the legends that were drawn."""
    calls = []

    def recorded(entries, size, lines):
        calls.append((entries, size, lines))
        return draw_legend(entries, size, lines)

    monkeypatch.setattr(overlay, "draw_legend", recorded)
    return calls


def lines_of(entries):
    return [(one.colour, one.label.text, one.percent) for one in entries]


def test_it_has_colours_names_and_shares_of_the_image_largest_first(told):
    class_map = np.full((50, 100), 1)
    class_map[:, :30], class_map[0, 0], class_map[:10] = 2, 0, -1
    class_map[10, 0] = 0
    palette = [[1, 2, 3], [200, 0, 0], [0, 200, 0]]
    drawn = draw(np.zeros((50, 100, 3), np.uint8), class_map, ["a", "b", "c"], palette)
    ((entries, _, _),) = told
    assert lines_of(entries) == [
        ((200, 0, 0), "b", "56.0 %"),
        ((0, 200, 0), "c", "24.0 %"),
        ((1, 2, 3), "a", "<0.1 %"),
    ]
    legend = np.asarray(drawn)[50:]  # two to one: the legend is below
    places = [np.nonzero((legend == one.colour).all(axis=2)) for one in entries]
    assert all(len(rows) > 50 for rows, _ in places)
    assert len({(rows.min() // 4, columns.min() // 4) for rows, columns in places}) == 3


@pytest.mark.parametrize(("side", "least"), [(200, 12), (3400, 48)])
def test_its_letters_grow_with_the_image_and_stay_legible(told, side, least):
    class_map = np.arange(side)[:, None] * 171 // side + np.zeros((1, side), int)
    classes = [f"class {number}" for number in range(171)]
    drawn = draw(np.zeros((side, side, 3), np.uint8), class_map, classes, names=False)
    ((entries, size, lines),) = told
    assert len(entries) == 171
    assert size >= least
    assert drawn.height == side
    assert lines * size <= side


def test_a_tiny_image_has_a_list_beside_it_and_a_wide_one_a_block_below(told):
    draw(np.zeros((2, 3, 3), np.uint8), np.arange(6).reshape(2, 3), list("abcdef"))
    image, class_map = np.zeros((60, 600, 3), np.uint8), np.arange(600)[None] // 100
    assert draw(image, class_map.repeat(60, axis=0), list("abcdef")).width == 600
    (_, _, tiny), (_, _, wide) = told
    assert (tiny >= 6, wide) == (True, 1)


def test_small_classes_are_summed_up_only_where_the_list_is_too_long():
    shares = [0.5, 0.4, 0.098, 0.0008, 0.0007, 0.0005]
    entries = [Entry((9, 9, 9), make_label(f"n{k}", k), share) for k, share in enumerate(shares)]
    assert shortened(entries, 6) == entries
    assert [line[1:] for line in lines_of(shortened(entries, 5))] == [
        ("n0", "50.0 %"),
        ("n1", "40.0 %"),
        ("n2", "9.8 %"),
        ("other (3)", "0.2 %"),
    ]


def test_columns_do_not_run_into_each_other():
    entries = [Entry((250, 0, 0), make_label("W" * 20, k), 0.1) for k in range(6)]
    one, two = draw_legend(entries, 20, 6), draw_legend(entries, 20, 3)
    assert two.width == 2 * one.width
    assert np.array_equal(
        np.asarray(two)[:, : one.width], np.asarray(two)[:, one.width :]
    )  # each column as drawn alone
