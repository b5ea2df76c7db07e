"""Evaluates the expressions of a config file on plain values; nothing of the file is ever called.

Values are Python's own None, bool, int, float, str, list, tuple, dict, set and range, so that their
operators mean what they mean in Python. An attribute is a key of a dictionary and nothing else.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

from modelscope_vitadapter.config.calls import calls_iterator, evaluate_call
from modelscope_vitadapter.config.comprehensions import Scope, elements, loop
from modelscope_vitadapter.config.formatting import format_value
from modelscope_vitadapter.config.functions import PYTHON_NAMES, collect
from modelscope_vitadapter.config.limits import (
    MAX_EXPRESSION_DEPTH,
    SCANNED_PER_UNIT,
    UNREADABLE_WORK,
    Budget,
    RefusedValueError,
)
from modelscope_vitadapter.config.node_names import NodeNames
from modelscope_vitadapter.config.operators import binary, checked_number, compare, unary
from modelscope_vitadapter.config.refusals import WHAT, described
from modelscope_vitadapter.config.scanning import BASE_KEY
from modelscope_vitadapter.config.source import REMEDY, Source
from modelscope_vitadapter.config.unreadable import Unreadable, needed
from modelscope_vitadapter.config.values import add_entries, check_keys, is_number, measure
from modelscope_vitadapter.errors import ConfigError

PYTHON_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError)
"""What operations on plain values raise."""


class Evaluator:
    """Evaluates expressions of one file.

    Attributes:
        source: The file.
        budget: Pays for all that is evaluated.
        node_names: Names in the file's syntax tree.
        names: Values of the module's names, kept up to date by whoever runs the statements.
        base: Values of the `_base_` files' names, None where there are none.

    Every method that evaluates raises `ConfigError` for what it refuses, with file, line and text,
    and `WorkExceededError` where the budget ends.
    """

    def __init__(self, source: Source, budget: Budget, base: dict[str, Any] | None) -> None:
        self.source = source
        self.budget = budget
        self.node_names = NodeNames(budget)
        self.names: dict[str, Any] = {}
        self.base = base
        self._depth = 0
        self._handlers: dict[type[ast.expr], Callable[[Any, Scope | None], Any]] = {
            ast.Attribute: self._attribute,
            ast.BinOp: self._binary,
            ast.BoolOp: self._boolean,
            ast.Call: self._call,
            ast.Compare: self._compare,
            ast.Constant: self._constant,
            ast.Dict: self._dict,
            ast.DictComp: self._dict_comprehension,
            ast.FormattedValue: self._formatted,
            ast.IfExp: self._conditional,
            ast.JoinedStr: self._joined,
            ast.List: lambda node, scope: self._elements(node.elts, scope),
            ast.ListComp: self._list_comprehension,
            ast.Name: self._name,
            ast.Set: lambda node, scope: self._make_set(self._elements(node.elts, scope)),
            ast.SetComp: lambda node, scope: self._make_set(self._list_comprehension(node, scope)),
            ast.Slice: self._slice,
            ast.Subscript: self._subscript,
            ast.Tuple: lambda node, scope: tuple(self._elements(node.elts, scope)),
            ast.UnaryOp: self._unary,
        }

    def evaluate(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value of an expression, which may be an `Unreadable` that a name or entry holds.

        Args:
            node: The expression.
            scope: The comprehension that it stands in, None at module level.
        """
        self.budget.spend(1)
        handler = self._handlers.get(type(node))
        if handler is None:
            what = WHAT.get(type(node), "this")
            raise self.source.refusal(node, f"{what} is not evaluated", REMEDY)
        if self._depth >= MAX_EXPRESSION_DEPTH:
            raise self.source.refusal(node, "nested too deeply", "Split it up.")
        self._depth += 1
        try:
            return handler(node, scope)
        except ConfigError:
            raise
        except PYTHON_ERRORS as error:
            raise self.refused(node, error) from None
        finally:
            self._depth -= 1

    def refused(self, node: ast.expr | ast.stmt, error: Exception) -> ConfigError:
        """The refusal of a node for an error that an operation on values raised."""
        problem = str(error) if isinstance(error, RefusedValueError) else described(error)
        return self.source.refusal(node, f"cannot be evaluated ({problem})")

    def operand(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value of an expression that is needed at once.

        Raises:
            ConfigError: Also where the value is `Unreadable`.
        """
        return needed(self.evaluate(node, scope))

    def lazily(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value of an expression, or an `Unreadable` where it is refused."""
        try:
            return self.evaluate(node, scope)
        except ConfigError as error:
            self.budget.spend(UNREADABLE_WORK)
            return Unreadable(str(error), self.node_names.used_in(node))

    def container(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value before a subscript or dot, where `_base_` means the base files' names."""
        if isinstance(node, ast.Name) and node.id == BASE_KEY and self.base is not None:
            return needed(self.names[BASE_KEY])
        return self.operand(node, scope)

    def key(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value of a subscript or dictionary key."""
        key = self.operand(node, scope)
        measure(key, self.budget)
        return key

    # Names and constants

    def _constant(self, node: ast.Constant, scope: Scope | None) -> Any:
        value = node.value
        if isinstance(value, str):
            return self.fill_templates(value)
        if value is None or is_number(value):
            return checked_number(value)
        raise RefusedValueError(f"a {type(value).__name__} is no config value")

    def _name(self, node: ast.Name, scope: Scope | None) -> Any:
        name = node.id
        owner = scope and scope.owner(name)
        if owner is not None:
            if name not in owner.values:
                raise RefusedValueError(f"{name} has no value yet")
            return owner.values[name]
        self.budget.spend(len(name) // SCANNED_PER_UNIT)
        if self.source.templates.names_in(name) == [name]:
            return self._template(name)
        if name == BASE_KEY and self.base is not None:
            raise RefusedValueError("of the base files, only single values are read, as _base_.x")
        if name in self.names:
            return self.names[name]
        if name in PYTHON_NAMES:
            raise RefusedValueError(f"Python's {name} is no config value")
        raise RefusedValueError(f"{name} has no value that could be evaluated before this line")

    def _template(self, name: str) -> Any:
        templates = self.source.templates
        if name in templates.file_values:
            return templates.file_values[name]
        if self.base is None:
            raise RefusedValueError("there is no _base_ file to take this from")
        value: Any = self.names[BASE_KEY]
        for key in templates.base_paths[name]:
            value = needed(value)
            if not isinstance(value, dict) or key not in value:
                raise RefusedValueError(f"the base files define no {key!r} there")
            value = value[key]
        # mmcv puts the value in after the file ran, so the file can't change the base through it.
        measure(value, self.budget, allow_unreadable=True)
        return copy.deepcopy(value)

    def fill_templates(self, text: str) -> Any:
        """A string with the values of its templates; one that is a template is its value."""
        self.budget.spend(len(text) // SCANNED_PER_UNIT)
        if not self.source.templates.names_in(text):
            return text
        pieces = self.source.templates.split(text)
        values = [
            self._template(piece) if self.source.templates.names_in(piece) else piece
            for piece in pieces
        ]
        if len(values) == 1:
            return values[0]
        if not all(isinstance(value, str) or is_number(value) for value in values):
            raise RefusedValueError("only text and numbers can be put into a string")
        parts = [str(value) for value in values]
        self.budget.spend_characters(sum(map(len, parts)))
        return "".join(parts)

    # Displays, subscripts and operators

    def _elements(self, nodes: list[ast.expr], scope: Scope | None) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += collect(self.iterable(node.value, scope), self.budget)
            else:
                values.append(self.evaluate(node, scope))
        return values

    def _make_set(self, values: list[Any]) -> set[Any]:
        measure(values, self.budget)
        check_keys(values)
        return set(values)

    def _dict(self, node: ast.Dict, scope: Scope | None) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        add_entries(made, self._entries(node, scope), self.budget)
        return made

    def _entries(self, node: ast.Dict, scope: Scope | None) -> Iterator[tuple[Any, Any]]:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield from self.mapping(value, scope).items()
            else:
                yield self.key(key, scope), self.lazily(value, scope)

    def mapping(self, node: ast.expr, scope: Scope | None) -> dict[Any, Any]:
        """The dictionary after `**`."""
        value = self.operand(node, scope)
        if not isinstance(value, dict):
            raise TypeError(f"** takes a dict, not {type(value).__name__}")
        self.budget.spend(len(value))
        return value

    def _attribute(self, node: ast.Attribute, scope: Scope | None) -> Any:
        container = self.container(node.value, scope)
        if isinstance(container, dict) and node.attr in container:
            return container[node.attr]
        raise RefusedValueError(f"{node.attr} is no key of a dict; methods are not evaluated")

    def _subscript(self, node: ast.Subscript, scope: Scope | None) -> Any:
        container = self.container(node.value, scope)
        key = self.key(node.slice, scope)
        if not isinstance(container, list | tuple | str | dict | range):
            raise TypeError(f"{type(container).__name__} takes no subscript")
        value = container[key]
        if isinstance(key, slice) and not isinstance(value, range):
            self.budget.spend(len(value))
        return value

    def _slice(self, node: ast.Slice, scope: Scope | None) -> slice:
        parts = (node.lower, node.upper, node.step)
        return slice(*(part and self.operand(part, scope) for part in parts))

    def _binary(self, node: ast.BinOp, scope: Scope | None) -> Any:
        left, right = self.operand(node.left, scope), self.operand(node.right, scope)
        return binary(type(node.op), left, right, self.budget)

    def _unary(self, node: ast.UnaryOp, scope: Scope | None) -> Any:
        value = self.operand(node.operand, scope)
        return not value if isinstance(node.op, ast.Not) else unary(type(node.op), value)

    def _boolean(self, node: ast.BoolOp, scope: Scope | None) -> Any:
        decides = isinstance(node.op, ast.Or)
        for part in node.values[:-1]:
            value = self.operand(part, scope)
            if bool(value) is decides:
                return value
        return self.evaluate(node.values[-1], scope)

    def _compare(self, node: ast.Compare, scope: Scope | None) -> bool:
        left = self.operand(node.left, scope)
        for kind, part in zip(node.ops, node.comparators, strict=True):
            right = self.operand(part, scope)
            if not compare(type(kind), left, right, self.budget):
                return False
            left = right
        return True

    def _conditional(self, node: ast.IfExp, scope: Scope | None) -> Any:
        return self.evaluate(node.body if self.operand(node.test, scope) else node.orelse, scope)

    def _joined(self, node: ast.JoinedStr, scope: Scope | None) -> str:
        pieces = [str(self.operand(part, scope)) for part in node.values]
        self.budget.spend_characters(sum(map(len, pieces)))
        return "".join(pieces)

    def _formatted(self, node: ast.FormattedValue, scope: Scope | None) -> str:
        value = self.operand(node.value, scope)
        form = "" if node.format_spec is None else self.operand(node.format_spec, scope)
        return format_value(value, node.conversion, form, self.budget)

    def iterable(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """The value of an expression, which may also be a generator, `zip`, … to iterate over."""
        if isinstance(node, ast.GeneratorExp):
            return elements(self, node, scope)
        if isinstance(node, ast.Call) and calls_iterator(self, node, scope):
            return evaluate_call(self, node, scope)
        return self.operand(node, scope)

    def _call(self, node: ast.Call, scope: Scope | None) -> Any:
        if calls_iterator(self, node, scope):
            raise RefusedValueError("an iterator is only evaluated where it is iterated over")
        return evaluate_call(self, node, scope)

    def _list_comprehension(
        self, node: ast.ListComp | ast.SetComp, scope: Scope | None
    ) -> list[Any]:
        return collect(elements(self, node, scope), self.budget)

    def _dict_comprehension(self, node: ast.DictComp, scope: Scope | None) -> dict[Any, Any]:
        def entry(inner: Scope) -> tuple[Any, Any]:
            return self.key(node.key, inner), self.evaluate(node.value, inner)

        made: dict[Any, Any] = {}
        add_entries(made, loop(self, node, scope, entry), self.budget)
        return made
