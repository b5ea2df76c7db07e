"""Names in parts of a syntax tree, looked up once however often a part is evaluated.

A comprehension evaluates its parts hundreds of thousands of times, and one of them can be most of
the file: walking through it each time would take hours.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from modelscope_vitadapter.config.limits import Budget

_NODES_PER_UNIT = 16


class NodeNames:
    """What is known of the nodes of one file.

    Args:
        budget: Pays for the nodes that are walked through.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._in: dict[ast.AST, frozenset[str]] = {}
        self._bound: dict[ast.AST, frozenset[str]] = {}

    def used_in(self, node: ast.AST) -> frozenset[str]:
        """All names that occur in a node."""
        if node not in self._in:
            self._in[node] = frozenset(part.id for part in self._names([node]))
        return self._in[node]

    def bound_by(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> frozenset[str]:
        """The names that a comprehension binds."""
        if node not in self._bound:
            targets = [generator.target for generator in node.generators]
            self._bound[node] = frozenset(
                part.id for part in self._names(targets) if isinstance(part.ctx, ast.Store)
            )
        return self._bound[node]

    def _names(self, nodes: Iterable[ast.AST]) -> list[ast.Name]:
        parts = [part for node in nodes for part in ast.walk(node)]
        self._budget.spend(len(parts) // _NODES_PER_UNIT)
        return [part for part in parts if isinstance(part, ast.Name)]
