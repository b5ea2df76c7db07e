"""Grammars of config files, as templates whose holes name what is put there.

A hole `<int>` takes an expression of that kind; `<int+i>` one in which `i` is bound; `<=int>` a new
name that holds one; `<@int>` a name that does already.
"""

VALUES = {
    "bit": ("0", "1"),
    "digit": ("1", "2", "3", "5"),
    "word": ("model", "a", "b", "c", "size", "CLASSES", "x", "items", "__class__"),
    "key": ("'a'", "1", "('x', 1)", "True", "None", "2.5", "<str>"),
    "int": (
        *("0", "1", "2", "7", "16", "-1", "0x10", "1_000", "True", "<int> + <int>"),
        *("<int> - <int>", "<int> * <digit>", "<int> // <digit>", "<int> % <digit>"),
        *("2 ** <digit>", "-<int>", "+<int>", "~<int>", "len(<seq>)", "max(<int>, <int>)"),
        *("min([<int>, <int>])", "abs(<int>)", "round(<float>)", "int(<float>)", "int('<digit>')"),
        *("sum([<int>, <int>], <int>)", "<int> if <bool> else <int>", "[<int>, <int>][<bit>]"),
        *("(<int>, <int>)[-1]", "dict(a=<int>)['a']", "sum(<int+i> for i in range(<digit>))"),
        *("<int> or <int>", "<int> and <int>", "max(i for i in [<int>, <digit>])"),
    ),
    "float": (
        *("0.5", "1e-6", "-2.25", "3.", ".5", "1e3", "<int> / <digit>", "<float> + <int>"),
        *("<float> * <float>", "<float> // <digit>", "<float> % <digit>", "float('<digit>.5')"),
        *("float(<int>)", "round(<float>, <digit>)", "sum([0.1] * <digit>)", "2 ** -<digit>"),
    ),
    "str": (
        *("'a'", "''", "'b c'", "'天空'", "'%'", "'{x}'", r"r'\d'", "'a' 'b'", "'''x\ny'''"),
        *("<str> + <str>", "<str> * <digit>", "<str>[<bit>:]", "<str>[::-1]", "f'{<int>}'"),
        *('f"{<float>:.2f}"', 'f"{<int>:>5}|{<bool>!r:5}"', "'%s-%03d' % (<str>, <int>)"),
        *("'%d%%' % <int>", "'%(a)s' % dict(a=<any>)", "str(<num>)", "<str> if <bool> else <str>"),
        *("dict(a=<str>)['a']", "str(<any>)", "f'''{<any>}'''", "'%s' % (<any>,)"),
        "'%5.1f' % <num>",
        *("'{{ fileBasename }}'", "max('a', <str>)", r"'\N{BULLET}\x41'"),
    ),
    "num": ("1", "0.5", "<int>", "<float>"),
    "bool": (
        *("True", "False", "not <any>", "<num> < <num>", "<int> <= <int> < <int>"),
        *("<any> == <any>", "<any> != <any>", "<int> in <list>", "<str> not in <str>"),
        *("<any> is None", "<any> is not None", "<bool> and <bool>", "<bool> or <bool>"),
        *("any(<list>)", "all(<list>)", "any(<bool+i> for i in range(<digit>))", "bool(<any>)"),
        *("<num> > <num> != <num>", "<str> < <str>", "<int> in range(<digit>)", "'a' in <dict>"),
    ),
    "list": (
        *("[]", "[1]", "[1, 2, 3]", "[<any>, <any>]", "[<int>, <int>, <int>]", "[<any>] * <digit>"),
        *("<list> + <list>", "<list>[<bit>:]", "<list>[::-1]", "list(<seq>)"),
        "list(range(<digit>))",
        *("[<any+i> for i in <list>]", "[<any+i> for i in range(<digit>) if <bool+i>]"),
        *("[<any+i+j> for i in range(3) for j in <seq>]", "[*<seq>, <any>]"),
        "sorted([<int>, <int>])",
        *("list(zip(<seq>, range(3)))", "[(i, j) for i, j in enumerate(<seq>, <int>)]"),
        *("list(reversed(<list>))", "sorted({<int>, <int>}, reverse=<bool>)"),
        "dict(a=<list>)['a']",
        *("[j for i, *j in [(1, 2, 3), 'xy']]", "<list> if <bool> else <list>"),
        "[*<list>, *<tuple>]",
        *("[[<int+i+j> for i in range(2)] for j in range(2)]", "[i for i in <dict>]"),
        "sum([<list>], [])",
    ),
    "tuple": (
        *("()", "(1,)", "(1, 2)", "(<any>,)", "(<any>, <any>)", "<tuple> + <tuple>"),
        *("<tuple> * <digit>", "tuple(<seq>)", "<tuple>[:1]", "(*<seq>, <any>)"),
        "tuple(<any+i> for i in range(<digit>))",
    ),
    "dict": (
        *("{}", "dict()", "dict(a=1)", "dict(a=<any>, b=<any>)", "{'a': <any>, 'b': <any>}"),
        *("{**<dict>, 'x': <any>}", "dict(**<dict>)", "dict(<dict>, d=<any>)", "{<key>: <any>}"),
        *("{i: <any+i> for i in range(<digit>)}", "dict(zip(['a', 'b'], <seq>))"),
        *("dict([('a', <any>)], b=<any>)", "<dict> if <bool> else <dict>"),
        "dict(type='A', **<dict>)",
        *("{str(i): <any+i> for i in <seq>}", "dict(_delete_=True, a=<any>)"),
    ),
    "set": ("{1, 2}", "{<int>, <int>}", "set([<int>, <int>])", "{<int+i> for i in range(3)}"),
    "seq": ("[]", "'ab'", "(1, 2)", "range(3)", "<list>", "<tuple>", "<str>", "range(<digit>)"),
    "any": (
        *("1", "None", "'a'", "[1]", "{}", "<int>", "<str>", "<list>", "<dict>", "<tuple>"),
        *("<float>", "<bool>", "<list>", "<dict>"),
    ),
}  # fmt: skip
"""What the reader evaluates, by kind; alternatives without holes come first."""

STATEMENTS = (
    *("<=int> = <int>", "<=str> = <str>", "<=list> = <list>", "<=dict> = <dict>", "<=any> = <any>"),
    *("<=tuple> = <tuple>", "<=dict> = dict(a=<any>, b=<list>, c=<dict>)", "<=float> = <float>"),
    *("<=dict> = <=dict> = dict(a=<any>, b=<list>, c=<dict>)", "<=list>, <=dict> = <list>, <dict>"),
    "<=any>, *<=list> = <any>, *<list>",
    "[<=int>, (<=str>, *<=list>)] = [<int>, (<str>, *<list>)]",
    *("<=int>: int = <int>", "<@int> += <int>", "<@list> += <seq>", "<@list> *= <bit>"),
    *("<@str> += <str>", "<@tuple> += <tuple>", "<@dict>['x'] = <any>", "<@dict>['a'] = <any>"),
    *("<@dict>['a'], <=any> = <any>, <any>", "<@list>[:0] = <seq>", "del <@list>[1:]"),
    *("<@list>[len(<@list>):] = [<any>]", "del <@dict>['b']", "<=any> = <@dict>['a']"),
    *("<=list> = <@list>", "<=dict> = <@dict>", "<@dict>['a'] += <int>",),
    *("<@dict>['b'][:1] = <list>", "<@list>[-1:] = []", "<=list> = [<@dict>, <@list>]"),
    *("import os", "pass", "assert True", "print(<any>)", "def g(x):\n    return x", "# <any>"),
)  # fmt: skip
"""What the reader runs, or may pass over without a loss."""

MODEL = "model = dict(a=<any>, b=<list>, c=<dict>)"
WANTED = (
    *("CLASSES = <list>", "PALETTE = <list>"),
    *("data = dict(a=<any>, b=<list>, c=<dict>)", "test_cfg = <dict>", "test_pipeline = <list>"),
)

HARMLESS = (
    *("<@list>.append(<any>)", "<@list>.extend(<seq>)", "<@list>.insert(0, <any>)"),
    *("<@list>.reverse()", "<@list>.clear()", "<=any> = <@list>.pop()", "<@dict>.update(x=<any>)"),
    *("<@dict>.setdefault('y', []).append(<any>)", "<=any> = <@dict>.pop('a', None)"),
    *("<@dict>.get('c', {}).update(z=1)", "<@dict>['b'].append(<any>)", "<@dict> |= dict(o=1)"),
    *("for i in range(<digit>):\n    <@list>.append(i)", "for <=any> in <seq>:\n    pass"),
    *("for <@dict>['q'] in <seq>:\n    pass", "for i, <@dict>['t'] in [(1, 2)]:\n    pass"),
    *("if <bool>:\n    <simple>\nelse:\n    <simple>", "while <@list>:\n    <@list>.pop()"),
    "try:\n    <simple>\nexcept Exception:\n    <simple>",
    "try:\n    <simple>\nfinally:\n    pass",
    *("def f0(x=<@list>):\n    x.append(1)\n    return x\n<=list> = f0()",),
    *("def f1():\n    <@dict>['f'] = 1\nf1()", "f2 = lambda x: x.append(2)\nf2(<@list>)"),
    *("class A0:\n    x = <@list>\n    x.append(3)", "f3 = <@list>.append\nf3(4)"),
    *("class A1:\n    def __init__(self, x):\n        x['g'] = 1\nA1(<@dict>)",),
    *("[x.append(5) for x in [<@list>]]", "<=any> = [x.update(h=1) for x in (<@dict>,)]"),
    *("list(map(<@list>.append, [6]))", "(<@list> if <bool> else <@list>).append(7)"),
    *("max(<@list>, <@list>, key=len).append(8)", "dict(a=<@list>)['a'].append(9)"),
    *("next(iter([<@dict>]))['k'] = 1", "<=any> = (<=list> := <list>)"),
    "<=any> = [<=list> := <list>]",
    *("<@dict>.__setitem__('l', 1)", "list.append(<@list>, 10)", "dict.update(<@dict>, m=1)"),
    *("import copy\n<=dict> = copy.deepcopy(<@dict>)", "<=dict> = <@dict>.copy()"),
    *("<=str> = ', '.join(['a', 'b'])", "<=str> = <@str>.upper()", "<=dict> = <@dict> | <@dict>"),
    "match <any>:\n    case <=any>:\n        pass",
    "match <dict>:\n    case {'a': <=any>}:\n        pass",
    *("def f4():\n    global model\n    model = dict(z=1)\nf4()", "(lambda: <@list>.append(12))()"),
    *("@<@list>.append\ndef f5():\n    pass", "f6 = [<@list>]\nf6[0].append(11)"),
    *("f7 = dict(k=<@dict>)\nf7['k']['p'] = 1", "getattr(<@list>, 'append')(13)"),
    *("<=any> = <@list>.__iadd__([1])", "import operator\noperator.setitem(<@dict>, 'r', 1)"),
    *("[0 for <@dict>['s'] in [1]]", "f8 = zip([<@list>])\nlist(f8)[0][0].append(1)"),
    "f9 = (x for x in [<@dict>])\nnext(f9)['u'] = 1",
    "<=list> = <@list>.copy()\n<@list>.sort(key=str)",
    *("def f10():\n    return <@dict>\nf10()['v'] = 1", "del <@dict>['a'], <@dict>['c']"),
    "f11 = {'a': <@list>}.get('a')\nf11.append(1)",
    "f12 = <@dict>.values()\nlist(f12)[-1].append(1)",
    "for f13 in [<@dict>]:\n    f13['w'] = <any>",
    "<=list> = [1]\n<=tuple> = (<@list>,)\n<@list>.append(2)",
    "f14, f15 = <@list>, <@dict>\nf14.append(f15)",
    "import contextlib as f18\nwith f18.nullcontext(<@list>) as <=list>:\n    <simple>",
    "f16 = [x for x in [<@list>]]\nf16[0].append(1)",
    "from copy import copy as f17\n<=list> = f17(<@list>)",
)  # fmt: skip
"""Statements that the reader does not run, harmless when Python does."""
