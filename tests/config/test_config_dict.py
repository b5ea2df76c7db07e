import copy
import pickle

import pytest

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.unreadable import Unreadable

VALUES = {"a": [{"b": ({"c": 1},)}], "copy": 2, "empty": {}, 3: "three", "mark": Unreadable("why")}


@pytest.mark.parametrize(
    "make",
    [
        ConfigDict,
        lambda values: copy.deepcopy(ConfigDict(values)),
        lambda values: copy.copy(ConfigDict(values)),
        lambda values: pickle.loads(pickle.dumps(ConfigDict(values))),
        lambda values: pickle.loads(pickle.dumps(ConfigDict(values), protocol=0)),
    ],
)
def test_copies_keep_types_and_values(make):
    made = make(VALUES)
    assert type(made) is ConfigDict
    assert made == VALUES
    assert type(made.a[0].b[0]) is ConfigDict
    assert type(made.empty) is ConfigDict
    made.new = {"x": 1}
    assert made["new"] == {"x": 1}
    with pytest.raises(AttributeError, match="missing"):
        _ = made.missing
    with pytest.raises(KeyError):
        _ = made["missing"]
    assert made.get("missing") is None
    assert not hasattr(made, "missing")


def test_copies_are_independent():
    first = ConfigDict(VALUES)
    second = copy.deepcopy(first)
    second.a[0].b[0].c = 5
    assert first.a[0].b[0].c == 1
