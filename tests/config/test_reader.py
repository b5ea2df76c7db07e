import copy
import pickle

import pytest

from modelscope_vitadapter.config.config_dict import ConfigDict, Unreadable, needed
from modelscope_vitadapter.config.reader import execute_config, read_config
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError, UnreadableConfigError
from tests.support.configs import GOLDEN

UNREAD = [
    *("undefined", "base.a", "base.get('a')", "base['x']", "sizes[5]", "sizes['a']", "sizes[0:1]"),
    *("1[0]", "'%s' % 1", "'a' + 1", "[1] + (2,)", "[1] - [2]", "'a' * 'b'", "1 << 2", "+1", "~1"),
    *("1 < 2", "1 if 2 else 3", "1 and 2", "f'{sizes}'", "{1, 2}", "{1: 2}", "{(1, 2): 3}", "b'a'"),
    *("1j", "...", "1 / 0", "2 ** 3", "7 % 4", "2.0 ** -1", "(x := 1)", "lambda: 1", "len(sizes)"),
    *("'{{ fileDirname }}'", "'a{{_base_.x}}b'", "{'{{ a }}': 1}", "[{{1}}]"),
    *("{i: 1 for i in sizes}", "[i for i in sizes if i]", "[i for i in 'ab']", "not 1", "[*sizes]"),
    *("[i for i in sizes for j in sizes]", "[i for i, j in [sizes]]", "sum(i for i in sizes)"),
    *("int('7')", "int(1, 2)", "sum(['a'])", "sum([[1]], [])", "range('a')", "[dict]"),
    *("range(1, stop=2)", "dict(base)", "dict(**sizes)", "{**sizes}", "list(sizes)", "[f(1)][0]"),
    *("print('x')", "().__class__", "{**undefined}", "_base_", "dict(a=1)['b']"),
]


@pytest.mark.parametrize("text", UNREAD)
def test_other_expressions_are_unreadable_where_they_stand(read, text):
    config = read(f"base = dict(a=2)\nsizes = (8, 9)\nmodel = dict(\n    y=1,\n    x={text})")
    assert config.model.y == 1
    with pytest.raises(UnreadableConfigError, match=r"mmcv_config\.py, line 5: .*`.*trust_remote"):
        needed(config.model.x)


@pytest.mark.parametrize("name", ["full_size_mmcv_config.py", "base/mmcv_config.py"])
def test_golden_configs_are_read_as_executed(name):
    assert read_config(GOLDEN / name) == execute_config(GOLDEN / name, ConfigError("compared"))


def test_only_needed_names_are_kept(read):
    config = read("'Note.'\na = 2\nb = a + 1\nmodel = dict(depth=b)\nlr = 0.1\ntest_cfg = None\n")
    assert config == {"model": {"depth": 3}, "test_cfg": None}
    assert isinstance(config.model, ConfigDict)


def test_unreadable_is_not_taken_for_a_value(read):
    mark = read("model = dict(a=f())").model.a
    assert pickle.loads(pickle.dumps(mark)) == mark
    for use in (bool, list, lambda value: value[0], needed):
        with pytest.raises(UnreadableConfigError, match="`f\\(\\)`"):
            use(mark)
    assert needed(3) == 3


NESTED = {"a": [{"b": ({"c": 1},)}], "copy": 2, "empty": {}, 3: "three", "mark": Unreadable("why")}


COPIES = [ConfigDict, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_config_keeps_types_and_values_in_copies(copied):
    config = copied(first := ConfigDict(NESTED))
    assert type(config) is type(config.a[0].b[0]) is type(config.empty) is ConfigDict
    assert config == NESTED
    config.a[0].b[0].c = 5
    assert first.a[0].b[0].c == 1
    with pytest.raises(AttributeError, match="missing"):
        _ = config.missing
    with pytest.raises(KeyError):
        _ = config["missing"]


REBOUND = [
    "CLASSES += ['b']", "CLASSES, x = [], 1", "CLASSES = x = []", "CLASSES: list = []",
    "for CLASSES in []: pass", "if True:\n    CLASSES = []", "import a.b as CLASSES", "del CLASSES",
    "import CLASSES.a", "from a import CLASSES", "from a import *", "def CLASSES(): pass",
    "class CLASSES: pass", "globals()['CLASSES'] = 1", "exec('CLASSES = []')",
    "import builtins\nbuiltins.exec('CLASSES = []')", "f.__globals__['CLASSES'] = []",
    "import sys\nsys.modules[__name__].CLASSES = []",
    "with a as CLASSES: pass", "try: pass\nexcept E as CLASSES: pass", "x = (CLASSES := [])",
    "x = [CLASSES := i for i in [1]]", "match a:\n    case [*CLASSES]: pass",
    "match a:\n    case {**CLASSES}: pass", "match a:\n    case CLASSES: pass",
    "def f():\n    global CLASSES\nCLASSES = 5\nf()",
    "f = lambda: [CLASSES.append(1)]\nCLASSES = []\nx = f()",
    "f = (CLASSES.append(i) for i in [1])\nCLASSES = []\nnext(f)",
    "class A:\n    def f(self):\n        CLASSES.append(1)\nCLASSES = []\nx = dict(a=A().f())",
]  # fmt: skip
CHANGED = [
    "CLASSES.append(1)", "CLASSES[0] = 1", "CLASSES[:] = []", "del CLASSES[0]", "print(CLASSES)",
    "x = CLASSES\nx.append(1)", "x = dict(a=(CLASSES,))\nx['a'][0].append(1)", "f(key=[CLASSES])",
    "x = f'{CLASSES.pop()}'", "x = [a.pop() for a in [CLASSES]]", "x = CLASSES if 1 else []",
    "x = dict(a=[[CLASSES]] * 2)\nx.clear()", "for x in [CLASSES]:\n    x.append(1)",
    "x = [dict(a=y.pop()) for y in [CLASSES]]", "x = lambda: CLASSES", "assert f(CLASSES)",
    "@f(CLASSES)\ndef g(): pass", "def g(x=CLASSES): pass", "class A(f(CLASSES)): pass",
    "while CLASSES: CLASSES.pop()", "x = [CLASSES, [0]][0]\nx += [1]", "raise f(CLASSES)",
]  # fmt: skip


@pytest.mark.parametrize("text", REBOUND + CHANGED)
def test_what_a_statement_may_change_is_refused_where_needed(read, text):
    start = "CLASSES = ['a']\nn = 3\nother = [n]\ndata = dict(c=CLASSES, o=other)\n"
    with pytest.raises(UnreadableConfigError, match=r"mmcv_config\.py, line [5-9]: .*`"):
        needed(read(start + text).CLASSES)
    data = read(f"{start}{text}\nmodel = {{}}\nCLASSES = []\nPALETTE = []").data
    assert isinstance(data, Unreadable) or data.o == [3]
    if text in CHANGED:
        assert isinstance(data.c, Unreadable)


def test_statements_that_touch_nothing_needed_do_not_matter(read):
    config = read(
        "import os\nfrom math import pi\nx = os.getcwd()\nprint('x')\nlr = [0] * 1000000000\n"
        "n = 2\nprint(n)\nassert n == 2\ndef f(x):\n    x.pop()\nwork_dir = f'{n}'\n"
        "CLASSES = ['a'] * n\nmodel = dict(n=n, c=CLASSES, train_cfg=dict(a=f(3), b=2))\n"
        "for i in range(3):\n    print(i)\nclass A(x): pass\nlr.append(1)\n"
    )
    assert config.CLASSES == config.model.c == ["a", "a"]
    assert config.model.n == config.model.train_cfg.b == 2
    assert isinstance(config.model.train_cfg.a, Unreadable)
    assert read("def f(): CLASSES.pop()\nCLASSES = ['a']\n'Note.'\npass\n").CLASSES == ["a"]


@pytest.mark.parametrize(
    "text",
    ["def dict(**kw): pass", "sum = 5", "from a import b as range", "for int in []: pass"],
)
def test_functions_that_the_file_binds_are_its_own(read, text):
    with pytest.raises(UnreadableConfigError, match=r"line 2: .*expressions of this kind"):
        needed(read(f"{text}\nCLASSES = [dict(), sum([]), range(3), int(2.5)]").CLASSES)
    assert isinstance(read("CLASSES = [[sum([]) for sum in [1]]]").CLASSES, Unreadable)


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        ("CLASSES = ['天空']".encode(), ["天空"]),
        ("CLASSES = ['天空']".encode("utf-8-sig"), ["天空"]),
        (b"CLASSES = [\r\n'a',\r\n'''b\r\nc''']\r\n", ["a", "b\nc"]),
        (b"# coding: gbk\rCLASSES = ['a']\r", ["a"]),
    ],
)
def test_encodings_and_line_ends(tmp_path, data, classes):
    (tmp_path / "mmcv_config.py").write_bytes(data)
    assert classes == read_config(tmp_path / "mmcv_config.py").CLASSES


def test_syntax_errors_name_line_and_text(read):
    with pytest.raises(ConfigError, match=r"mmcv_config\.py, line 2: .*`y = \(1 2\)`"):
        read("x = 1\ny = (1 2)\n")


def test_missing_and_unusable_paths(tmp_path):
    with pytest.raises(ConfigNotFoundError, match=r"mmcv_config\.py does not exist.*download"):
        read_config(tmp_path / "mmcv_config.py")
    for path in (tmp_path, tmp_path / ("x" * 5000), "a\0b"):
        with pytest.raises(ConfigError):
            read_config(path)
