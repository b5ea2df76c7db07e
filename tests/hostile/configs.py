"""Configurations: code that is needed or isn't, sizes of text, encodings, templates, bases."""

from tests.hostile.entries import (
    CLASS_NAMES,
    CONFIG,
    Entry,
    base_of,
    classes_are,
    config_text,
    rewritten,
)
from tests.hostile.expressions import EXPRESSIONS, STATEMENTS
from tests.hostile.large_values import COLLIDING, DEEP, GROWING, LARGE

REFUSED = "ConfigError"
UNREADABLE = "UnreadableConfigError"
EITHER = f"{REFUSED}|{UNREADABLE}"

SPOILS_A_NAME = {"from canary_module import *"}
"""Statements that may bind any name, and so one that is needed."""


def _raw(encode):
    """A `make` that writes what `encode` makes of the configuration's text."""

    def make(directory):
        (directory / CONFIG).write_bytes(encode(config_text(directory)))

    return make


def _indented(text):
    return text.replace("\n", "\n    ")


def _code_entries():
    for number, text in enumerate(EXPRESSIONS):
        other = text.replace("CLASSES", "OTHER").replace("model", "OTHER")
        yield Entry(
            f"needed expression {number}",
            rewritten(CLASSES=f"['a', 'b', 'c', 'd', {text}]"),
            UNREADABLE,
            "mmcv_config.py, line",
        )
        yield Entry(f"unused expression {number}", rewritten(tail=f"unused_too = {other}"))
        yield Entry(f"bare expression {number}", rewritten(tail=f"if 1:\n    {other}"))
        ignored = f"model['train_cfg'] = dict(a={text})\ndata = dict(train=[{text}])"
        ignored += "\ndata['test'] = dict(pipeline=test_pipeline)"
        yield Entry(f"ignored expression {number}", rewritten(tail=ignored))
    for number, text in enumerate(STATEMENTS):
        if text in SPOILS_A_NAME:
            make = rewritten(tail=text)
            yield Entry(f"statement {number}", make, UNREADABLE, "line .*import")
        else:
            yield Entry(f"unused statement {number}", rewritten(tail=text))
            yield Entry(f"unused statement {number} of a base file", _based(tail=text))
            needed = f"if CANARY:\n    {_indented(text)}\n    CLASSES = list(CLASSES)"
            yield Entry(f"needed statement {number}", rewritten(tail=needed), UNREADABLE, "line")


def _size_entries():
    for number, text in enumerate(LARGE):
        make = rewritten(head=f"size = {text}", CLASSES="['a', 'b', 'c', 'd', str(size)]")
        yield Entry(f"needed large value {number}", make, UNREADABLE, "line")
        yield Entry(f"unused large value {number}", rewritten(tail=f"optimizer = dict(a={text})"))
        ignored = f"model['train_cfg'] = dict(a={text})"
        yield Entry(f"ignored large value {number}", rewritten(tail=ignored))
    for number, text in enumerate(GROWING):
        make = rewritten(tail=text)
        yield Entry(f"growing value {number}", make, EITHER, "mmcv_config.py", heavy=True)
    for number, text in enumerate(COLLIDING):
        make = rewritten(tail=f"CLASSES = {text}")
        yield Entry(f"colliding keys {number}", make, UNREADABLE, "line", heavy=True)
    for number, text in enumerate(DEEP):
        make = rewritten(tail=text)
        yield Entry(f"deep text {number}", make, REFUSED, "mmcv_config.py", heavy=True)
    million = "x" * 2**20
    yield Entry(
        "100 MB of text",
        _raw(lambda text: (text + f"# {million}\n" * 100).encode()),
        REFUSED,
        "too large",
        heavy=True,
    )
    yield Entry(
        "2 MB of names that templates might get",
        rewritten(tail="\n".join(f"# {_templates(line)}" for line in range(120))),
        heavy=True,
    )
    copies = "{{ fileDirname }}" * 1000
    yield Entry(
        "many copies of a long template",
        rewritten(CLASSES=f"['''{_lines(copies, 110)}'''] * 5"),
        UNREADABLE,
        "characters|work",
        heavy=True,
    )
    yield Entry("a long comment", rewritten(tail="# note\n" * 50_000))
    yield Entry("a long string", rewritten(tail=f"note = '''{_lines('text ' * 100, 1000)}'''"))
    numbers = ",\n".join(map(str, range(20_000)))
    yield Entry("a long list", rewritten(tail=f"lr = [{numbers}]"))
    yield Entry("many classes", rewritten(CLASSES=repr(CLASS_NAMES + ["x"] * 5000)))
    yield Entry("deep data", rewritten(tail=f"data2 = {'[' * 40}{']' * 40}"))


def _templates(line):
    return " ".join(f"_template{number}_" for number in range(line * 1000, (line + 1) * 1000))


def _lines(text, count):
    return "\n".join([text] * count)


def _encoding_entries():
    plain = classes_are(CLASS_NAMES)
    chinese = {"CLASSES": "['天空', 'b', 'c', 'd', 'e']"}

    def declared(encoding, line=None):
        def make(directory):
            text = f"# -*- coding: {line or encoding} -*-\n" + config_text(directory, **chinese)
            (directory / CONFIG).write_bytes(text.encode(encoding))

        return make

    sky = classes_are(["天空", "b", "c", "d", "e"])
    yield Entry("byte-order mark", _raw(lambda text: text.encode("utf-8-sig")), check=plain)
    yield Entry("gbk declared", declared("gbk"), check=sky)
    yield Entry("gb18030 declared", declared("gb18030"), check=sky)
    yield Entry("utf-8 declared", declared("utf-8"), check=sky)
    yield Entry("CRLF", _raw(lambda text: text.replace("\n", "\r\n").encode()), check=plain)
    yield Entry("CR", _raw(lambda text: text.replace("\n", "\r").encode()), check=plain)
    yield Entry("form feeds", _raw(lambda text: (text + "\n\f\n").encode()), check=plain)
    yield Entry("no last line end", _raw(lambda text: text.rstrip("\n").encode()), check=plain)
    wrong = [
        ("gbk not declared", lambda text: (text + "# 天空\n").encode("gbk"), "cannot be decoded"),
        ("utf-16", lambda text: text.encode("utf-16"), "null bytes"),
        ("utf-32", lambda text: text.encode("utf-32"), "null bytes"),
        ("utf-7 declared", lambda text: f"# coding: utf-7\n{text}".encode("utf-7"), "utf-7"),
        ("rot13 declared", lambda text: f"# coding: rot13\n{text}".encode(), "rot"),
        ("hex declared", lambda text: f"# coding: hex\n{text}".encode(), "hex"),
        (
            "unicode escapes declared",
            lambda text: f"# coding: unicode_escape\n{text}".encode(),
            "unicode.escape",
        ),
        ("unknown encoding", lambda text: f"# coding: canary_module\n{text}".encode(), "canary"),
        ("null byte", lambda text: (text + "# \0\n").encode(), "null bytes"),
        ("only null bytes", lambda text: bytes(10**6), "null bytes"),
        ("lone surrogate", lambda text: text.encode() + b"# \xed\xa0\x80", "cannot be decoded"),
        ("a picture", lambda text: b"\x89PNG\r\n\x1a\n" + text.encode(), "cannot be decoded"),
        ("no Python", lambda text: b"<html>404</html>", "not valid Python"),
        ("open bracket", lambda text: (text + "x = [").encode(), "not valid Python"),
        ("open string", lambda text: (text + "x = '''").encode(), "not valid Python"),
        ("bad indent", lambda text: (text + "  x = 1\n").encode(), "not valid Python"),
        ("empty", lambda text: b"", "no `model`"),
    ]
    for name, encode, words in wrong:
        yield Entry(f"encoding: {name}", _raw(encode), REFUSED, words)


def _based(base="'base.py'", files=(), **options):
    """A `make` of a configuration with base files; the whole model is in `base.py`."""

    def make(directory):
        base_of(directory, **options)
        for name, text in files:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (directory / CONFIG).write_text(f"_base_ = {base}\n", encoding="utf-8")

    return make


def _base_entries():
    plain = classes_are(CLASS_NAMES)
    part = "_base_ = '../base.py'\n"
    chain = [(f"c{i}.py", f"_base_ = 'c{i + 1}.py'\n") for i in range(5)]
    deep = [(f"c{i}.py", f"_base_ = 'c{i + 1}.py'\n") for i in range(40)]
    loads = [
        ("a base file", _based()),
        ("a list of one", _based("['./base.py']")),
        ("in a folder and back", _based("'parts/net.py'", [("parts/net.py", part)])),
        ("a chain", _based("'c0.py'", [*chain, ("c5.py", "_base_ = 'base.py'\n")])),
        ("computed", _based("f'{\"base\"}.py'")),
        ("with a template", _based("'base{{ fileExtname }}'")),
        ("and training schedules", _based("['base.py', 's.py']", [("s.py", "lr = open('x')")])),
    ]
    for name, make in loads:
        yield Entry(f"base: {name}", make, check=plain)
    refused = [
        ("itself", _based("'mmcv_config.py'"), "leads back"),
        ("two that name each other", _based("'a.py'", _cycle("a", "b")), "leads back"),
        ("three in a circle", _based("'a.py'", _cycle("a", "b", "c")), "leads back"),
        ("itself by another spelling", _based("'./x/../mmcv_config.py'"), "leads back"),
        ("a long chain", _based("'c0.py'", deep), "in a chain"),
        ("many files", _based("['base.py'] * 1000"), "more than|both define"),
        ("absolute", _based("'/etc/passwd.py'"), "not relative"),
        ("a drive", _based("'C:/x.py'"), "not relative"),
        ("a share", _based("'//host/share/x.py'"), "not relative"),
        ("above", _based("'../x.py'"), "outside"),
        ("above by a detour", _based("'x/../../x.py'"), "outside"),
        ("another package", _based("'mmdet::x.py'"), "not relative"),
        ("its own directory", _based("'.'"), "no Python file"),
        ("nothing", _based("''"), "no Python file"),
        ("a null byte", _based("'a\\0.py'"), "no path|null"),
        ("a long path", _based(f"'{'x/' * 3000}x.py'"), "too long"),
        ("a number", _based("3"), "int is no path"),
        ("JSON", _based("'configuration.json'"), "no Python file"),
        ("names twice", _based("['base.py', 'two.py']", [("two.py", "CLASSES = []")]), "both"),
    ]
    for name, make, words in refused:
        yield Entry(f"base: {name}", make, REFUSED, words)
    gone = "ConfigNotFoundError"
    yield Entry("base: missing", _based("'gone.py'"), gone, "gone.py")
    yield Entry("base: a URL", _based("'https://example.org/x.py'"), gone, "does not exist")
    yield Entry("base: code", _based("open(CANARY)"), UNREADABLE, "line 1")


def _cycle(*names):
    return [
        (f"{name}.py", f"_base_ = '{following}.py'\n")
        for name, following in zip(names, (*names[1:], names[0]), strict=True)
    ]


def _form_entries():
    yes = [
        ("classes from a comprehension", {"CLASSES": "[f'class {i}' for i in range(5)]"}),
        ("classes as a tuple", {"CLASSES": "('a', 'b') + ('c', 'd', 'e')"}),
        ("file templates", {"CLASSES": "['{{ fileBasename }}'] * 5"}),
        ("palette computed", {"PALETTE": "[[i, i * 2 % 256, 255 - i] for i in range(5)]"}),
        ("a hash that takes for ever, unused", {"tail": _towers("x = {a: 1}")}),
        ("aliases that are changed by code", {"tail": "b = dict(a=1)\nb.update(c=open(CANARY))"}),
        ("classes edited", {"tail": "CLASSES[0] = 'z'\nCLASSES += []"}),
        ("hidden binding, unused", {"tail": "x = (y := open(CANARY))"}),
    ]
    for name, options in yes:
        yield Entry(f"form: {name}", rewritten(**options))
    no = [
        ("no model", {"model": None}, "no `model`"),
        ("no classes", {"CLASSES": None}, "CLASSES is missing"),
        ("no palette", {"PALETTE": None}, "PALETTE is missing"),
        ("no test pipeline", {"test_pipeline": None}, "no data.test.pipeline"),
        ("a model that is a list", {"model": "[1] * 100000"}, "expected dict"),
        ("a model that is a number", {"model": "3"}, "expected dict"),
        ("classes that are one string", {"CLASSES": "'x' * 1000000"}, "expected a list"),
        ("classes that are numbers", {"CLASSES": "list(range(5))"}, "list of names"),
        ("too few classes", {"CLASSES": "['a']"}, "1 entries"),
        ("colours out of range", {"PALETTE": "[[0, 0, 256]] * 5"}, "0 to 255"),
        ("colours that are text", {"PALETTE": "['red'] * 5"}, "0 to 255"),
        ("classes deleted", {"tail": "del CLASSES"}, "CLASSES is missing"),
    ]
    for name, options, words in no:
        yield Entry(f"form: {name}", rewritten(**options), REFUSED, words)
    unreadable = [
        ("a hash that takes for ever", {"tail": _towers("CLASSES = [{a: 1}]")}, "line"),
        ("comparison that takes for ever", {"tail": _towers("CLASSES = [a == b]")}, "line"),
        ("text that takes for ever", {"tail": _towers("CLASSES = [str(a)]")}, "line"),
        ("classes changed by code", {"tail": "CLASSES.append(open(CANARY))"}, "line"),
        ("classes changed through another name", {"tail": "b = CLASSES\nopen(b)(b)"}, "line"),
        ("classes bound by a loop", {"tail": "for CLASSES in [open]: pass"}, "line"),
        ("classes bound in an expression", {"tail": "[CLASSES := open(CANARY)]"}, "line"),
        ("classes bound by an import", {"tail": "import canary_module as CLASSES"}, "line"),
        ("a model that holds itself", {"tail": "model['x'] = model"}, "nested|holds itself"),
    ]
    for name, options, words in unreadable:
        yield Entry(f"form: {name}", rewritten(**options), UNREADABLE, words)


def _towers(last):
    return "a = b = (0,)\n" + "a = (a, a)\nb = (b, b)\n" * 60 + last


ENTRIES = [
    *_code_entries(),
    *_size_entries(),
    *_encoding_entries(),
    *_base_entries(),
    *_form_entries(),
]
