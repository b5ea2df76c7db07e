import numpy as np
import pytest

from modelscope_vitadapter.validation import (
    LONGEST_NAME,
    LONGEST_VALUE,
    listing,
    parse_count,
    parse_flag,
    shorten,
    shown,
)


def test_long_lists_are_cut():
    assert listing(["a", "b"]) == "a, b"
    assert listing([str(i) for i in range(20)]).endswith("18, 19")
    assert listing([str(i) for i in range(23)]).endswith("18, 19, ... and 3 more")


def test_long_texts_are_cut():
    text = "begin" + "x" * 1000 + "end"
    assert len(shorten(text)) <= LONGEST_NAME
    assert shorten(text).startswith("begin")
    assert shorten(text).endswith("end")
    assert len(shown(text)) == LONGEST_VALUE
    assert shown([1]) == "[1]"


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_counts_are_whole_numbers_from_1(value):
    assert parse_count("n", 1) == 1
    with pytest.raises(ValueError, match=r"^n=.*whole number of at least 1"):
        parse_count("n", value)


def test_flags_are_booleans():
    assert parse_flag("f", np.bool_(True)) is True
    with pytest.raises(ValueError, match="f=1: expected True or False"):
        parse_flag("f", 1)
