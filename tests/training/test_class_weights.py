import pytest

from modelscope_vitadapter.training.class_weights import parse_class_weights, weights_of

CLASSES = ("road", "car", "sky: blue")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,0.5", (1.0, 2.0, 0.5)),
        ("car:2.5", (1.0, 2.5, 1.0)),
        ("sky: blue:0, road:3", (3.0, 1.0, 0.0)),
    ],
)
def test_numbers_of_all_or_of_some_by_name(text, expected):
    assert weights_of(parse_class_weights(text), CLASSES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road:1,2", "not both"),
        ("road:1,car:2,road:1", "'road' is there twice"),
        *((text, "is no weight") for text in ("", "1,,2", "car:", "1,-2", "nan", "inf", "1e9")),
    ],
)
def test_what_is_neither_is_refused_before_classes_are_known(text, message):
    with pytest.raises(ValueError, match=message):
        parse_class_weights(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r"\[1, 2\].*there are 3 classes"),
        ("111", "there are 3 classes"),
        ([1, 2, float("nan")], "nan is no weight"),
        ({"car": "much"}, "'much' is no weight"),
        ({"cars": 2}, r"no class 'cars'; expected names such as car$"),
        ({"tree": 2}, "such as road, car, sky: blue"),
    ],
)
def test_weights_fit_the_classes(given, message):
    with pytest.raises(ValueError, match=message):
        weights_of(given, CLASSES)
