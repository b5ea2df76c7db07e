"""Strategies of config files: programs from grammars, with their base files, and changed bytes."""

from pathlib import Path

from tests.config.test_corpus import CORPUS, DATA, MODEL, SCHEDULE
from tests.fuzz import grammar, hostile_grammar
from tests.fuzz.bytes_mutation import mutate
from tests.fuzz.choices import composed
from tests.fuzz.programs import write
from tests.hostile.large_values import DEEP, GROWING

CONFIG = "mmcv_config.py"
ROOT = Path(__file__).parents[2]
TINY = (ROOT / "examples" / "tiny_model" / CONFIG).read_bytes()
PIECES = tuple(
    piece.encode()
    for piece in (
        *("dict(", "_base_ = ", "{{ _base_.", "}}", "{{ fileDirname }}", "lambda ", "open(CANARY)"),
        *("# coding: gbk\n", "\ufeff", "'''", '"""', "\\\n", "f'{", " for i in ", "**", "\f", "\t"),
        *(
            "\r",
            "\u2028",
            "\x1a",
            "天",
            "await ",
            "if 1:\n",
            "_delete_=True",
            "model",
            ":=",
            "\\N{",
        ),
    )
)

_BASE_PROGRAM = (
    *("lib = dict(a=<any>, b=<list>, c=<dict>)", "size = <int>"),
    "model = dict(a=<int>, b=<list>, c=dict(a=<int>, b=<str>, d={'e': <any>, 1: <int>}), f=<any>)",
)
_SECOND_PROGRAM = ("extra = dict(a=<any>)", "CLASSES = <list>")
_MERGED = (
    *("model = dict(a=<any>)", "model = dict(a=<int>, b=<list>, c=dict(_delete_=<bool>, q=<any>))"),
    "model = dict(c=dict(a=<any>, d=dict(_delete_=True, z=1)))",
    "model = dict(_delete_=True, a=1)",
    *("model = dict(c=dict(x=<any>, d={1: <any>, 2: 3}), g=<dict>)", "model = dict(f=<int>, g=[])"),
    "lib = dict(_delete_=<bool>, c=3)",
    "model = dict(c=dict(d=dict(e=<int>)), h=dict(_delete_=1))",
)
_BASE_READS = (
    *("<=any> = _base_.lib.a", "<=list> = _base_.lib['b']", "_base_.model.a = <any>"),
    *("_base_.model['x'] = <any>", "<=dict> = dict(**_base_.lib)", "model = dict(a=_base_.size)"),
    *("model = dict(_delete_=True, a=<any>)", "model = dict(b=1, c=dict(_delete_=<bool>, a=1))"),
    *("model = dict(c=dict(_delete_=True, q=<any>))", "<=dict> = _base_.model", "_base_.size += 1"),
)
_BASE_LINES = ("_base_ = 'b0.py'", "_base_ = ['./b0.py']", "_base_ = ['b0.py', 'sub/b1.py']")
_TEMPLATES = "data = dict(a={{ _base_.model.a }}, b=[{{_base_.model.b}}], c={{ _base_.size }})"
_CODINGS = (
    *("utf-8", "utf-8-sig", "gbk", "latin-1", "ascii", "utf-16", "idna", "rot13", "hex", "mbcs"),
    *("punycode", "unicode_escape", "raw_unicode_escape", "undefined", "cp437", "zlib", "nothing"),
)


def _layered(choices, statements):
    """A config, on one or two base files in half of all cases."""
    if choices.chance(50):
        text, _ = write(choices, statements, always=(grammar.MODEL,), wanted=grammar.WANTED)
        return {CONFIG: text.encode()}
    line = choices.pick(_BASE_LINES)
    base, _ = write(choices, statements, length=4, always=_BASE_PROGRAM, prefix="p")
    text, _ = write(
        choices,
        statements,
        length=6,
        base=_BASE_READS,
        always=(choices.pick(_MERGED),),
        wanted=("PALETTE = []",),
    )
    files = {CONFIG: f"{line}\n{text}{choices.pick(('', _TEMPLATES))}\n".encode()}
    files["b0.py"] = base.encode()
    if "b1" in line:
        second, _ = write(choices, statements, length=4, wanted=_SECOND_PROGRAM, prefix="q")
        above = choices.pick(("", "_base_ = '../b2.py'\n"))
        files["sub/b1.py"] = (above + second).encode()
        files["b2.py"] = b"PALETTE = [[0, 0, 0]]\nextra = dict(b=2)\n"
    return files


def _same(choices):
    return _layered(choices, grammar.STATEMENTS)


def _sound(choices):
    return _layered(choices, (*grammar.STATEMENTS, *grammar.HARMLESS, *grammar.HARMLESS))


def _hostile_text(choices, *, based):
    statements = (*grammar.STATEMENTS, *grammar.HARMLESS, *hostile_grammar.STATEMENTS)
    text, writer = write(
        choices,
        statements,
        hostility=choices.pick((2, 6, 15)),
        base=_BASE_READS if based else (),
        always=(grammar.MODEL,),
        wanted=grammar.WANTED,
    )
    if based:
        text = (
            f"_base_ = {writer.expression('any') if choices.chance(10) else _base(writer)}\n{text}"
        )
    return f"CANARY = 'canary'\n{text}"


def _base(writer):
    template = writer.choices.pick(hostile_grammar.BASES)
    return writer.statement(template)


def _encoded(choices, text):
    """Text as bytes, now and then in an encoding or with line ends that are not the usual."""
    kind = choices.below(12)
    if kind == 11:
        coding = choices.pick(_CODINGS)
        text = f"# -*- coding: {coding} -*-\n{text}"
        try:
            return text.encode(choices.pick((coding, "utf-8")), "replace")
        except (LookupError, UnicodeError, TypeError, AssertionError):
            pass
    data = text.encode("utf-8", "surrogatepass")
    if kind == 10:
        data = data.replace(b"\n", choices.pick((b"\r\n", b"\r", b"\x0c", b"\x0b", b"\0", b";")))
    return b"\xef\xbb\xbf" + data if kind == 9 else data


def _hostile(choices):
    based = choices.chance(40)
    files = {CONFIG: _encoded(choices, _hostile_text(choices, based=based))}
    if based:
        files["b0.py"] = _encoded(choices, _hostile_text(choices, based=choices.chance(30)))
        files["sub/b1.py"] = b"PALETTE = [[0, 0, 0]]\n_base_ = '../b0.py'\n"
        files["b0.json"] = b"{}"
    return files


def _bytes(choices):
    group = choices.below(4)
    files = {}
    if group == 0:
        data = TINY
    elif group == 1:
        data = choices.pick(sorted(CORPUS.values())).encode()
        files = {"base/model.py": MODEL, "base/data.py": DATA, "base/schedule.py": SCHEDULE}
        files = {name: text.encode() for name, text in files.items()}
        files["middle.py"] = b"_base_ = ['base/model.py']\nmodel = dict(backbone=dict(depth=12))\n"
    elif group == 2 and choices.chance(30):
        data = choices.pick((*GROWING, *DEEP)).encode()
    else:
        data = _hostile_text(choices, based=False).encode("utf-8", "surrogatepass")
    return {CONFIG: mutate(choices, data, PIECES), **files}


same_files = composed(_same)
"""What the reader must read as Python does."""
sound_files = composed(_sound)
"""What the reader may refuse, but must not read otherwise than Python does."""
hostile_files = composed(_hostile)
changed_files = composed(_bytes)
