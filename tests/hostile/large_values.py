"""Configs that ask for much memory or time."""

from modelscope_vitadapter.config.limits import MAX_FILE_BYTES, MAX_LINE, MAX_TOKENS

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
"""Expressions."""

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
"""Whole files."""

_HASH = "(2**61 - 1)"

COLLIDING = [
    f"len({{i * {_HASH} for i in range(60000)}})",
    f"len(set([i * {_HASH} for i in range(60000)]))",
    f"len({{i * {_HASH}: 0 for i in range(60000)}})",
    f"len(dict([(i * {_HASH}, 0) for i in range(60000)]))",
    f"len(dict(zip([i * {_HASH} for i in range(60000)], range(60000))))",
    f"len({{(i * {_HASH}, 0) for i in range(60000)}})",
    f"{{-i * {_HASH}: 0 for i in range(60000)}}[0]",
]
"""Expressions whose keys all have the same hash."""

DEEP = [
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
]
"""Files that the parser must not see."""
