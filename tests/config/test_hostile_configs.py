"""Configs made to run code, to take time or memory, or to break the reader."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.config_dict import needed
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.config.source import MAX_CHARACTERS
from modelscope_vitadapter.errors import ConfigError
from tests.support.canary import CODE, FILE, MODULE, nothing_runs_in
from tests.support.peak import peak, reset_peak

OPEN = f"open({FILE!r}, 'w')"

EXPRESSIONS = {
    "a call": CODE,
    "a call by another name": f"[open][0]({FILE!r}, 'w')",
    "eval": f"eval({CODE!r})",
    "an import": f"__import__({MODULE!r})",
    "a lambda": f"(lambda: {CODE})()",
    "attributes": "().__class__.__base__.__subclasses__()",
    "an f-string": f'f"{{{CODE}}}"',
    "a percent format": f"'%s' % {OPEN}",
    "a walrus": f"(x := {OPEN})",
    "a comprehension": f"[x.close() for x in [{OPEN}]]",
    "a generator": f"list({CODE} for x in [1])",
    "keywords": f"dict(**{OPEN})",
    "a key": f"{{{OPEN}: 1}}",
    "builtins": f"__builtins__['open']({FILE!r}, 'w')",
}
STATEMENTS = {
    "import star": f"from {MODULE} import *",
    "decorator": f"@(lambda f: {CODE})\ndef f(): pass",
    "default argument": f"def f(x={CODE}): pass",
    "class": f"class A(metaclass={OPEN}):\n    {CODE}",
    "with": f"with {OPEN} as x: pass",
    "loops": f"for x in [{CODE}]: pass\nwhile {CODE}: pass",
    "assert": f"assert {CODE}\nraise {CODE}",
    "match": f"match {CODE}:\n    case _: pass",
}

TALL = "a = [0]\n" + "a = [a, a]\n" * 100
REFUSED = {
    "null bytes": b"model = {}\n\0",
    "another encoding": "CLASSES = ['天空']".encode("gbk"),
    "no Python": b"<html>404</html>",
    "2 MB": b"# note\n" * 300_000,
    "a long sum": b"model = " + b"1+" * 100_000 + b"1",
    "a long chain of signs": b"model = " + b"-" * 100_000 + b"1",
    "a long chain of branches": b"if a: pass\n" + b"elif b: pass\n" * 15_000,
    "deep brackets": b"x = " + b"(" * 300 + b")" * 300,
    "digits without end": b"model = " + b"9" * 200_000,
    "bits without end": b"model = 0x" + b"f" * 200_000,
    "most text": b"a\n" * ((MAX_CHARACTERS - 1) // 2) + b"=",
    "most statements that change a name": b"x = [0]\n" + b"x[0] += 1\n" * 20_000 + b"model = x",
    "most functions": b"".join(b"a%d = []\ndef f%d(): a%d\n" % (i, i, i) for i in range(8000)),
    "a list without end": b"model = [0] * 1000000000",
    "a power without end": b"model = 2 ** 10**10",
    "a range without end": b"model = sum(range(1000000000000))",
    "a list of lists without end": b"model = [[0] * 99999] * 99999",
    "a loop without end": b"model = [[0 for i in range(99999)] for i in range(99999)]",
    "a long refusal in a loop": b"data = [dict(a=f(" + b"x," * 9999 + b")) for i in range(9999)]",
    "a long refusal without names in a loop": (
        b"data = [dict(a=[+1," + b"1," * 50_000 + b"]) for i in range(9999)]"
    ),
    "a list doubled without end": b"a = [0]\n" + b"a = a + a\n" * 100 + b"model = a",
    "a value shared without end": TALL.encode() + b"model = a",
    "a tuple shared without end": b"a = ()\n" + b"a = (a, a)\n" * 100 + b"model = [a]",
    "a value without ground": b"a = []\n" + b"a = [a]\n" * 9999 + b"CLASSES = a",
    "a text shown without end": b"CLASSES = ['a' * 99999] * 99999",
    "a file that is its base": b"_base_ = 'mmcv_config.py'\n#" + b"#" * 250_000,
}
READ = {
    "a refused value that nobody needs": b"x = [0] * 1000000000\ny = f()\nf(x, y)",
    "a value shared without end that nobody needs": TALL.encode(),
    "a tuple shared without end that is changed": b"a = ()\n" + b"a = (a, a)\n" * 100 + b"f(a)",
    "a long sum that nobody needs": b"x = " + b"1+" * 900 + b"1",
    "many entries that are refused": b"".join(b"x%d = f()\n" % i for i in range(5000)),
}
NEEDED = "CLASSES = ['a']\nPALETTE = []\nmodel = dict(a=1)\n"
READABLE = {"CLASSES": ["a"], "PALETTE": [], "model": {"a": 1}}


def read_quietly(directory, data):
    path = directory / "mmcv_config.py"
    path.write_bytes(data)
    with nothing_runs_in(directory):
        config = read_config(path)
    return {name: needed(config.get(name)) for name in ("CLASSES", "PALETTE", "model")}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_never_runs(tmp_path, name):
    text = EXPRESSIONS[name]
    for form in ("CLASSES = {}", "CLASSES = [{}]", "CLASSES = dict(a=1, **{{'b': [{}]}})['b']"):
        with pytest.raises(ConfigError, match="line 4"):
            read_quietly(tmp_path, f"{NEEDED}{form.format(text)}\n".encode())
    for form in ("x = {}", "if 1:\n    {}", "model = dict(a=1, b={})", "{}"):
        config = read_quietly(tmp_path, f"{form.format(text)}\nx = 1\n{NEEDED}".encode())
        assert config == READABLE


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_never_runs(tmp_path, name):
    config = read_quietly(tmp_path, f"{STATEMENTS[name]}\n{NEEDED}".encode())
    assert config == READABLE


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    before, start = reset_peak(), sys.getrecursionlimit()
    with pytest.raises(ConfigError, match="mmcv_config") as raised:
        read_quietly(tmp_path, REFUSED[name])
    after = peak()
    assert len(str(raised.value)) < 2000
    str(raised.value).encode()
    assert sys.getrecursionlimit() == start
    if before is not None and after is not None:
        assert after - before < 500 * 10**6


@pytest.mark.parametrize("name", READ)
def test_read(tmp_path, name):
    config = read_quietly(tmp_path, READ[name] + b"\n" + NEEDED.encode())
    assert config == READABLE


def test_what_runs_is_noticed(tmp_path):
    for code in (CODE, f"import {MODULE}", "import os; os.system('')"):
        with pytest.raises(AssertionError), nothing_runs_in(tmp_path):
            exec(code)


TOKENS = st.sampled_from(
    [
        *("model", "CLASSES", "data", "dict", "_base_", "=", "+=", ":=", "(", ")", "[", "]", "{"),
        *("}", ",", ".", ":", "*", "**", "-", "@", ";", "'", '"', "f'", "\\", "\n", "#", "\t天"),
        *("\x0c", "{{", "}}", "if", "else", "for", "in", "lambda", "del", "not", "def", "class"),
        *("yield", "await", "import", "0", "1e9", "9**9", "'a'", OPEN),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(TOKENS, max_size=30).map(lambda tokens: " ".join(tokens).encode()),
    )
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_any_bytes_text_and_tokens_are_read_or_refused(tmp_path_factory, data):
    try:
        read_quietly(tmp_path_factory.getbasetemp(), data)
    except ConfigError as error:
        assert "mmcv_config" in str(error)
        str(error).encode()
