import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.expressions import Evaluator
from modelscope_vitadapter.config.limits import Budget
from modelscope_vitadapter.config.reader import read_config, unreadable_error
from modelscope_vitadapter.config.source import Source
from modelscope_vitadapter.errors import ConfigError, VitAdapterError

NAMES = {
    "i": 3,
    "f": -1.5,
    "s": "ab",
    "l": [1, 2, 3],
    "t": (4, "x"),
    "d": {"k": 1, "v": [2]},
    "n": None,
}


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    path = tmp_path_factory.mktemp("expressions") / "mmcv_config.py"

    def evaluate_text(text):
        path.write_text(f"x = ({text})", encoding="utf-8")
        source = Source(path, Budget())
        evaluator = Evaluator(source, Budget(), None)
        evaluator.names.update(NAMES)
        return evaluator.operand(source.tree.body[0].value)

    return evaluate_text


def same(left, right):
    """Equal in type and value everywhere, NaN and the sign of zero included."""
    return repr(left) == repr(right) and type(left) is type(right)


atoms = st.one_of(
    st.integers(-20, 300).map(repr),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.text("ab{}'\\\n天", max_size=4).map(repr),
    st.sampled_from(["True", "False", "None", "[]", "()", "{}", *NAMES]),
)


def combine(inner):
    few = st.lists(inner, max_size=3)
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
    relation = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"])
    calls = st.sampled_from(
        [
            "list",
            "tuple",
            "len",
            "sorted",
            "sum",
            "min",
            "max",
            "abs",
            "int",
            "float",
            "str",
            "bool",
            "any",
            "all",
            "set",
            "round",
        ]
    )
    keys = st.sampled_from(["'k'", "'v'", "0", "-1", "1:", "::2", "::-1", ":-1"])
    loops = st.sampled_from(
        [
            "[x for x in {0}]", "[(x, {1}) for x in {0} if x]",
            "[[x, y] for x in {0} for y in {1}]",
            "list(x for x in {0})", "dict(zip({0}, {1}))", "list(enumerate({0}))",
            "[i for i in {0}]", "[i for i in i]", "{{x: {1} for x in {0}}}", "[y for x, y in {0}]",
            "[*{0}, {1}]", "(*{0},)", "{{**{0}}}", "dict({0}, a={1})", "dict(**{0})",
            "[x for x in [1] for x in x]", "sum([{0}], {1})", "f'{{{0}}}-{{{1}!r}}'",
            "f'{{{0}:>5}}'", "f'{{{0}:{{i}}}}'", "'%s' % {0}", "'%s %r' % ({0}, {1})",
            "{0} if {1} else i", "not {0}", "-{0}", "+{0}", "~{0}", "{0}, {1}", "[*reversed({0})]",
            "[{0}] * {1}", "({0},) + ({1},)", "str({0}) + str({1})", "'%5.2f' % {0}",
            "[*range({0})]",
            "len([*zip({0}, {1})])", "{0} is None", "{0} is not {1}" , "1 < {0} < 5",
        ]
    )  # fmt: skip
    return st.one_of(
        few.map(lambda parts: f"[{', '.join(parts)}]"),
        few.map(lambda parts: f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"),
        st.tuples(inner, binary, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, relation, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(calls, inner).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(inner, keys).map(lambda parts: f"({parts[0]})[{parts[1]}]"),
        st.tuples(loops, inner, inner).map(lambda parts: f"({parts[0].format(*parts[1:])})"),
    )


@settings(max_examples=500, deadline=None)
@given(text=st.recursive(atoms, combine, max_leaves=8))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_expressions_mean_what_they_mean_in_python(evaluate, text):
    try:
        expected = eval(text, dict(NAMES))
    except SyntaxError:
        with pytest.raises(ConfigError):
            evaluate(text)
        return
    except Exception as error:
        expected = error
    try:
        value = evaluate(text)
    except ConfigError as error:
        # What Python can do may be refused, but only for reasons that are documented.
        reasons = ("cannot be evaluated (", "is not evaluated", "not valid Python")
        assert any(reason in str(error) for reason in reasons)
        if not isinstance(expected, Exception):
            documented = (
                "this operator is not evaluated", "a complex number", "more than", "identity",
                "this format", "takes no format", "is no number", "no absolute value",
                "cannot be iterated over", "takes no iterator", "rounding", "bad operand", "wider",
            )  # fmt: skip
            assert any(reason in str(error) for reason in documented), str(error)
    else:
        assert not isinstance(expected, Exception), f"{text} should fail: {expected!r}"
        assert same(value, expected), text


@pytest.mark.parametrize(
    "text",
    [
        "2 ** 3 ** 2", "-2 ** 2", "not 1 == 2", "1 or 1 / 0", "0 and 1 / 0", "1 if True else 1 / 0",
        "3 > 2 > 1", "3 > 4 > 1 / 0", "'a' < 'b' in 'bc'", "[1, 2] + [3]", "[0] * -1", "3 * 'ab'",
        "(1, 2) * 2", "True + True", "7 // -2", "-7 % 3", "7.5 % -2", "1 / 3", "2 ** -1",
        "2.0 ** 0.5",
        "0.0 ** 0", "1e308 * 10", "-0.0", "d['v'][0]", "l[1:]", "l[-1]", "t[::-1]", "s[1]",
        "range(5)[1:3]", "range(2)", "range(5)[-1]", "3 in range(5)", "2.5 in range(5)",
        "{1: 'a', **d, 'k': 5}", "dict(d, z=1)", "dict([(1, 2)], a=3)", "dict(['ab'])", "dict()",
        "dict(zip('ab', range(2)))", "{k: v for v, k in enumerate('ab', 1)}", "{x for x in l}",
        "[x + y for x in l if x > 1 for y in (x, -x) if y]", "[[y for y in range(x)] for x in l]",
        "[l for l in [l]]", "[i for i in range(i)]", "sorted(l, reverse=True)", "sorted('ba')",
        "sum(l, 1)", "sum([[1], [2]], [])", "sum([(1,)], ())", "sum([0.1] * 10)",
        "sum(x for x in l)",
        "max(1, 2.5)", "min(l)", "max(x for x in l)", "any(x > 2 for x in l)", "all(l)",
        "any(1 / x for x in [1, 0])", "list(zip(l, s))", "list(zip())", "list(zip(*[l, t]))",
        "list(reversed(l))", "tuple(l)", "set(l)", "list(d)", "len(d)", "int(3.9)", "int('12')",
        "float('1e3')", "str(1.50)", "str(l)", "bool([])", "abs(-3)", "round(2.5)",
        "round(1.25, 1)",
        "int()", "float()", "str()", "bool()", "list()", "tuple()", "set()", "range(*[1, 5])",
        "f'{i:03d}|{f:.2f}|{s!r:>6}|{i:,}|{255:#x}|{f:+}|{s:*^7}|{i}{{}}'", "f'{l}{d}{n}'", "f''",
        "f'{i=}'", "f'{s!a}'", "f'{s!s:>{i}}'", "f'{0.5:%}'", "f'{range(2)}'", "f'{True:d}'",
        "'%5.1f%%|%-4s|%+d|%x|%r' % (1.25, 'a', 3, 255, 'b')", "'%(k)s' % d", "'%s' % l",
        "'%s' % n",
        "'%d' % i", "'%s' % 's'", "'abc' % ()", "'%c' % 65", "'a' 'b'", "[*l, *t]", "(*l,)", "{*l}",
        "1 == 1.0 == True", "[1] == (1,)", "n is None", "True is not False", "n is not n", "~i",
        "+f",
        "not l", "1_000", "0b11", "1e3", "l[True]", "{(1, 'a'): 2}", "{1, 1.0}", "l[n:n]",
        "[(a, b, c) for a, *b, c in ['wxyz', (1, 2)]]", "[a for [a, (b, c)] in [(1, (2, 3))]]",
        "round(15, -1)", "round(2.567, 2)", "dict(a=1, **d)", "2 ** 0", "(-1) ** 1000", "0 ** 5",
    ],
)  # fmt: skip
def test_expression_equals_python(evaluate, text):
    assert same(evaluate(text), eval(text, dict(NAMES)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("b'a'", "bytes"), ("1j", "complex"), ("...", "ellipsis"), ("undefined", "no value"),
        ("len", "Python's len"), ("print('x')", "this call"), ("d.items()", "this call"),
        ("s.upper()", "this call"), ("s.upper", "no key of a dict"), ("d.nothing", "no key"),
        ("().__class__", "no key of a dict"), ("d['x']", "no key 'x'"), ("l[9]", "out of range"),
        ("l['a']", "indices"), ("i[0]", "takes no subscript"), ("{l: 1}", "unhashable"),
        ("{d}", "unhash"),
        ("1 + 'a'", "not evaluated on int and str"), ("l + t", "list \\+ tuple"),
        ("1 << 2", "operator"),
        ("l @ l", "operator"), ("1 | 2", "operator"), ("d | d", "operator"), ("-s", "operand"),
        ("(-8) ** 0.5", "a complex number"),
        ("1 / 0", "zero"), ("i is 3", "identity"), ("1 < 'a'", "not supported"),
        ("1 in 2", "iterable"),
        ("lambda: 1", "lambda"), ("(yield)", "yield"), ("(yield from l)", "yield from"),
        ("await x", "await"), ("(x := 1)", ":="), ("(x for x in l)", "generator"),
        ("*l", "starred"),
        ("zip(l)", "iterated over"), ("[enumerate(l)]", "iterated over"),
        ("len(zip(l))", "no iterator"),
        ("min(zip(l), 1)", "no iterator"), ("sorted(l, key=1)", "not evaluated with key"),
        ("sorted(l, reverse=zip(l))", "iterated over"), ("sum(['a'], 'b')", "strings"),
        ("dict(a=1, **{'a': 2})", "twice"), ("dict(**{1: 2})", "must be strings"),
        ("dict(1, 2)", "at most"),
        ("dict([(1, 2, 3)])", "pairs"), ("dict(i)", "iterated"), ("dict(**l)", "takes a dict"),
        ("{**l}", "takes a dict"), ("int([])", "no number"), ("abs('a')", "absolute"),
        ("round('a')", "number"), ("len(3)", "length"), ("enumerate(l, 'a')", "iterated over"),
        ("list(enumerate(l, 'a'))", "integer"), ("list(reversed(i))", "reversed"),
        ("[*i]", "iterated"),
        ("list(reversed({1}))", "reversed"), ("[x for x, y in l]", "iterated"),
        ("[x for x, y in [l]]", "longer|argument"), ("[x for x, *y, z in [[1]]]", "targets"),
        ("[x for l[0] in l]", "only names"), ("[x async for x in l]", "asynchronous"),
        ("[x for x in y for y in l]", "y has no value"),
        ("[y for x in l for y in y]", "has no value yet"),
        ("f'{i:1.2.3}'", "format"), ("f'{l:5}'", "no format"), ("f'{s:d}'", "Unknown format"),
        ("f'{i:n}'", "format"), ("'%d' % s", "number"), ("'%q' % 1", "format"),
        ("'%s %s' % 1", "enough"),
        ("'{}'.format(1)", "this call"), ("abs()", "argument"), ("int('a')", "invalid"),
        ("int('1', 2)", "argument"), ("float('1e999' * 99)", "digits|could not"),
        ("2.0 ** 5000", "large|range"),
        ("range('a')", "interpreted"), ("range(1, 2, 0)", "zero"), ("int(f) .real", "no key"),
        ("l[1:2:0]", "zero"), ("[1, 2][d]", "indices"), ("max([])", "empty|argument"),
        ("[f'{x.y}' for x in l]", "no key"), ("dict", "Python's dict"), ("_base_", "no value"),
        ("exec('1')", "this call"), ("(lambda: 1)()", "this call"), ("l[0](1)", "this call"),
    ],
)  # fmt: skip
def test_refused_expressions(evaluate, text, reason):
    with pytest.raises(ConfigError, match=rf"(?s)mmcv_config.py, line 1: .*({reason})"):
        evaluate(text)


def test_attribute_is_a_key(evaluate):
    assert evaluate("d.v[0]") == 2


def test_special_floats(evaluate):
    assert math.isinf(evaluate("1e999"))
    assert math.isnan(evaluate("float('nan')"))


@settings(max_examples=500, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "garbage.py"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_config(path)
    except VitAdapterError as error:
        assert isinstance(error, ConfigError)


pieces = st.sampled_from(
    [
        "model",
        "CLASSES",
        "data",
        "=",
        "+=",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ":",
        "*",
        "**",
        "'",
        '"',
        "f'",
        "\\",
        "\n",
        "#",
        "if",
        "else",
        "for",
        "in",
        "lambda",
        "dict",
        "_base_",
        "{{",
        "}}",
        "fileDirname",
        "0",
        "1e9",
        "9**9",
        "'a'",
        "del",
        "not",
        ":=",
        "def",
        "class",
        "yield",
        "await",
        "@",
        ";",
        "-",
        "\t天",
        "\x0c",
    ]
)


@settings(max_examples=500, deadline=None)
@given(parts=st.lists(pieces, max_size=30))
@pytest.mark.filterwarnings("ignore")
def test_any_tokens_are_read_or_refused(tmp_path_factory, parts):
    path = tmp_path_factory.getbasetemp() / "tokens.py"
    path.write_text(" ".join(parts), encoding="utf-8")
    try:
        read_config(path)
    except VitAdapterError as error:
        assert isinstance(error, ConfigError)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.py"
    path.write_bytes(data)
    try:
        read_config(path)
    except VitAdapterError as error:
        assert isinstance(error, ConfigError)


def test_generators_are_as_lazy_as_in_python(read):
    config = read("model = dict(a=any(1 / x for x in [1, 0]), b=all(1 / x for x in [1, 0]))")
    assert config.model.a is True
    assert "zero" in str(unreadable_error(config.model.b))
