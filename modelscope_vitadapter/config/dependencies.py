"""Which statements of a config file the wanted names depend on.

A statement counts when it binds or changes a wanted name, or a name that a counting statement
reads. Names can share objects (`b = a; b['x'] = 1` changes `a`), so a name through which something
is changed, and which may share objects with a counting name, counts as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from modelscope_vitadapter.config.scanning import BASE_KEY, Statement


class Dependencies:
    """The names that the wanted names depend on.

    Args:
        statements: All statements of the file.
        names: The wanted names.

    Attributes:
        wanted: The names asked for and what they are made of.
        evaluated: Those and names that may share objects with them and change them.
        bound: Every name that the file binds.
    """

    def __init__(self, statements: list[Statement], names: Iterable[str]) -> None:
        self.bound: set[str] = set().union(*(each.binds for each in statements), {BASE_KEY})
        self._affecting: dict[str, list[Statement]] = {}
        self._reaches: dict[str, set[str]] = {}
        self._reached_by: dict[str, set[str]] = {}
        self._changed: set[str] = set()
        for index, each in enumerate(statements):
            self._add(each, f"<statement {index}>")
        self._followed: set[int] = set()
        self.wanted: set[str] = set()
        self._follow(names, self.wanted)
        self.evaluated = set(self.wanted)
        self._follow([BASE_KEY], self.evaluated)  # the file can change its base's values
        self._add_aliases()

    def _add(self, statement: Statement, place: str) -> None:
        receivers = statement.receivers & self.bound
        self._changed |= receivers
        reads = statement.reads & self.bound
        if statement.evaluable:
            for name in statement.binds | statement.mutates:
                self._affecting.setdefault(name, []).append(statement)
            # A call in an assignment can't reach what is assigned to only afterwards.
            self._link(statement.binds | statement.mutates, reads, f"{place} targets")
            called = statement.called & self.bound
            self._link(called, called, f"{place} calls")
        else:
            self._link(statement.binds | receivers, reads, place)

    def _link(self, affected: AbstractSet[str], reads: AbstractSet[str], place: str) -> None:
        """Note that names may come to share objects with each other and with what is read.

        The `place` stands between them, so that there aren't links from each to each.
        """
        self._reaches[place] = {*affected, *reads}
        for name in self._reaches[place]:
            self._reached_by.setdefault(name, set()).add(place)
        self._reached_by[place] = set(affected)
        for name in affected:
            self._reaches.setdefault(name, set()).add(place)

    def _follow(self, names: Iterable[str], found: set[str]) -> list[str]:
        """Add names and all that the assignments to them read; answer those that are new."""
        new = []
        pending = list(names)
        while pending:
            name = pending.pop()
            if name in found:
                continue
            found.add(name)
            new.append(name)
            for statement in self._affecting.get(name, ()):
                # Once for all names that it binds: what it reads was found with the first of them.
                if id(statement) not in self._followed:
                    self._followed.add(id(statement))
                    pending += statement.reads & self.bound
        return new

    def _add_aliases(self) -> None:
        seen: set[str] = set()
        pending = list(self.evaluated)
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._changed and name not in self.evaluated:
                pending += self._follow([name], self.evaluated)
            pending += self._reached_by.get(name, ())

    def reachable(self, names: Iterable[str]) -> set[str]:
        """Names whose objects may be reached from `names`, themselves among them."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self._reaches.get(name, ())
        return found

    def concerns(self, statement: Statement) -> bool:
        """Whether a statement binds or changes a name that counts."""
        return not self.evaluated.isdisjoint(statement.binds | statement.mutates)
