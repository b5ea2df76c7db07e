"""Configs that try to run code; each is tried where its value is needed and where it isn't."""

import os

import pytest

from modelscope_vitadapter.config.reader import read_config, unreadable_error
from modelscope_vitadapter.errors import ConfigError

RUN = "open(CANARY, 'w').close()"

EXPRESSIONS = [
    RUN,
    f"exec({RUN!r})",
    f"eval({RUN!r})",
    f"compile({RUN!r}, '', 'exec')",
    "__import__('os').system('touch ' + CANARY)",
    f"(lambda: {RUN})()",
    f"lambda x={RUN}: x",
    f"[{RUN} for _ in range(1)]",
    f"[x for x in [{RUN}]]",
    f"[0 for x in [1] if {RUN}]",
    f"{{x: {RUN} for x in [1]}}",
    f"{{{RUN} for x in [1]}}",
    f"list({RUN} for _ in [1])",
    "[f for f in [open]][0](CANARY, 'w')",
    "[open(CANARY, 'w') for open in [open]]",
    "[x.close() for x in [open(CANARY, 'w')]]",
    'f"{open(CANARY, chr(119)).close()}"',
    "f'{open(CANARY, chr(119))!r:>{10}}'",
    "f'{1:{open(CANARY, chr(119))}}'",
    "'{0.__class__}'.format(open(CANARY, 'w'))",
    "'{0.__class__.__mro__}'.format(1)",
    "'%s' % open(CANARY, 'w')",
    "().__class__.__base__.__subclasses__()",
    "().__class__",
    "''.__class__.__mro__[1]",
    "dict.__subclasses__()",
    "[].append.__self__",
    "(1).real",
    "f'{().__class__}'",
    "f'{model.__init__.__globals__}'",
    "__builtins__",
    "__builtins__['open'](CANARY, 'w')",
    "__builtins__.open(CANARY, 'w')",
    "globals()['__builtins__']",
    "getattr('', 'join')",
    "type('X', (), {})",
    "dict(a=1).get('a')",
    "sorted([CANARY], key=open)",
    "sorted([1], key=lambda x: x)",
    "max([CANARY], key=open)",
    "list(map(open, [CANARY], 'w'))",
    "list(zip(open(CANARY, 'w')))",
    "[*open(CANARY, 'w')]",
    "{**open(CANARY, 'w')}",
    "dict(**open(CANARY, 'w'))",
    "dict(open(CANARY, 'w'))",
    "list(open(CANARY, 'w'))",
    "len(open(CANARY, 'w'))",
    "range(*open(CANARY, 'w'))",
    "open(CANARY, 'w') if True else 1",
    "1 if open(CANARY, 'w') else 2",
    "open(CANARY, 'w') or 1",
    "1 and open(CANARY, 'w')",
    "not open(CANARY, 'w')",
    "-open(CANARY, 'w')",
    "open(CANARY, 'w') < 1",
    "1 in open(CANARY, 'w')",
    "open(CANARY, 'w') is None",
    "open(CANARY, 'w') + 1",
    "[1, 2][open(CANARY, 'w'):]",
    "[1][open(CANARY, 'w')]",
    "open(CANARY, 'w')[0]",
    "open(CANARY, 'w').name",
    "{open(CANARY, 'w'): 1}",
    "(x := open(CANARY, 'w'))",
    "[y := open(CANARY, 'w') for _ in [1]]",
    "print(open(CANARY, 'w'))",
    "print",
    "breakpoint()",
    "exit()",
    "input()",
    "super().__init__()",
    "help('modules')",
    "vars()",
    "memoryview(b'')",
    "object()",
    "Ellipsis",
    "b'bytes'",
    "...",
    "1j",
    "__file__",
    "__name__",
    "__loader__.load_module('os')",
    "model.__class__",
    "CLASSES.__class__.__base__",
    "int.from_bytes(b'a', 'big')",
    "str.join",
    "str(open(CANARY, 'w'))",
    "dict(a=1)['a'].__class__",
]

STATEMENTS = [
    f"@{RUN.removesuffix('.close()')}\ndef f():\n    pass",
    "@(lambda f: open(CANARY, 'w'))\nclass A:\n    pass",
    f"def f(x={RUN}):\n    pass",
    f"def f(x: {RUN}):\n    pass",
    f"class A({RUN}):\n    pass",
    f"class A:\n    {RUN}",
    f"class A(metaclass={RUN}):\n    pass",
    f"for x in [{RUN}]:\n    pass",
    f"while {RUN}:\n    pass",
    f"if {RUN}:\n    pass",
    f"with {RUN} as x:\n    pass",
    f"try:\n    {RUN}\nfinally:\n    {RUN}",
    f"assert {RUN}",
    f"raise {RUN}",
    f"x: {RUN} = 1",
    f"x: {RUN}",
    f"match {RUN}:\n    case _:\n        pass",
    f"del [{RUN}][0]",
    f"[{RUN}][0] = 1",
    "import canary_module",
    "from canary_module import *",
    "import canary_module as dict_",
    f"async def f():\n    await {RUN}",
    f"a = b = {RUN}",
    f"a, b = {RUN}",
    f"a += {RUN}",
    f"globals()['x'] = {RUN}",
    "x = y = 1; " + RUN,
    f"return {RUN}",
    f"yield {RUN}",
    f"nonlocal {'x'}",
]


@pytest.fixture
def canary(tmp_path, monkeypatch):
    path = tmp_path / "canary"
    module = tmp_path / "canary_module.py"
    module.write_text(f"open({str(path)!r}, 'w').close()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    assert not path.exists()


def config_with(tmp_path, canary, text):
    path = tmp_path / "mmcv_config.py"
    path.write_text(
        f"CANARY = {str(canary)!r}\nCLASSES = ['a']\nmodel = dict(a=1)\n{text}\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression_never_runs(tmp_path, canary, text):
    for form in ("CLASSES = {}", "CLASSES = [{}]", "CLASSES = ['a', dict(a=1), [{}]][0]"):
        with pytest.raises(ConfigError, match="line 4"):
            read_config(config_with(tmp_path, canary, form.format(text)))
    config = read_config(config_with(tmp_path, canary, f"model = dict(a={text}, b=2)"))
    assert isinstance(unreadable_error(config.model.a), ConfigError)
    assert config.model.b == 2
    config = read_config(config_with(tmp_path, canary, f"model['a'] = {text}"))
    assert isinstance(unreadable_error(config.model.a), ConfigError)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression_that_nobody_needs_never_matters(tmp_path, canary, text):
    text = text.replace("CLASSES", "OTHER").replace("model", "OTHER")
    for form in ("other = {}", "{}", "other = dict(a={})", "if {}:\n    pass"):
        config = read_config(config_with(tmp_path, canary, form.format(text)))
        assert config == {"CLASSES": ["a"], "model": {"a": 1}}


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement_never_runs(tmp_path, canary, text):
    try:
        config = read_config(config_with(tmp_path, canary, text))
    except ConfigError as error:
        assert "import *" in text or "not valid Python" in str(error)
    else:
        assert config == {"CLASSES": ["a"], "model": {"a": 1}}


def test_execution_would_be_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "noticed"
    exec(RUN, {"CANARY": str(path)})
    assert path.exists()
    assert not os.path.exists(str(path) + "x")  # noqa: PTH110
