import copy
import pickle

import pytest

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.unreadable import Unreadable

VALUES = {"a": [{"b": ({"c": 1},)}], "copy": 2, "empty": {}, 3: "three", "mark": Unreadable("why")}


@pytest.mark.parametrize(
    "copied",
    [ConfigDict, copy.deepcopy, copy.copy, lambda config: pickle.loads(pickle.dumps(config))],
)
def test_copies_keep_types_and_values(copied):
    config = copied(ConfigDict(VALUES))
    assert type(config) is type(config.a[0].b[0]) is type(config.empty) is ConfigDict
    assert config == VALUES
    config.new = {"x": 1}
    assert config["new"] == {"x": 1}
    with pytest.raises(AttributeError, match="missing"):
        _ = config.missing
    with pytest.raises(KeyError):
        _ = config["missing"]
    assert config.get("missing") is None


def test_copies_are_independent():
    first = ConfigDict(VALUES)
    copy.deepcopy(first).a[0].b[0].c = 5
    assert first.a[0].b[0].c == 1
