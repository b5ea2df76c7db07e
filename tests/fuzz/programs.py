"""Programs written from the grammars of `grammar` and `hostile_grammar`."""

import re

from tests.fuzz import grammar, hostile_grammar
from tests.hostile.large_values import COLLIDING, LARGE

_HOLE = re.compile(r"<([=@]?)(\w+)((?:\+\w+)*)>")
_COMPACT = re.compile(r"[\[({'\"].*[\])}'\"]|\w+(\(.*\))?|\w*\.?\w*", re.DOTALL)
_SIMPLE = tuple(text for text in grammar.STATEMENTS if "\n" not in text and "#" not in text)
_KINDS = {"<list>": "list", "[]": "list", "<int>": "int"}


class Writer:
    """Writes one file; knows which names hold which kind of value.

    Args:
        choices: a `Choices`.
        hostility: per cent of expressions that are taken from the hostile ones.
        prefix: what new names begin with.
    """

    def __init__(self, choices, hostility=0, prefix="n"):
        self.choices = choices
        self.hostility = hostility
        self.prefix = prefix
        self.names = {}
        self._made = 0

    def expression(self, kind, depth=3, bound=()):
        """An expression of a kind of `grammar.VALUES`."""
        choices = self.choices
        if kind == "simple":
            return self.statement(choices.pick(_SIMPLE), depth - 1)
        if kind == "huge":
            return choices.pick(hostile_grammar.HUGE)
        if self.hostility and depth > 0 and choices.chance(self.hostility):
            return self._hostile(depth, bound)
        known = self._known(kind)
        if kind in ("int", "any"):
            known = [*bound, *known]
        if known and choices.chance(40):
            return choices.pick(known)
        templates = grammar.VALUES[kind]
        if depth <= 0:
            templates = [text for text in templates if "<" not in text]
        return self._fill(choices.pick(templates), depth, bound)

    def statement(self, template, depth=3):
        """A statement from a template; one that needs a name which there isn't makes one."""
        for mark, kind, _ in _HOLE.findall(template):
            if mark == "@" and not self._known(kind):
                return self.statement(f"<={kind}> = <{kind}>", depth)
        found = []
        text = _HOLE.sub(lambda hole: self._hole(hole, depth, (), found), template)
        for kind, name in found:  # only now: a statement doesn't read what it binds
            self.define(name, kind)
        return text

    def define(self, name, kind):
        """Note what a name holds from here on."""
        for names in self.names.values():
            if name in names:
                names.remove(name)
        self.names.setdefault(kind, []).append(name)

    def _known(self, kind):
        if kind == "any":
            return sorted(name for names in self.names.values() for name in names)
        return self.names.get(kind, [])

    def _fill(self, template, depth, bound):
        text = _HOLE.sub(lambda hole: self._hole(hole, depth - 1, bound, None), template)
        return text if _COMPACT.fullmatch(template) else f"({text})"

    def _hole(self, hole, depth, bound, found):
        mark, kind, extra = hole.groups()
        if mark == "=":
            self._made += 1
            name = f"{self.prefix}{self._made}"
            if found is not None:
                found.append((kind, name))
            return name
        if mark == "@":
            return self.choices.pick(self._known(kind))
        inside = (*bound, *extra.split("+")[1:])
        return self.expression(kind, depth, inside)

    def _hostile(self, depth, bound):
        choices = self.choices
        group = choices.below(12)
        if group == 0:
            around, count = choices.pick(hostile_grammar.NESTINGS), choices.below(13)
            times = hostile_grammar.REPETITIONS[count]
            return around[0] * times + self.expression("any", 0, bound) + around[1] * times
        if group == 1:
            return choices.pick((*LARGE, *COLLIDING))
        if group < 5:
            return choices.pick(hostile_grammar.CODE)
        return self._fill(choices.pick(hostile_grammar.EXPRESSIONS), depth, bound)


def write(choices, statements, *, hostility=0, length=8, base=(), always=(), wanted=(), prefix="n"):
    """The text of one file and its writer.

    Args:
        choices: a `Choices`.
        statements: templates of the statements that it may have.
        hostility: see `Writer`.
        length: statements beside those that bind the wanted names, at most.
        base: statements that read the base files' values.
        always: statements that bind names which are needed.
        wanted: the same; each is there in half of all cases.
        prefix: see `Writer`.
    """
    writer = Writer(choices, hostility, prefix)
    lines = []
    for template in (*always, *(text for text in wanted if choices.chance(50))):
        for _ in range(choices.below(length // 2)):
            lines.append(writer.statement(choices.pick(statements)))
        lines.append(writer.statement(template))
        name, _, value = template.partition(" = ")
        writer.define(name, _KINDS.get(value, "dict"))
    for _ in range(choices.below(length)):
        lines.append(writer.statement(choices.pick((*statements, *base))))
    return "\n".join(lines) + "\n", writer
