"""What the fuzzer found, each as small as it was shrunk to."""

import pytest

from modelscope_vitadapter.config.reader import Unreadable, execute_config, read_config
from modelscope_vitadapter.errors import ConfigError

SHARED = "shared = [1]\nlib = dict(b=shared)\nmodel = dict(a=[lib, (shared, 2)], b=shared)\n"


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ("n = dict(**_base_.lib)\nn['b'][:1] = []", [[3], [3], [3]]),
        ("_base_.lib.b += [2]", [[3], [3], [3]]),
        ("_base_.model.b[0] = 5", [[3], [3], [5]]),
        ("_base_.model['a'][0].b[0] = 5", [[5], [3], [3]]),
    ],
)
def test_values_of_a_base_file_share_nothing(tmp_path, change, held):
    """As mmengine hands them on; in the base file's own statements they do."""
    (tmp_path / "base.py").write_text(SHARED + "lib['b'][0] += 2\n", encoding="utf-8")
    path = tmp_path / "mmcv_config.py"
    lines = ["_base_ = 'base.py'", "CLASSES = PALETTE = []", change, "model = dict(c=1)"]
    path.write_text("\n".join(lines), encoding="utf-8")
    for config in (read_config(path), execute_config(path, ConfigError("compared"))):
        model = config.model
        assert [model.a[0].b, model.a[1][0], model.b] == held


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ("n = [1]\n_base_.model['x'] = n\nn += [2]", [1]),
        ("n = [1]\n_base_.lib.x = n\nn += [2]\n_base_.model.x = _base_.lib.x", [1]),
        ("n = dict(a=1)\n_base_.model['x'] = n\nn['a'] += 1", {"a": 1}),
        ("n = [dict(a=1)]\n_base_.model['x'] = n\nn[0]['a'] += 1", [{"a": 1}]),
        ("n = _base_.lib\n_base_.model['x'] = n\nn['a'] += 1", {"a": 2}),
    ],
)
def test_dictionaries_of_a_base_file_copy_what_is_put_into_them(tmp_path, change, held):
    """Lists and plain dictionaries, as mmengine does; not those of base files."""
    (tmp_path / "base.py").write_text("lib = dict(a=1)\nmodel = dict(b=1)\n", encoding="utf-8")
    path = tmp_path / "mmcv_config.py"
    text = f"_base_ = 'base.py'\nCLASSES = PALETTE = []\n{change}\nmodel = dict(c=1)\n"
    path.write_text(text, encoding="utf-8")
    for config in (read_config(path), execute_config(path, ConfigError("compared"))):
        assert config.model.x == held


@pytest.mark.parametrize(
    "change",
    [
        "try:\n    n += [2]\nfinally:\n    pass",
        "for n in [f(n)]:\n    pass",
        "n = f(n)",
        "n, other = n.pop(), 1",
        "if (n := f(n)):\n    pass",
    ],
)
def test_a_statement_may_bind_the_name_through_which_it_changes_an_object(tmp_path, change):
    path = tmp_path / "mmcv_config.py"
    text = f"CLASSES = PALETTE = []\nn = [1]\nmodel = dict(a=n)\n{change}\n"
    path.write_text(text, encoding="utf-8")
    assert isinstance(read_config(path).model.a, Unreadable)
