"""Pieces of config files that try to run code, to take time or memory, or to confuse the reader."""

from tests.hostile.expressions import EXPRESSIONS as TRIED_EXPRESSIONS
from tests.hostile.expressions import STATEMENTS as TRIED_STATEMENTS

CODE = tuple(text for text in TRIED_EXPRESSIONS if "<" not in text)
"""Expressions that run code, or reach for what could; `CANARY` is the file that gives them away."""

EXPRESSIONS = (
    *("<any>(<any>)", "<any>.<word>", "<any>[<any>]", "<any>[<any>:<any>:<any>]", "<any> @ <any>"),
    *("<any> << <huge>", "<any> | <any>", "<any> ^ <any>", "<any> & <any>", "<list> * <huge>"),
    *("<str> * <huge>", "<huge> * <tuple>", "'%<huge>d' % <any>", "'%*d' % (<huge>, 1)"),
    *("f'{<any>:{<any>}}'", "f'{<any>:>{<huge>}}'", "f'{<any>!r:<huge>}'", "f'{<any>!a}'"),
    *("f'{<any>:.<huge>f}'", "f'{<any>:%Y}'", "'%(<word>)s' % <any>", "<str> % <any>"),
    *("range(<huge>)", "range(<int>, <huge>, <int>)", "list(range(<huge>))", "int('9' * <huge>)"),
    *("<huge> ** <huge>", "<huge> * <huge>", "<float> ** <huge>", "lambda: <any>"),
    "lambda <any>: 1",
    *("(w0 := <any>)", "[w1 := <any>, w1]", "await <any>", "(yield <any>)", "(yield from <any>)"),
    *("*<any>", "(*<any>)", "...", "b'x'", "1j", "dict(**<any>)", "dict(<any>)", "[*<any>]"),
    *("{**<any>}", "{<any>: <any>}", "{<any>, <any>}", "[<any+i> async for i in <any>]"),
    *("[<any+i> for i in <any> for j in <any> if <any>]", "[<any> for i.x in <any>]"),
    "<any> is <any>",
    *("[i for i, *j in <any>]", "[i for (i, j), *i in <any>]", "{<any+i>: i for i in <any>}"),
    *("(<any+i> for i in <any>)", "sorted(<any>, key=<any>)", "sorted(<any>)", "max(<any>)"),
    *("max(<any>, <any>)", "sum(<any>, <any>)", "round(<any>, <huge>)", "zip(<any>)"),
    *("list(zip(<any>, <any>))", "list(enumerate(<any>, <any>))", "list(reversed(<any>))"),
    *("tuple(<any>)", "set(<any>)", "int(<any>)", "float(<any>)", "abs(<any>)", "len(<any>)"),
    *("bool(<any>)", "str(<any>)", "any(<any>)", "list(<any>, <any>)", "<any> % <any>"),
    *("<any> + <any>", "<any> - <any>", "<any> * <any>", "<any> / <any>", "<any> // <any>"),
    *("<any> ** <any>", "<any> in <any>", "<any> < <any>", "-<any>", "~<any>", "not <any>"),
    *("float('nan')", "1e999", "-0.0", "{{ _base_.<word> }}", "'{{ _base_.<word> }}'"),
    *("'x{{ _base_.<word>.<word> }}'", "{{ fileDirname }}", "'{{ fileExtname }}/<huge>'"),
    *("dict({{ _base_.<word> }}=<any>)", "_base_", "_base_.<word>", "_base_['<word>']", "model"),
    *("dict(_delete_=<any>, a=1)", "{'_delete_': <any>}", "dict(_base_=<any>)", "CLASSES[<any>]"),
    *("print", "open", "CANARY", "undefined", "__file__", "ℌ", "'\\ud800'", "'\\0'", "f'{<any>=}'"),
)  # fmt: skip

HUGE = (
    *("10**9", "2**64", "-2**63", "10**18", "99999999999", "2**1023", "200001", "1000001", "1000"),
    *("0x7fffffff", "-1", "65536", "10**4300", "1e308", "(1 << 70)"),
)

STATEMENTS = (
    *(text for text in TRIED_STATEMENTS if "<" not in text),
    *("<any> = <any>", "<@dict>[<any>] = <any>", "<@list>[<any>] = <any>"),
    "<@dict>.<word> = <any>",
    *("<@dict>[<any>][<any>] = <any>", "del <@dict>[<any>]", "del <@list>[<any>], <@dict>.<word>"),
    *("<@any> += <any>", "<@list> *= <huge>", "<@list> += <@list>", "<@dict>[<any>] += <any>"),
    *("<@dict>['s'] = <@dict>", "<@list>[:] = [<@list>, <@list>]", "<@list>[::<int>] = <any>"),
    *("<=any>, *<=any>, *<=any> = <any>", "(<=any>, [<=any>, *<=any>]) = <any>"),
    "*<=any>, = <any>",
    *("_base_.<word> = <any>", "_base_[<any>] = <any>", "_base_ = <any>", "del _base_"),
    "_base_ += <any>",
    *("_base_.<word>.<word>[<any>] = <any>", "{{ _base_.<word> }} = <any>"),
    "{{ fileBasename }} = 1",
    *("dict = <any>", "range, len = <any>, <any>", "for list in <any>:\n    pass"),
    "import os as dict",
    *("def dict(**k):\n    <any>", "class range(<any>, metaclass=<any>):\n    <any>"),
    "@<any>\ndef f(): pass",
    *("if <any>:\n    <=any> = <any>", "while <any>:\n    <simple>"),
    "with <any> as <=any>:\n    <simple>",
    "try:\n    <simple>\nexcept <any> as <=any>:\n    pass",
    "for <=any> in <any>:\n    <simple>",
    "match <any>:\n    case [<=any>, *<=any>]:\n        <simple>",
    "async def f():\n    await <any>",
    *("match <any>:\n    case {'a': <=any>, **<=any>}:\n        pass", "from <word> import *"),
    *("global model", "nonlocal x", "return <any>", "raise <any> from <any>"),
    "assert <any>, <any>",
    *("    <=any> = <any>", "<=any> = <any>; <=any> = <any>", "<any> if", "x = (", "'''"),
    "type X = <any>",
    *("<=any>: <any> = <any>", "<=any>: <any>", "exec(<any>)", "<any>"),
    "import tests.fuzz.untouched",
    *("from tests.fuzz.untouched import x as model", "open(CANARY, 'w').write(<any>)"),
    "lambda: (yield)",
)  # fmt: skip

BASES = (
    *("'b0.py'", "['b0.py', 'sub/b1.py']", "('sub/b1.py',)", "'mmcv_config.py'"),
    "['b0.py', 'b0.py']",
    *("'../secret.py'", "'sub/../../secret.py'", "'/etc/passwd'", "'C:/x.py'", "'sub'"),
    "'b0.json'",
    *("''", "'b0.py\\0'", "'x' * 5000 + '.py'", "'sub/../b0.py'", "3", "None", "[['b0.py']]"),
    *("dict(a=1)", "f'{<str>}.py'", "'mmdet::b0.py'", "'~/x.py'", "'file:///etc/passwd'", "<any>"),
    *("'\\\\\\\\host\\\\x.py'", "['b0.py'] * <huge>", "'b0.py' if <bool> else 'sub/b1.py'"),
    "'missing.py'",
    *("['b0.py', <any>]", "'\\ud800.py'", "'./' * 3000 + 'b0.py'", "{'b0.py'}", "'CON.py'"),
    "'b0.py '",
)  # fmt: skip

NESTINGS = (
    *(("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("{1: ", "}"), ("f(", ")")),
    ("lambda: ", ""),
    *(("1 if 1 else ", ""), ("x.", ""), ("1 + ", ""), ("1 < ", ""), ("1 or ", "")),
    ("[i for i in ", "]"),
    *(("2 ** ", ""), ("dict(a=", ")"), ("f'{", "}'"), ('"{{ ', ""), ("(w := ", ")"), ("*", "")),
    *(("", "[0]"), ("", ".a"), ("", "()"), ("", ", 1"), ("", " 'a'"), ("", "\n"), ("", "\\\n")),
    ("#", ""),
)  # fmt: skip
"""What is put around an expression, many times over."""

REPETITIONS = (5, 20, 63, 64, 65, 99, 101, 150, 299, 301, 1000, 5000, 30000)
