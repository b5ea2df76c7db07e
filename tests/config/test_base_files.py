import os

import pytest

from modelscope_vitadapter.config.config_dict import Unreadable, needed
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError, UnreadableConfigError

BASE = "x = [1]\nmodel = dict(a=1, b=dict(c=2, d=x), e=3)\nCLASSES = ['x', 'y']\ntest_cfg = 3\n"


def test_chains_and_several_bases(read):
    config = read(
        "_base_ = ['parts/net.py', 'parts/data.py']\nmodel = dict(a=9)",
        parts__net="_base_ = ['../root.py']\nmodel = dict(b=2)\nlr = 1",
        parts__data="test_pipeline = [1]\nother = f()\nlr = 2",
        root="model = dict(a=1, c=3)",
    )
    assert config.model == {"a": 9, "c": 3, "b": 2}
    assert config.test_pipeline == [1]


def test_unreadable_values_meet_in_a_merge(read):
    config = read(
        "_base_ = 'base.py'\ndata = dict(a=dict(x=1), b=f(), c=dict(_delete_=f(), x=1),\n"
        "    d=dict(_delete_=True, x=1), e=dict(x=1), f=2)",
        base="data = dict(a=g(), b=dict(x=1), c=dict(y=1), d=g(), e=5, f=g())",
    )
    assert "`g()`" in config.data.a.message
    assert "`f()`" in config.data.b.message
    assert "`f()`" in config.data.c.message
    assert "'e' is a dict, but a int in the _base_ file. Add _delete_=True" in config.data.e.message
    assert [config.data.d, config.data.f] == [{"x": 1}, 2]


@pytest.mark.parametrize(
    "text",
    [
        "_base_.model.b.d.append(2)", "_base_['model']['a'] = 2", "del _base_.model", "f(_base_)",
        "m = _base_.model\nm.a = 2", "def f():\n    _base_.model.a = 2\nf()", "_base_.update(x=1)",
        "if f:\n    _base_ = 'other.py'", "_base_, x = 'other.py', 3", "import f as _base_",
    ],
)  # fmt: skip
def test_a_base_that_a_statement_may_change_is_refused_where_needed(read, text):
    for own in ("", "model = dict(a=1)\nCLASSES = []"):
        with pytest.raises(UnreadableConfigError, match=r"mmcv_config\.py, line 2"):
            needed(read(f"_base_ = 'base.py'\n{text}\n{own}", base=BASE).model)
    whole = "model = dict(_delete_=True, a=1)\nCLASSES = []\nPALETTE = []\n"
    assert read(f"_base_ = 'base.py'\n{text}\n{whole}", base=BASE).model == {"a": 1}
    other = read(f"_base_ = 'base.py'\n{text}\n{whole}", base="CLASSES = [1]")
    assert isinstance(other.model, Unreadable)


def test_names_of_a_base_are_no_names_of_the_file(read):
    config = read("_base_ = 'base.py'\ndata = dict(b=x)", base=BASE)
    assert isinstance(config.data.b, Unreadable)
    assert config.model.b.d == [1]


@pytest.mark.parametrize(
    "text",
    ["_base_ = f()", "_base_ = 3", "_base_ = None", "_base_ = 'base.py',", "_base_ = [['base.py']]",
     "_base_ = '{{ fileDirname }}/base.py'", "_base_ = 'base.py'\n_base_ = 'x.py'",
     "if x:\n    _base_ = 'base.py'", "from x import _base_", "_base_ = x = 'base.py'"],
)  # fmt: skip
def test_other_forms_of_base_are_refused(read, text):
    with pytest.raises(UnreadableConfigError, match=r"mmcv_config\.py, line [12]"):
        needed(read(text + "\nmodel = dict()\n", base=BASE, x="").model)


def test_a_name_in_two_bases_is_refused(read):
    with pytest.raises(ConfigError, match="line 1: two _base_ files define CLASSES, test_cfg"):
        read("_base_ = ['base.py', 'two.py']", base=BASE, two="test_cfg = 1\nCLASSES = ['z']")


def test_files_outside_the_directory_are_refused(tmp_path):
    (tmp_path / "secret.py").write_text("model = dict(stolen=1)")
    (tmp_path / "model" / "sub").mkdir(parents=True)
    path = tmp_path / "model" / "mmcv_config.py"
    (path.parent / "x.json").write_text("{}")
    for entry in (
        *("../secret.py", "./x/../../secret.py", str(tmp_path / "secret.py"), "a\\0b.py", "x.json"),
        *("C:/secret.py", "mmdet::secret.py", "\\\\host\\x.py", "x" * 5000 + ".py", "sub"),
        *("", "https://example.org/x.py", "~/secret.py", "sub/../../secret.py", "."),
    ):
        path.write_text(f"_base_ = '{entry}'\nmodel = dict(a=1)", encoding="utf-8")
        with pytest.raises(ConfigError):
            read_config(path)


def test_symbolic_links(tmp_path):
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "secret.py").write_text("model = dict(stolen=1)")
    (inside / "real.py").write_text("model = dict(a=1)")
    try:
        (inside / "link.py").symlink_to(tmp_path / "secret.py")
        (inside / "near.py").symlink_to("real.py")
        (inside / "round.py").symlink_to("round.py")
        (tmp_path / "linked").symlink_to(inside)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    path = inside / "mmcv_config.py"
    for name in ("link", "round"):
        path.write_text(f"_base_ = '{name}.py'")
        with pytest.raises(ConfigError, match=f"inside the model directory.*{name}|{name}"):
            read_config(path)
    path.write_text("_base_ = 'near.py'")
    assert read_config(path).model == read_config(tmp_path / "linked" / path.name).model == {"a": 1}


def test_circles_missing_files_and_too_many_are_refused(read):
    with pytest.raises(ConfigError, match="perhaps in a circle"):
        read("_base_ = 'mmcv_config.py'")
    with pytest.raises(ConfigError, match="perhaps in a circle"):
        read("_base_ = 'b.py'", b="_base_ = 'c.py'", c="_base_ = ['d.py', 'b.py']", d="")
    with pytest.raises(ConfigNotFoundError, match=r"nothing\.py does not exist"):
        read("_base_ = 'nothing.py'")
    doubling = {f"f{i}": f"_base_ = ['f{i + 1}.py'] * 2" for i in range(20)}
    with pytest.raises(ConfigError, match="too many _base_ files"):
        read("_base_ = 'f0.py'", **doubling, f20="")
    assert read("_base_ = ['b.py'] * 20", b="x = 1") == {}


def test_special_files_are_refused(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "mmcv_config.py").write_text("_base_ = 'pipe.py'")
    with pytest.raises(ConfigError, match="regular file"):
        read_config(tmp_path / "mmcv_config.py")
