"""Reading a config gives what executing it gives, over generated files."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.config_dict import Unreadable
from modelscope_vitadapter.config.reader import NAMES, execute_config, read_config
from modelscope_vitadapter.errors import ConfigError

READ = {
    "int": (
        *("0", "1", "-3", "True", "0x10", "<int> + <int>", "<int> - 2", "<int> * 3", "<int> // 2"),
        *("<int> % 5", "2 ** 3", "-<int>", "len(<list>)", "len(<str>)"),
        *("sum([<int>, <int>])", "sum(range(4))", "int(<float>)", "[<any>, 4][-1]"),
        "dict(k=<int>)['k']",
    ),
    "float": ("0.5", "1e-6", "<int> / 4", "<float> * <int>", "2 ** -<int>", "sum([0.1] * 10)"),
    "str": ("'a'", "'天空'", "'a' 'b'", "'x' + <str>", "<str> * 2", "('b', <str>)[1]", "<str>[0]"),
    "list": (
        *("[]", "[1, 2]", "[<any>, <any>]", "[<any>] * 2", "<list> + <list>", "2 * <list>"),
        *("[i for i in <list>]", "[[i, <any>] for i in range(2)]"),
        *("[dict(k=i, v=<any>) for i in <tuple>]", "dict(k=<list>)['k']", "[<list>, 1][0]"),
        "[[i + j for i in range(2)] for j in range(2)]",
    ),
    "tuple": ("()", "(1,)", "(<any>, <any>)", "<tuple> + (1,)", "<tuple> * 2"),
    "dict": (
        *("dict()", "{}", "dict(a=1)", "dict(a=<any>, b=<any>)", "{'a': <any>, 'c': <any>}"),
        *("{**<dict>, 'a': <any>}", "dict(type='A', **<dict>)"),
        *("dict(_delete_=True, a=<any>)", "dict(a=<dict>, _delete_=<int>)", "[<dict>][0]"),
    ),
    "function": ("lambda: None", "lambda: [<any>]"),
    "any": ("None", "<int>", "<float>", "<str>", "<list>", "<tuple>", "<dict>", "<list>", "<dict>"),
}
"""Expressions by kind; a hole takes an expression of its kind, or a name that holds one."""

ASSIGNMENTS = tuple(f"<={kind}> = <{kind}>" for kind in READ if kind != "function")
"""`<=kind>` is a name that holds a value of this kind from then on."""

WANTED = (
    *("CLASSES = <list>", "PALETTE = <list>", "test_pipeline = <list>", "data = dict(a=<any>)"),
    *("model = dict(a=<any>, b=<list>, c=dict(a=<dict>, b=<any>))", "model = <dict>"),
    "test_cfg = <dict>",
)

REFUSED = (
    *("<@list>.append(<any>)", "<@list>.extend(<@list>)", "<@list> += <list>", "<@list>[:] = [7]"),
    *("<@list>.reverse()", "<=any> = <@list>.pop()", "<@dict>['a'] = <any>", "del <@dict>['a']"),
    *("<@dict>.update(a=<any>)", "<@dict> |= dict(z=1)", "<@dict>.setdefault('y', []).append(1)"),
    *("<=dict> = <=dict> = <dict>", "<=list>, <=dict> = <list>, <dict>", "<=int>: int = <int>"),
    *("<@list>, <@list> = <@list>, <@list>", "<=list> = <@list> if <int> else <@list>"),
    *("<=str> = f'{<any>}'", "<=list> = sorted(<@list>, key=str)", "<=dict> = {**{<str>: <list>}}"),
    *("<=list> = max(<@list>, <@list>, key=len)", "<=list> = <@dict>.get('a', [])"),
    *("for x in range(2):\n    <@list>.append(x)", "for <@any> in [1]:\n    pass"),
    *("if <any>:\n    <@list>.clear()\nelse:\n    <@dict>.clear()", "del <@any>", "assert True"),
    "try:\n    <@any> = <any>\nfinally:\n    <@list>.append(2)",
    *("[x.append(3) for x in [<@list>]]", "<=list> = [dict(a=x.append(4)) for x in [<@list>]]"),
    *("<=any> = (<@list> := [5])", "<=any> = dict(a=<@list>, b=(<@list> := [5]), c=<@list>)"),
    "<=any> = [<@any> := i for i in range(2)]",
    "class A:\n    part = <@list>\n    part.append(6)",
    *("def <=function>():\n    <@list>.append(7)", "<=function> = lambda: <@dict>.update(q=1)"),
    *("def <=function>():\n    global <@any>\n    <@any> = [8]", "<@function>()"),
    *("f = dict(f=<@function>)\ng = [f]\ng[0]['f']()", "<=any> = <@function>()", "<@function>()"),
    "def <=function>(x=<@list>):\n    x.append(9)\n    return x",
    *("f = <@list>.append\nf(10)", "getattr(<@list>, 'append')(11)", "list.append(<@list>, 12)"),
    *("match <any>:\n    case <@any>:\n        pass", "import os", "from math import pi as <@any>"),
    *("globals()['<@any>'] = 13", "exec('<@any> = 14')", "from math import *", "'note'", "# <any>"),
    *("def dict(**entries):\n    return [1]", "len = max", "del <@dict>['a'], <@any>"),
)
"""Statements and expressions that aren't read, harmless where they run."""

BASE_CHANGES = (
    *("_base_.model.a = <any>", "_base_['model']['x'] = 1", "<=any> = _base_.model"),
    *("x = [_base_]", "<=list> = _base_.model.b\n<@list>.append(1)", "_base_.update(x=1)"),
    "del _base_.model",
)
HOLE = re.compile(r"<([=@]?)(\w+)>")


class Program:
    """The text of a file, written statement by statement; its new names begin with `prefix`."""

    def __init__(self, draw, prefix):
        self.choose = lambda items: draw(st.sampled_from(items))
        self.prefix = prefix
        self.lines = []
        self.names = {}  # kinds by name

    def add(self, template):
        for mark, kind in HOLE.findall(template):
            if mark == "@" and not self.known(kind):
                self.add(f"<={kind}> = <{kind}>")
        new = {}
        text = HOLE.sub(lambda hole: self.filled(*hole.groups(), new, 3), template)
        name, _, kind = template.partition(" = ")
        self.names |= {name: "list" if kind == "<list>" else "dict"} if name in NAMES else new
        self.lines.append(text)

    def known(self, kind):
        return [name for name, held in self.names.items() if kind in ("any", held)]

    def filled(self, mark, kind, new, depth):
        known = self.known(kind)
        if mark == "=":
            name = f"{self.prefix}{len(self.names) + len(new)}"
            new[name] = kind
            return name
        if known and (mark == "@" or self.choose((True, False))):
            return self.choose(known)
        choices = [text for text in READ[kind] if depth > 0 or "<" not in text] or ["None"]
        text = self.choose(choices)
        inner = HOLE.sub(lambda hole: self.filled(*hole.groups(), new, depth - 1), text)
        return f"({inner})"


@st.composite
def files(draw, statements, changes=()):
    """A config, or one with a `_base_` file, as texts by name."""
    based = draw(st.booleans())
    texts = {}
    for name in ["base", "mmcv_config"] if based else ["mmcv_config"]:
        program = Program(draw, name[0])
        if based and name == "mmcv_config":
            program.lines.append("_base_ = ['base.py']")
            statements = statements + changes
        for template in draw(st.lists(st.sampled_from(WANTED), min_size=1, max_size=4)):
            for _ in range(draw(st.integers(0, 3))):
                program.add(program.choose(statements))
            program.add(template)
        for _ in range(draw(st.integers(0, 3))):
            program.add(program.choose(statements))
        texts[f"{name}.py"] = "\n".join(program.lines) + "\n"
    return texts


def outcomes(directory, texts):
    """What reading and executing a config give: values, or the error."""
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    path = directory / "mmcv_config.py"
    try:
        executed = execute_config(path, ConfigError("compared"))
    except ConfigError as error:
        executed = error
    try:
        return read_config(path), executed
    except ConfigError as error:
        return error, executed


def assert_same(found, executed):
    """Where the value is readable, it is the executed one, in type and order too."""
    if isinstance(found, Unreadable):
        return
    assert type(found) is type(executed)
    if isinstance(found, dict):
        assert list(found) == list(executed)
        for key in found:
            assert_same(found[key], executed[key])
    elif isinstance(found, list | tuple):
        assert len(found) == len(executed)
        for one, other in zip(found, executed, strict=True):
            assert_same(one, other)
    else:
        assert repr(found) == repr(executed)


@settings(max_examples=150, deadline=None)
@given(texts=files(ASSIGNMENTS))
def test_what_is_read_is_what_is_executed(tmp_path_factory, texts):
    found, executed = outcomes(tmp_path_factory.mktemp("config"), texts)
    if isinstance(executed, ConfigError):
        return
    assert not isinstance(found, ConfigError), found
    assert found.keys() == executed.keys()
    assert "Unreadable(" not in repr(found)
    for name, value in found.items():
        assert_same(value, executed[name])


@settings(max_examples=300, deadline=None)
@given(texts=files(ASSIGNMENTS + REFUSED + REFUSED, BASE_CHANGES * 3))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_other_statements_never_make_it_read_wrongly(tmp_path_factory, texts):
    found, executed = outcomes(tmp_path_factory.mktemp("config"), texts)
    if isinstance(executed, ConfigError) or isinstance(found, ConfigError):
        return
    for name in NAMES:
        if not isinstance(found.get(name), Unreadable):
            assert (name in found) == (name in executed)
            assert_same(found.get(name), executed.get(name))
