import pytest

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.errors import ConfigError


def fields(**values):
    return Fields(values, "model.part")


def refuses(key, value):
    return pytest.raises(ConfigError, match=rf"model\.part\.{key} = {value!r} can't be honoured")


def test_values_are_taken_once():
    part = fields(depth=3)
    assert part.has("depth")
    assert part.integer("depth") == 3
    assert not part.has("depth")
    part.finish()


def test_missing_entries_have_defaults_or_are_named():
    assert fields().integer("depth", 5) == 5
    with pytest.raises(ConfigError, match=r"model\.part\.depth is missing"):
        fields().integer("depth")


@pytest.mark.parametrize("values", [None, 3, [1], "text"])
def test_only_dictionaries_have_entries(values):
    with pytest.raises(ConfigError, match=r"model\.part is .*expected dict"):
        Fields(values, "model.part")


def test_the_given_dictionary_stays_as_it_was():
    values = {"depth": 3}
    Fields(values, "model").integer("depth")
    assert values == {"depth": 3}


@pytest.mark.parametrize("value", [True, 0, 2.0, "3", None, 2**21])
def test_integers(value):
    with refuses("n", value):
        fields(n=value).integer("n")


def test_integer_limits_are_inclusive():
    assert fields(n=2).integer("n", low=2, high=4) == 2
    assert fields(n=4).integer("n", low=2, high=4) == 4
    with refuses("n", 5):
        fields(n=5).integer("n", low=2, high=4)


@pytest.mark.parametrize("value", [True, "1", None, -0.5, float("nan"), float("inf")])
def test_numbers(value):
    with refuses("x", value):
        fields(x=value).number("x")


def test_numbers_become_floats():
    value = fields(x=2).number("x")
    assert value == 2.0
    assert isinstance(value, float)


@pytest.mark.parametrize("value", [1.01, -0.01])
def test_probabilities(value):
    assert fields(p=1).probability("p") == 1.0
    with refuses("p", value):
        fields(p=value).probability("p")


@pytest.mark.parametrize("value", [0, 1, None, "True"])
def test_booleans(value):
    assert fields(b=False).boolean("b") is False
    with refuses("b", value):
        fields(b=value).boolean("b")


def test_sizes():
    assert fields(s=7).size("s") == (7, 7)
    assert fields(s=(2, 3)).size("s") == (2, 3)
    assert fields(s=[2, 3]).size("s") == (2, 3)


@pytest.mark.parametrize("value", [0, (1, 2, 3), "23", (1.0, 2), None, (True, 2), [], (1, 65537)])
def test_wrong_sizes(value):
    with pytest.raises(ConfigError, match=r"model\.part\.s = .* can't be honoured"):
        fields(s=value).size("s")


def test_kinds():
    assert fields(type="A").kind("A", "B") == "A"
    assert fields().kind("A", default="A") == "A"
    with pytest.raises(ConfigError, match="expected A or B"):
        fields(type="C").kind("A", "B")
    with pytest.raises(ConfigError, match=r"model\.part\.type is missing"):
        fields().kind("A")


@pytest.mark.parametrize("value", [17, True, None, "1"])
def test_only(value):
    fields(n=1).only("n", 1, default=1)
    fields().only("n", 1, default=1)
    with refuses("n", value):
        fields(n=value).only("n", 1, default=1)


def test_children_know_where_they_stand():
    child = fields(inner={"x": 1}).child("inner")
    assert child.path == "model.part.inner"


def test_what_is_left_is_refused_by_name():
    part = fields(a=1, loss_a=2, loss_b=3, b=4)
    part.skip("a", "missing")
    part.skip_matching("loss_")
    with pytest.raises(ConfigError, match=r"model\.part\.b = 4 is a setting that"):
        part.finish()


def test_long_values_are_cut_in_messages():
    with pytest.raises(ConfigError) as caught:
        fields(b="x" * 10000).finish()
    assert len(str(caught.value)) < 400


def test_unreadable_values_raise_when_taken_and_not_when_skipped():
    mark = Unreadable("line 4: open()")
    part = fields(a=mark)
    part.skip("a")
    part.finish()
    for use in (lambda p: p.take("a"), lambda p: p.child("a"), lambda p: p.finish()):
        with pytest.raises(ConfigError, match=r"^line 4"):
            use(fields(a=mark))
    with pytest.raises(ConfigError, match=r"^line 4"):
        Fields(mark, "model")
