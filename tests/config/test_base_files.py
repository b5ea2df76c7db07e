import os

import pytest

from modelscope_vitadapter.config.limits import MAX_BASE_DEPTH, MAX_FILES
from modelscope_vitadapter.config.reader import read_config, unreadable_error
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError

BASE = "model = dict(a=1, b=dict(c=2, d=[1, 2]), e=3)\nCLASSES = ['x', 'y']\n"


def test_child_is_merged_into_base(read):
    config = read(
        "_base_ = './base.py'\nmodel = dict(a=5, b=dict(d=[3], f=dict(g=1)))\nPALETTE = [[0]]",
        base=BASE,
    )
    assert config.model == {"a": 5, "b": {"c": 2, "d": [3], "f": {"g": 1}}, "e": 3}
    assert config.CLASSES == ["x", "y"]
    assert config.PALETTE == [[0]]


@pytest.mark.parametrize("spelling", ["['base.py']", "('base.py',)", "'base.py'", "f'{name}.py'"])
def test_spellings_of_base(read, spelling):
    assert read(f"name = 'base'\n_base_ = {spelling}\n", base=BASE).model.e == 3


def test_delete_replaces(read):
    config = read("_base_ = 'base.py'\nmodel = dict(b=dict(_delete_=True, z=1))", base=BASE)
    assert config.model.b == {"z": 1}
    config = read("_base_ = 'base.py'\nmodel = dict(_delete_=False, z=1)", base=BASE)
    assert config.model == {"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": 3, "z": 1}


def test_delete_stays_where_the_base_has_no_dict_as_in_mmcv(read):
    config = read("_base_ = 'base.py'\nmodel = dict(new=dict(_delete_=True, z=1))", base=BASE)
    assert config.model.new == {"_delete_": True, "z": 1}


def test_shared_dict_with_delete_is_merged_in_both_places(read):
    config = read(
        "_base_ = 'base.py'\nnew = dict(_delete_=True, z=1)\nmodel = dict(b=new, h=new)",
        base="model = dict(b=dict(c=1), h=dict(c=1))",
    )
    assert config.model == {"b": {"z": 1}, "h": {"z": 1}}


def test_chain_and_several_bases(read):
    config = read(
        "_base_ = ['parts/net.py', 'parts/data.py']\nmodel = dict(a=9)",
        parts__net="_base_ = ['../root.py']\nmodel = dict(b=2)",
        parts__data="test_pipeline = [1]\nother = f()",
        root="model = dict(a=1, c=3)",
    )
    assert config.model == {"a": 9, "b": 2, "c": 3}
    assert config.data.test.pipeline == [1]


def test_unreadable_values_meet_in_a_merge(read):
    config = read(
        "_base_ = 'base.py'\n"
        "data = dict(a=dict(x=1), b=f(), c=dict(_delete_=f(), x=1), d=dict(_delete_=True, x=1),\n"
        "    e=dict(x=1))",
        base="data = dict(a=g(), b=dict(x=1), c=dict(y=1), d=g(), e=5)",
    )
    assert "`g()`" in str(unreadable_error(config.data.a))
    assert "`f()`" in str(unreadable_error(config.data.b))
    assert "`f()`" in str(unreadable_error(config.data.c))
    assert config.data.d == {"x": 1}
    assert "_delete_=True" in str(unreadable_error(config.data.e))


def test_dict_for_a_base_list_is_refused_as_in_mmcv(read):
    with pytest.raises(ConfigError, match=r"'CLASSES' is a dict, but a list in the _base_ file"):
        read("_base_ = 'base.py'\nCLASSES = {'0': 'z'}", base=BASE)


def test_base_values_can_be_read(read):
    config = read(
        "_base_ = 'base.py'\n"
        "n = len(_base_.CLASSES) + _base_['helper'].depth[0]\n"
        "model = dict(a=n, b=_base_.model.b.d, h={{ _base_.helper }}, e=-{{_base_.model.e}},\n"
        "    s='v{{ _base_.model.a }}', w='{{_base_.model.b}}')\n",
        base=BASE + "helper = dict(depth=(4, 5))\n",
    )
    assert config.model.a == 6
    assert config.model.h == {"depth": (4, 5)}
    assert config.model.e == -3
    assert config.model.s == "v1"
    assert config.model.w == {"c": 2, "d": [1, 2]}


def test_base_values_can_be_changed(read):
    config = read(
        "_base_ = 'base.py'\n_base_.model.b.d[0] = 9\nb = _base_.model\nb.a = 7", base=BASE
    )
    assert config.model == {"a": 7, "b": {"c": 2, "d": [9, 2]}, "e": 3}


def test_templated_values_are_copies(read):
    config = read(
        "_base_ = 'base.py'\nb = {{ _base_.model.b }}\nb['c'] = 0\ndata = dict(b=b)", base=BASE
    )
    assert config.data.b.c == 0
    assert config.model.b.c == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model = dict(a={{ _base_.nothing }})", "no 'nothing'"),
        ("model = dict(a={{ _base_.model.a.x }})", "no 'x'"),
        ("model = dict(a='n{{ _base_.model }}')", "text and numbers"),
        ("model = dict(a=_base_.nothing)", "nothing is no key"),
        ("model = dict(**_base_)", "single values"),
        ("model = dict(a=_base_)", "single values"),
        ("model = dict(a=_base_.broken.x)", "`g\\(\\)`"),
        ("model = dict(a={{ _base_.broken.x }})", "`g\\(\\)`"),
    ],
)
def test_base_values_that_cannot_be_read(read, text, reason):
    try:
        config = read("_base_ = 'base.py'\n" + text, base=BASE + "broken = g()\n")
    except ConfigError as error:
        message = str(error)
    else:
        message = str(unreadable_error(config.model.a))
    with pytest.raises(ConfigError, match=reason):
        raise ConfigError(message)


def test_changing_all_base_values_by_a_call_is_refused(read):
    with pytest.raises(ConfigError, match=r"_base_\.update"):
        read("_base_ = 'base.py'\n_base_.update(x=1)", base=BASE)


def test_changes_to_base_values_that_cannot_be_told_spoil_them(read):
    config = read("_base_ = 'base.py'\n_base_.model.b[f()].x = 1", base=BASE)
    assert "line 2" in str(unreadable_error(config.model.b))
    assert config.model.a == 1


def test_other_uses_of_the_base_name(read):
    assert read(
        "_base_ = 'base.py'\n_base_, x = 'base.py', 3\nPALETTE = [x]", base=BASE
    ).PALETTE == [3]
    assert read("_base_ = 'base.py'\ny = 1\ndel _base_", base=BASE) == {}
    assert read("_base_ = None\nmodel = dict(a=1)").model == {"a": 1}
    assert read("_base_ = []\nmodel = dict(a=1)").model == {"a": 1}
    config = read("_base_ = ['base.py']\n_base_ += ['two.py']\n", base=BASE, two="PALETTE = [1]")
    assert config.PALETTE == [1]


def test_template_without_base_is_refused(read):
    assert "no _base_ file" in str(unreadable_error(read("model = dict(a={{ _base_.x }})").model.a))


def test_needed_name_in_two_bases_is_refused(read):
    with pytest.raises(ConfigError, match=r"'two.py' and another _base_ file both define CLASSES"):
        read("_base_ = ['base.py', 'two.py']", base=BASE, two="CLASSES = ['z']")
    assert read("_base_ = ['base.py', 'two.py']", base=BASE + "lr = 1", two="lr = 2").CLASSES


def test_files_outside_the_directory_are_refused(tmp_path, write):
    (tmp_path / "secret.py").write_text("model = dict(stolen=1)")
    inside = tmp_path / "model"
    inside.mkdir()
    for entry in (
        "../secret.py",
        "./x/../../secret.py",
        str(tmp_path / "secret.py"),
        "C:/secret.py",
        "C:secret.py",
        "\\\\\\\\host\\\\share\\\\secret.py",
        "mmdet::secret.py",
        "x" * 5000 + ".py",
        "a\\0b.py",
        "base.json",
        "sub",
        "",
    ):
        path = inside / "mmcv_config.py"
        path.write_text(f"_base_ = '{entry}'\nmodel = dict(a=1)", encoding="utf-8")
        with pytest.raises(ConfigError):
            read_config(path)
    path.write_text("_base_ = 3\nmodel = dict()")
    with pytest.raises(ConfigError, match="line 1: int is no path"):
        read_config(path)


def test_symbolic_links(tmp_path):
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "secret.py").write_text("model = dict(stolen=1)")
    (inside / "real.py").write_text("model = dict(a=1)")
    try:
        (inside / "link.py").symlink_to(tmp_path / "secret.py")
        (inside / "near.py").symlink_to("real.py")
        (tmp_path / "linked").symlink_to(inside)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    path = inside / "mmcv_config.py"
    path.write_text("_base_ = 'link.py'")
    with pytest.raises(ConfigError, match="outside the model directory"):
        read_config(path)
    path.write_text("_base_ = 'near.py'")
    assert read_config(path).model.a == 1
    assert read_config(tmp_path / "linked" / "mmcv_config.py").model.a == 1


def test_cycles_missing_files_and_long_chains_are_refused(read):
    with pytest.raises(ConfigError, match=r"'mmcv_config\.py' leads back"):
        read("_base_ = 'mmcv_config.py'")
    with pytest.raises(ConfigError, match=r"'b\.py' leads back"):
        read("_base_ = 'b.py'", b="_base_ = 'c.py'", c="_base_ = 'b.py'")
    with pytest.raises(ConfigNotFoundError, match=r"nothing\.py"):
        read("_base_ = 'nothing.py'")
    chain = {f"f{i}": f"_base_ = 'f{i + 1}.py'" for i in range(MAX_BASE_DEPTH + 1)}
    with pytest.raises(ConfigError, match="in a chain"):
        read("_base_ = 'f0.py'", **chain)
    many = [f"m{i}" for i in range(MAX_FILES)]
    with pytest.raises(ConfigError, match="files"):
        read(f"_base_ = {[name + '.py' for name in many]}", **dict.fromkeys(many, ""))


def test_doubling_chains_stay_cheap(read):
    files = {f"f{i}": f"_base_ = ['f{i + 1}.py', 'f{i + 1}.py']" for i in range(7)}
    with pytest.raises(ConfigError, match="files"):
        read("_base_ = ['f0.py', 'f0.py']", **files, f7="")


@pytest.mark.parametrize(
    "text", ["_base_ = f()", "from x import _base_", "if x:\n    _base_ = 'y'"]
)
def test_base_that_cannot_be_evaluated_is_refused(read, text):
    with pytest.raises(ConfigError, match="line 1"):
        read(text + "\nmodel = dict()\n")


def test_special_files_are_refused(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "mmcv_config.py").write_text("_base_ = 'pipe.py'")
    with pytest.raises(ConfigError, match="regular file"):
        read_config(tmp_path / "mmcv_config.py")
