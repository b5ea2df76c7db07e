import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.reader import NAMES, read_config, unreadable_error
from modelscope_vitadapter.errors import ConfigError

PROGRAMS = [
    "a = dict()\nb = a\nb['x'] = 1\nmodel = a",
    "model = dict(b=dict(d=12))\nmodel['b']['d'] = 24\nmodel['c'] = [1]\nmodel['c'] += [2]",
    "x = [1, 2]\nmodel = dict(x=x)\nx += [3]\nx[0] = 9\nx[1:1] = [7, 7]\ndel x[-1]",
    "x = [1, 2]\nmodel = dict(x=x)\nx *= 2",
    "x = [1]\nmodel = dict(x=x)\nx = x + [2]\nx[0] = 5",
    "model = dict(x=[1])\ny = model['x']\nz = dict(y=y)\nz['y'][0] = 2",
    "model = dict(x=[1])\na = b = model['x']\nb[0] = 3\na += (4,)",
    "a, (b, *c), d = 1, (2, 3, 4), 5\n[e, f] = 'xy'\nmodel = dict(a=a, b=b, c=c, d=d, e=e, f=f)",
    "*a, b = range(3)\nmodel = dict(a=a, b=b)",
    "model = dict(a=1)\nmodel['a'], model['b'] = 2, model['a']",
    "a = 1\nb = a\na = 2\nmodel = dict(a=a, b=b)",
    "a: int = 3\nb: list\nmodel = dict(a=a)",
    "a = 7\na -= 2\na *= 3\na //= 2\na %= 4\na **= 2\na /= 2\nmodel = dict(a=a)",
    "s = 'a'\ns += 'b'\ns *= 2\nt = (1,)\nt += (2,)\nmodel = dict(s=s, t=t)",
    "x = [1]\nx += 'ab'\nx += range(2)\nx += dict(k=1)\nmodel = dict(x=x)",
    "x = [1]\nx += x\nmodel = dict(x=x)",
    "model = dict(a=1, b=2)\ndel model['a']\ndel model['b'], model\nmodel = dict(c=1)",
    "a = 1\nb = 2\ndel (a, b)\nmodel = dict()",
    "dict_ = dict\nmodel = {'a': 1}\nmodel = {**model, 'b': 2}",
    "x = [0]\nmodel = [x] * 2\nmodel[0][0] = 1\nmodel = dict(m=model)",
    "a = [[]]\nb = a[:]\nb[0] += [1]\nb += [2]\nmodel = dict(a=a, b=b)",
    "a = [1, 2, 3, 4]\na[::2] = [9, 9]\ndel a[1:2]\nmodel = dict(a=a)",
    "a = {1: [0]}\na[1][0] += 5\nmodel = a",
    "a = dict(x=1)\na['x'] += 2\na['x'], *a['y'] = (4, 5)\ndel (a['x'], (a['y'][0]))\nmodel = a",
    "__hidden = 3\nmodel = dict(a=__hidden)",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_statements_do_what_python_does(read, program):
    names = {}
    exec(program, names)
    del names["__builtins__"]
    config = read(program)
    assert config == {name: names[name] for name in config}
    assert set(config) >= names.keys() & set(NAMES)


names = st.sampled_from(["a", "b", "c", "model"])
places = st.one_of(
    names, st.builds("{}[{}]".format, names, st.sampled_from(["0", "-1", "'k'", "1:"]))
)
parts = st.one_of(
    places,
    st.builds("[{}, {}]".format, places, places),
    st.builds("dict(k={}, j=[{}])".format, places, places),
    st.builds("({},) * 2".format, places),
    st.builds("[{}] * 2".format, places),
    st.builds("[x for x in {}]".format, places),
    st.sampled_from(["[1, 2]", "[[3], [4]]", "5", "{}", "{'k': [6]}"]),
)
lines = st.one_of(
    st.builds("{} = {}".format, places, parts),
    st.builds("{} = {} = {}".format, places, places, parts),
    st.builds("{}, {} = {}, {}".format, places, places, parts, parts),
    st.builds("{}, *{} = {}".format, names, names, parts),
    st.builds("{} += {}".format, places, parts),
    st.builds("{} *= 2".format, places),
    st.builds("del {}".format, places),
)


@settings(max_examples=400, deadline=None)
@given(program=st.lists(lines, min_size=1, max_size=10))
def test_any_program_of_assignments_does_what_python_does(tmp_path_factory, program):
    values = {}
    kept = ["a = [[1], [2]]", "b = {'k': a, 0: [7]}", "c = [b]", "model = dict(k=[c], j=a)"]
    exec("\n".join(kept), values)
    for line in program:
        # A statement that fails in Python would end the file; leave it out.
        trial = {}
        try:
            exec("\n".join([*kept, line]), trial)
        except Exception:
            continue
        kept.append(line)
        values = trial
    path = tmp_path_factory.getbasetemp() / "program.py"
    path.write_text("\n".join(kept), encoding="utf-8")
    try:
        config = read_config(path)
    except ConfigError as error:
        assert "holds itself" in str(error)
        return
    assert repr(config.get("model")) == repr(values.get("model"))


def test_later_bindings_count(read):
    assert read("model = f()\nmodel = dict(a=1)").model == {"a": 1}
    assert read("from x import CLASSES\nCLASSES = ['a']").CLASSES == ["a"]
    assert "CLASSES" not in read("CLASSES = f()\ndel CLASSES")


def test_change_through_an_alias_is_seen(read):
    config = read(
        "stage = dict(depth=1)\nmodel = dict(stage=stage)\nshort = stage\nshort['depth'] = f()\n"
    )
    assert unreadable_error(config.model.stage.depth) is not None


@pytest.mark.parametrize(
    "change",
    [
        "short.append(1)",
        "short[f()] = 1",
        "short[9] = 1",
        "short += f()",
        "short[0:1] = f()",
        "short[0] += [f()]",
        "short = model.get('x')\nshort += [1]",
        "short = model.get('x')\nshort[0] = 1",
        "short = model.get('x')\nshort[0]['y'].z = 1",
        "short = model.get('x')\ndel short[0]",
        "short = model.get('x')\nshort.sort()",
        "short = dict(y=model.get('x'))\nshort['y'][0] = 5",
        "model.get('x')[0] = 1",
        "[model][0]['x'][0] = f()\n[model][f()]['x'] = 1",
        "for short in [model]:\n    short['x'] = 1",
        "change(short)",
        "holder = [short]\nchange(holder)",
        "holder = []\nholder.append(short)\nholder[0][0] = 1",
        "x = [part.append(1) for part in [short]]",
        "class A:\n    part = short\n    part.append(1)",
        "def change():\n    short.append(1)\nchange()",
        "del short[7]",
        "short[7] += 1",
        "short[f()] += 1",
        "model['x'][0].y.z = 1",
        "unknown[short.pop()] = 1",
        "short[0].x = 1",
        "short.x = 1",
        "short[0] = 1\nshort[0][0] = 1",
        "from other import *",
    ],
)
def test_what_may_have_changed_is_unreadable(read, change):
    text = f"x = [0]\nmodel = dict(x=x, other=dict(a=1))\nshort = x\n{change}\n"
    try:
        config = read(text)
    except ConfigError:
        return
    value = config.model.x
    error = unreadable_error(value)
    if error is None:
        error = next(filter(None, map(unreadable_error, value)))
    assert "mmcv_config.py, line" in str(error)
    assert config.model.other == {"a": 1}


def test_only_what_may_have_changed_is_unreadable(read):
    config = read(
        "norm = dict(mean=[1, 2])\n"
        "train = [dict(type='Normalize', **norm), ('kept', dict(a=norm))]\n"
        "test = [dict(type='Normalize', **norm)]\n"
        "data = dict(train=dict(pipeline=train), both=(1, (train, 2)), test=dict(pipeline=test))\n"
        "train.append(1)\n"
        "data['val'] = build(3)\n"
        "data['val']['x'] = 4\n"
    )
    assert config.data.test.pipeline == [{"type": "Normalize", "mean": [1, 2]}]
    assert unreadable_error(config.data.train.pipeline) is not None
    assert unreadable_error(config.data.both[1][0]) is not None
    assert config.data.both[1][1] == 2
    assert unreadable_error(config.data.val) is not None


def test_failed_unpacking_marks_each_target(read):
    config = read("a, *b = f()\nc, d = 1, 2, 3\n*e, *g = [1]\nh, i = 5\ndata = [a, b, c, d, i]\n")
    assert all(unreadable_error(value) is not None for value in config.data)


def test_name_bound_to_an_unreadable_value_spoils_what_uses_it(read):
    config = read("n = f()\ndata = dict(n=n, m=n + 1, k=[n], **dict(a=1))\nmodel = dict(a=1)\n")
    assert unreadable_error(config.data.n) == unreadable_error(config.n) or "`f()`" in str(
        unreadable_error(config.data.n)
    )
    assert "`f()`" in str(unreadable_error(config.data.m))
    assert "`f()`" in str(unreadable_error(config.data.k[0]))
    assert config.data.a == 1


@pytest.mark.parametrize(
    "use",
    ["dict(**n)", "[*n]", "n[0]", "n.x", "-n", "not n", "n and 1", "n == 1", "1 if n else 2",
     "f'{n}'", "len(n)", "dict(n)", "[x for x in n]", "{n: 1}", "{n}", "[1][n]", "[n] == [1]",
     "str([n])", "sorted([n])", "'%s' % n", "n in [1]", "range(n)", "(1, n) in [(1, 2)]",
     "[x for x in [1] if n]", "sum([n])", "dict([n])", "sum([], start=n)", "list(zip([1], n))"],
)  # fmt: skip
def test_each_use_of_an_unreadable_value_raises_its_error(read, use):
    config = read(f"n = undefined_call()\ndata = dict(a={use})")
    assert "`undefined_call()`" in str(unreadable_error(config.data.a))


def test_rebound_builtin_is_the_files_own(read):
    with pytest.raises(ConfigError, match="dict\\(a=1\\)"):
        read("def dict(**kw):\n    return 5\nmodel = dict(a=1)")
    with pytest.raises(ConfigError, match="len"):
        read("len = 3\nCLASSES = [len([1])]")
    assert read("len = 3\nCLASSES = [len]").CLASSES == [3]
    with pytest.raises(ConfigError, match="range"):
        read("CLASSES = [range(2) for range in [1]]")
    with pytest.raises(ConfigError, match="print"):
        read("def print(x):\n    x.pop()\nCLASSES = ['a']\nprint(CLASSES)")
