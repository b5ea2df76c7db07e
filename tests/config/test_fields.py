import pytest

from modelscope_vitadapter.config.fields import REQUIRED, Fields
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.errors import ConfigError

NAN, INFINITE = float("nan"), float("inf")


def fields(**values):
    return Fields(values, "model.part")


def taken(method, value, *arguments, **options):
    return getattr(fields(x=value), method)("x", *arguments, **options)


@pytest.mark.parametrize(
    ("method", "value", "expected", "arguments"),
    [
        ("integer", 3, 3, ()),
        ("integer", 65536, 65536, ()),
        ("divisor", 4, 4, (12,)),
        ("number", 2, 2.0, ()),
        ("probability", 1, 1.0, ()),
        ("boolean", False, False, ()),
        ("size", 7, (7, 7), ()),
        ("size", (2, 3), (2, 3), ()),
        ("size", [2, 65536], (2, 65536), ()),
        ("take", "any", "any", ()),
        ("only", 1.0, None, (1,)),
        ("only", [1, 2], None, ((1, 2),)),
    ],
)
def test_values_that_are_taken(method, value, expected, arguments):
    found = taken(method, value, *arguments)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("method", "values", "arguments"),
    [
        ("integer", [True, 0, 2.0, "3", None, 65537, 10**300, [1]], ()),
        ("divisor", [5, 0, 24, True], (12,)),
        ("number", [True, "1", None, -0.5, NAN, INFINITE, 2**1024], ()),
        ("probability", [1.01, -0.01], ()),
        ("boolean", [0, 1, None, "True"], ()),
        ("size", [0, (1, 2, 3), "23", (1.0, 2), None, (True, 2), [], (1, 65537)], ()),
        ("only", [17, True, None, "1", [1], NAN], (1,)),
        ("only", [0, 1.0], (True,)),
    ],
)
def test_values_that_are_refused_by_name(method, values, arguments):
    for value in values:
        with pytest.raises(ConfigError, match=r"^model\.part\.x = .* can't be honoured: expected"):
            taken(method, value, *arguments)


def test_entries_are_taken_once_and_from_a_copy():
    values = {"depth": 3}
    part = Fields(values, "model")
    assert part.has("depth")
    assert part.integer("depth", low=3, high=3) == 3
    assert not part.has("depth")
    part.finish()
    assert values == {"depth": 3}


def test_missing_entries_have_defaults_or_are_named():
    assert fields().integer("depth", 5) == 5
    assert fields().kind("A", default="A") == "A"
    fields().only("depth", 5)
    fields().fixed(depth=5, width=6)
    for take in (
        lambda part: part.integer("depth"),
        lambda part: part.only("depth", 5, default=REQUIRED),
        lambda part: part.child("depth"),
    ):
        with pytest.raises(ConfigError, match=r"model\.part\.depth is missing"):
            take(fields())


def test_what_is_left_is_refused_by_name():
    part = fields(a=1, loss_a=2, loss_b=3, b=4)
    part.skip("a", "missing")
    part.skip_matching("loss_")
    with pytest.raises(ConfigError, match=r"model\.part\.b = 4 is a setting that"):
        part.finish()


def test_unreadable_values_raise_when_taken_and_not_when_skipped():
    mark = Unreadable("line 4: open()")
    part = fields(a=mark)
    part.skip("a")
    part.finish()
    for use in (lambda p: p.take("a"), lambda p: p.child("a"), lambda p: p.finish()):
        with pytest.raises(ConfigError, match=r"^line 4"):
            use(fields(a=mark))
