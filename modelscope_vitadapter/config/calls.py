"""Calls in a config file: `dict(...)` and the few functions that are evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from modelscope_vitadapter.config.functions import FUNCTIONS, ITERATORS, call, collect, iterate
from modelscope_vitadapter.config.limits import Budget, RefusedValueError
from modelscope_vitadapter.config.source import REMEDY
from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.config.values import add_entries, measure

if TYPE_CHECKING:
    from modelscope_vitadapter.config.comprehensions import Scope
    from modelscope_vitadapter.config.expressions import Evaluator


def _function(evaluator: Evaluator, node: ast.Call, scope: Scope | None) -> str | None:
    """The name of the function that is called, where it is one of Python's that are evaluated."""
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        return None
    name = node.func.id
    rebound = name in evaluator.names or (scope is not None and scope.owner(name) is not None)
    return None if rebound else name


def calls_iterator(evaluator: Evaluator, node: ast.expr, scope: Scope | None) -> bool:
    """Whether an expression is a call of `zip`, `enumerate` or `reversed`."""
    return isinstance(node, ast.Call) and _function(evaluator, node, scope) in ITERATORS


def evaluate_call(evaluator: Evaluator, node: ast.Call, scope: Scope | None) -> Any:
    """The value of a call, `Items` where it is one of `ITERATORS`.

    Args:
        evaluator: Evaluates the arguments.
        node: The call.
        scope: The comprehension that it stands in, None at module level.

    Raises:
        ConfigError: The call isn't one that is evaluated.
    """
    function = _function(evaluator, node, scope)
    if function is None:
        raise evaluator.source.refusal(node, "this call is not evaluated", REMEDY)
    arguments: list[Any] = []
    for part in node.args:
        if isinstance(part, ast.Starred):
            arguments += collect(evaluator.iterable(part.value, scope), evaluator.budget)
        else:
            arguments.append(evaluator.iterable(part, scope))
    arguments = [needed(argument) for argument in arguments]
    if function == "dict":
        keywords = _keywords(evaluator, node, scope, evaluator.lazily)
        return _make_dict(evaluator, arguments, keywords)
    keywords = _keywords(evaluator, node, scope, evaluator.operand)
    return call(function, arguments, keywords, evaluator.budget)


def _keywords(
    evaluator: Evaluator,
    node: ast.Call,
    scope: Scope | None,
    evaluate: Callable[[ast.expr, Scope | None], Any],
) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            entries = evaluator.mapping(keyword.value, scope)
        else:
            name = evaluator.fill_templates(keyword.arg)
            entries = {name: evaluate(keyword.value, scope)}
        for key, value in entries.items():
            if not isinstance(key, str):
                raise TypeError("keywords must be strings")
            if key in keywords:
                raise TypeError(f"keyword {key[:100]} is given twice")
            keywords[key] = value
    return keywords


def _make_dict(
    evaluator: Evaluator, arguments: list[Any], keywords: dict[str, Any]
) -> dict[Any, Any]:
    if len(arguments) > 1:
        raise TypeError("dict() takes at most one argument without a name")
    made: dict[Any, Any] = {}
    for argument in arguments:
        add_entries(made, _entries(argument, evaluator.budget), evaluator.budget)
    made.update(keywords)
    return made


def _entries(argument: Any, budget: Budget) -> Iterator[tuple[Any, Any]]:
    """The entries of what `dict()` is given: a dictionary, or pairs."""
    if isinstance(argument, dict):
        budget.spend(len(argument))
        yield from argument.items()
        return
    for pair in iterate(argument, budget):
        items = collect(needed(pair), budget)
        if len(items) != 2:
            raise RefusedValueError("dict() takes pairs")
        measure(items[0], budget)
        yield items[0], items[1]
