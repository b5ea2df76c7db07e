"""Runs the assignments of a config file that the wanted names depend on.

Other statements are never run. Where one binds a name that counts, the name becomes `Unreadable`;
where one may change an object that counts (a method call on it, say), the object does, wherever it
is held. What calls in statements that don't name it do to a name behind its back (`exec`,
`globals()`) is not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from modelscope_vitadapter.config.aliasing import Aliases
from modelscope_vitadapter.config.dependencies import Dependencies
from modelscope_vitadapter.config.expressions import Evaluator
from modelscope_vitadapter.config.limits import UNREADABLE_WORK, Budget, WorkExceededError
from modelscope_vitadapter.config.scanning import BASE_KEY, CallSite, Statement, root_name
from modelscope_vitadapter.config.source import Source
from modelscope_vitadapter.config.targets import Targets
from modelscope_vitadapter.config.unreadable import Unreadable
from modelscope_vitadapter.config.values import MUTABLE

_REMEDY = "Bind the name by a plain assignment."


class Runner:
    """Runs one file's statements and keeps the values of its names.

    Args:
        source: The file.
        dependencies: The names that count.
        budget: Pays for all that is evaluated.
        base: Values of the `_base_` files' names, None where there are none; the file can change
            them.
    """

    def __init__(
        self,
        source: Source,
        dependencies: Dependencies,
        budget: Budget,
        base: dict[str, Any] | None = None,
    ) -> None:
        self.source = source
        self.dependencies = dependencies
        self.budget = budget
        self.evaluator = Evaluator(source, budget, base)
        self.names = self.evaluator.names
        self._aliases = Aliases(self.names, dependencies, budget)
        self._targets = Targets(self.evaluator, self._aliases)
        self._reserved = {BASE_KEY} if base is not None else set()
        if base is not None:
            self.names[BASE_KEY] = base

    def run(self, statements: list[Statement]) -> dict[str, Any]:
        """Run statements in order.

        Returns:
            The values of all names that count, aliases among them; some may be `Unreadable`.

        Raises:
            ConfigError: They ask for more work than is allowed.
        """
        for statement in statements:
            try:
                self._run(statement)
            except WorkExceededError:
                raise self.source.refusal(
                    statement.node, "the config takes too much work up to here", "Simplify it."
                ) from None
        return self.names

    def _run(self, statement: Statement) -> None:
        node = statement.node
        if statement.binds and statement.binds <= self._reserved:
            return
        # Before the statement runs: it may bind the names through which it changes an object.
        changed = self._changed_by_calls(statement)
        if not statement.evaluable:
            changed |= self._aliases.reachable(statement.mutates)
        if statement.evaluable and self.dependencies.concerns(statement):
            if isinstance(node, ast.Assign):
                value = self.evaluator.lazily(node.value)
                for target in node.targets:
                    self._targets.store(target, value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._targets.store(node.target, self.evaluator.lazily(node.value))
            elif isinstance(node, ast.AugAssign):
                self._targets.augment(node)
            elif isinstance(node, ast.Delete):
                for target in node.targets:
                    self._targets.delete(target)
            self._bind_unreadable(statement, statement.hidden)
        elif not statement.evaluable:
            binds = set(self.names) if statement.star_import else statement.binds
            self.budget.spend(len(binds))
            self._bind_unreadable(statement, binds)
        if changed:
            self._aliases.replace(changed, self._mark(statement))

    # Values that become unknown

    def _mark(self, statement: Statement) -> Unreadable:
        self.budget.spend(UNREADABLE_WORK)
        problem = "this is not evaluated, and the config needs a name that it binds or may change"
        error = self.source.refusal(statement.node, problem, _REMEDY)
        return Unreadable(str(error), statement.reads)

    def _bind_unreadable(self, statement: Statement, names: Iterable[str]) -> None:
        bound = self.dependencies.evaluated.intersection(names) - self._reserved
        if bound:
            self.names.update(dict.fromkeys(bound, self._mark(statement)))

    def _changed_by_calls(self, statement: Statement) -> dict[int, Any]:
        """The objects that a statement's calls may change, by their identities."""
        changed: dict[int, Any] = {}
        for site in statement.calls:
            changed |= self._changed_by(site, statement)
        return changed

    def _changed_by(self, site: CallSite, statement: Statement) -> dict[int, Any]:
        """What a call may change: a known object by a method, else all that it can reach."""
        function = site.node.func
        if isinstance(function, ast.Attribute) and not site.nested:
            root = root_name(function.value)
            if root in self.names and root not in statement.binds:
                receiver = self.evaluator.lazily(function.value)
                if isinstance(receiver, MUTABLE):
                    return {id(receiver): receiver}
                if not isinstance(receiver, Unreadable):
                    return {}
        return self._aliases.reachable(site.names)
