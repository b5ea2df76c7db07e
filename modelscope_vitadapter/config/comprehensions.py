"""Comprehensions and unpacking: what binds names by going through a value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Set
from typing import TYPE_CHECKING, Any

from modelscope_vitadapter.config.functions import Items, collect, iterate
from modelscope_vitadapter.config.unreadable import needed

if TYPE_CHECKING:
    from modelscope_vitadapter.config.expressions import Evaluator

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Scope:
    """The names of one comprehension, inside those of another or of the module."""

    def __init__(self, outer: Scope | None, names: Set[str]) -> None:
        self.outer = outer
        self.names = names
        self.values: dict[str, Any] = {}

    def owner(self, name: str) -> Scope | None:
        """The innermost scope that binds a name, None for the module's names."""
        scope: Scope | None = self
        while scope is not None and name not in scope.names:
            scope = scope.outer
        return scope


def elements(
    evaluator: Evaluator,
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp,
    scope: Scope | None,
) -> Items:
    """The elements of a list or set comprehension or generator, in order."""
    return Items(loop(evaluator, node, scope, lambda inner: evaluator.evaluate(node.elt, inner)))


def loop(
    evaluator: Evaluator,
    node: Comprehension,
    scope: Scope | None,
    element: Callable[[Scope], Any],
) -> Iterator[Any]:
    """Go through a comprehension's elements.

    Args:
        evaluator: Evaluates the parts.
        node: The comprehension.
        scope: What surrounds it; its first iterable is evaluated there, as in Python.
        element: Evaluates one element in the comprehension's scope.
    """
    names = evaluator.node_names.bound_by(node)
    first = iterate(evaluator.iterable(node.generators[0].iter, scope), evaluator.budget)
    return _rounds(evaluator, node.generators, first, Scope(scope, names), element)


def _rounds(
    evaluator: Evaluator,
    generators: list[ast.comprehension],
    items: Iterator[Any],
    scope: Scope,
    element: Callable[[Scope], Any],
) -> Iterator[Any]:
    generator, rest = generators[0], generators[1:]
    if generator.is_async:
        raise evaluator.source.refusal(generator.target, "an asynchronous loop is not evaluated")
    for item in items:
        _bind(evaluator, generator.target, item, scope)
        if not all(evaluator.operand(condition, scope) for condition in generator.ifs):
            continue
        if rest:
            inner = iterate(evaluator.iterable(rest[0].iter, scope), evaluator.budget)
            yield from _rounds(evaluator, rest, inner, scope, element)
        else:
            yield element(scope)


def _bind(evaluator: Evaluator, target: ast.expr, value: Any, scope: Scope) -> None:
    if isinstance(target, ast.Name):
        scope.values[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        for part, item in unpack(evaluator, target, value):
            _bind(evaluator, part, item, scope)
    else:
        raise evaluator.source.refusal(target, "only names can be bound in a comprehension")


def unpack(
    evaluator: Evaluator, target: ast.Tuple | ast.List, value: Any
) -> list[tuple[ast.expr, Any]]:
    """Pair the parts of `a, *b, c = value` with their values.

    Raises:
        ConfigError: The value is `Unreadable`.
        TypeError: It can't be iterated over.
        ValueError: It has too few or too many items.
    """
    items = collect(needed(value), evaluator.budget)
    parts = target.elts
    starred = [
        (index, part.value) for index, part in enumerate(parts) if isinstance(part, ast.Starred)
    ]
    if not starred:
        return list(zip(parts, items, strict=True))
    first, name = starred[0]
    last = len(items) - (len(parts) - first - 1)
    if len(starred) > 1 or last < first:
        raise ValueError(f"{len(items)} values for {len(parts)} targets")
    return [
        *zip(parts[:first], items[:first], strict=True),
        (name, items[first:last]),
        *zip(parts[first + 1 :], items[last:], strict=True),
    ]
