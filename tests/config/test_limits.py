import pytest

from modelscope_vitadapter.config.limits import (
    MAX_FILE_BYTES,
    MAX_LENGTH,
    MAX_LINE,
    MAX_TOKENS,
    Budget,
    WorkExceededError,
)
from modelscope_vitadapter.config.reader import unreadable_error
from modelscope_vitadapter.errors import ConfigError

LARGE = [
    "[0] * 10**9", "(0,) * 10**9", "'a' * 10**10", "10**9 * [0]", "2**10**10", "10**10000",
    "(2**1000) * (2**1000)", "1" * 400, "range(10**12)", "range(0, -10**12, -1)",
    "list(range(10**9))",
    "f'{1:>1000000000}'", "f'{1:{10**9}}'", "f'{1.5:.1000000000f}'", "'%1000000000d' % 1",
    "'%.1000000000f' % 1", "'%*d' % (10**9, 1)", "'%(a)1000000000s' % dict(a=1)",
    "'%((a))1000000000d' % 1", "round(5, -10**9)", "int('9' * 5000)",
    "sum([[0] * 100000] * 100000, [])",
    "[0 for i in range(100000) for j in range(100000)]", "('%s' * 1000) % (('a' * 900000,) * 1000)",
    "[*[0] * 100000, *[0] * 100000, *[0] * 100000] * 2", "10.0**400", "-(2**1024) * 2",
    "'%s' * 3000 % (('a' * 999,) * 3000)",
    "'a' * 600000 + 'a' * 600000", "[0] * 150000 + [0] * 150000",
]  # fmt: skip


@pytest.mark.parametrize("text", LARGE)
def test_large_values_are_refused_alone(read, text):
    config = read(f"model = dict(a=({text}), b=1)")
    assert isinstance(unreadable_error(config.model.a), ConfigError)
    assert config.model.b == 1


GROWING = [
    "CLASSES = PALETTE = model = data = test_cfg = test_pipeline = [[0] * 1000] * 190",
    "a = [0]\n" + "a = [a, a]\n" * 100 + "model = dict(x=a)",
    "a = dict(x=0)\n" + "a = dict(x=a, y=a)\n" * 30 + "model = a",
    "a = [0]\n" + "a = [a, a]\n" * 30 + "model = a",
    "a = []\n" + "a = [a]\n" * 3000 + "model = a",
    "a = dict()\n" + "a = dict(a=a)\n" * 3000 + "model = a",
    "a = ()\n" + "a = (a,)\n" * 3000 + "model = dict()\nf(a)\nmodel = [a]",
    "model = []\nmodel[0:] = [model]",
    "model = dict()\nmodel['x'] = model",
    "model = [0]\n" + "model += model\n" * 60,
    "model = [0]\n" + "model *= 2\n" * 60,
    "model = [[0] * 1000 for i in range(5000)]",
    "model = [-1 in range(100000, 1, -1) for i in range(100000)]",
    "model = [1.5 in range(100000) for i in range(100000)]",
    "a = list(range(100000))\nmodel = [-1 in a for i in range(100000)]",
    "a = [0] * 100000\n" + "model = a[:]\n" * 1000,
    "a = [[]] * 1000\nmodel = [a, [[] for i in range(3000)]]\n" + "f(model)\n" * 3000,
    "CLASSES = [" + "f(),\n" * 100 + "]\nmodel = {(0, (0,) * 300): 1}\nmodel = x\n",
    "a = (0,)\n" + "a = (a, a)\n" * 100 + "model = [{a: 1}]",
    "a = [[0] * 100000]\nmodel = [str(a) for i in range(100)]",
    "data = dict("
    + ",".join(f"a{i}=f()" for i in range(15000))
    + ")\n"
    + "model = [0] * 200000\n" * 9,
]


@pytest.mark.parametrize("text", GROWING)
def test_values_that_grow_are_refused(read, text):
    with pytest.raises(ConfigError):
        read(text)


def test_operations_on_values_that_grow_are_refused_alone(read):
    grown = "a = [0]\nb = [0]\n" + "a = [a, a]\nb = [b, b]\n" * 100
    config = read(
        grown + "model = dict(x=a == b, y=f'{a}', z='%s' % a, w=sorted(a), v=str(a), u=1)"
    )
    assert config.model.pop("u") == 1
    assert all(unreadable_error(value) is not None for value in config.model.values())


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "+".join(["1"] * 100000),
        "x = " + "-" * 100000 + "1",
        "x = " + "not " * 10000 + "1",
        "x = a" + "[0]" * 10000,
        "x = a" + ".b" * 10000,
        "x = a" + "()" * 10000,
        "x = " + "(" * 10000,
        "x = " + "(" * 150 + ")" * 150,
        "x = " + "[" * 150 + "]" * 150,
        "x = " + "{1: " * 60,
        "x = " + "{" * 60,
        "x = " + "f(" * 60 + "1 2" + ")" * 60,
        "x = " + "lambda: " * 10000 + "1",
        "x = " + "lambda a, b: " * 10000 + "1",
        "x = " + "1 if 1 else " * 10000 + "1",
        "x = " + "2 ** " * 10000 + "1",
        "if a:\n pass\n" + "elif b:\n pass\n" * 5000,
        "".join(" " * i + "if a:\n" for i in range(300)) + " " * 300 + "pass",
        "x = f'{" + "+".join(["1"] * 100000) + "}'",
        "x = " + "'''" * 100001,
        "x = 1" + " or 1" * 10000,
        "x = " + "0," * (MAX_TOKENS + 1),
        "#" * (MAX_LINE + 1),
        "# comment\n" * (MAX_FILE_BYTES // 10 + 1),
    ],
)
def test_text_that_is_too_deep_or_long_is_refused_before_it_is_parsed(read, text):
    with pytest.raises(ConfigError):
        read(text + "\nmodel = dict(a=1)\n")


def test_deep_expressions_within_the_parsers_bounds(read):
    assert read("model = dict(a=" + "[" * 40 + "]" * 40 + ")").model.a
    assert read("CLASSES = " + "+".join(["['a']"] * 80)).CLASSES == ["a"] * 80
    with pytest.raises(ConfigError, match="nested too deeply"):
        read("CLASSES = " + "+".join(["[]"] * 140))
    assert read("x = " + "+".join(["1"] * 140) + "\nCLASSES = ['a']").CLASSES == ["a"]


def test_ordinary_sizes_are_accepted(read):
    names = [f"class {i}" for i in range(3000)]
    text = f"CLASSES = {names}\nPALETTE = {[[1, 2, 3]] * 3000}\nmodel = dict(n=len(CLASSES))"
    config = read(text)
    assert names == config.CLASSES
    assert len(config.PALETTE) == 3000
    text = "note = f'" + "a long sentence " * 100 + "{1}'\nCLASSES = ('a' \n" + "'b' \n" * 100 + ")"
    assert read(text).CLASSES == "a" + "b" * 100


def test_merging_that_grows_is_refused(read):
    grown = "a = dict(x=0)\n" + "a = dict(x=a, y=a)\n" * 30 + "model = a"
    with pytest.raises(ConfigError, match="merging"):
        read("_base_ = 'base.py'\n" + grown, base=grown)


def test_budget_is_shared_by_all_files(read):
    base = "[" + "0," * 40000 + "]"
    files = {f"f{i}": f"{name} = {base}" for i, name in enumerate(["model", "CLASSES", "PALETTE"])}
    with pytest.raises(ConfigError, match="tokens"):
        read("_base_ = ['f0.py', 'f1.py', 'f2.py']", **files)


def test_budget():
    budget = Budget()
    budget.spend(budget.left)
    with pytest.raises(WorkExceededError):
        budget.spend(1)
    with pytest.raises(WorkExceededError):
        budget.spend_elements(MAX_LENGTH)
