"""Evaluates the assignments of a config file on plain values; nothing of the file is executed.

Values are Python's own None, bool, int, float, str, list, tuple, dict and range, so that operators
on them, and what they share, are as in Python. Any other statement or expression is refused, and
the lists and dicts that it may change are `Unreadable` from then on, wherever they are held.
"""

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

from modelscope_vitadapter.config.config_dict import Unreadable, needed
from modelscope_vitadapter.config.source import TRUST_HINT, Source, Steps, assignment
from modelscope_vitadapter.errors import UnreadableConfigError

NAMES = ("model", "CLASSES", "PALETTE", "test_cfg", "test_pipeline", "data")
"""Top-level names that are read, and with them what they are made of."""

BASE = "_base_"
MAX_BITS = 1024  # of an integer
MAX_LEVELS = 50  # of dicts, lists and tuples inside one another

_CALLS = ("dict", "int", "range", "sum")
_FUNCTIONS = (ast.AsyncFunctionDef, ast.FunctionDef, ast.GeneratorExp, ast.Lambda)
_BIND_ANY = {
    *("*", "__builtins__", "__dict__", "__globals__", "__import__", "eval", "exec", "f_globals"),
    *("getattr", "globals", "locals", "modules", "setattr", "vars"),
}
"""Names, attributes' among them, by which a text can bind any name."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}

Scope = dict[str, Any]  # values of the names that comprehensions bind around an expression


class Evaluator:
    """Evaluates one file, within the steps of its config.

    `base` has the values of its `_base_` files, by name; statements may change them.
    """

    def __init__(self, source: Source, steps: Steps, base: dict[str, Any]) -> None:
        self._source = source
        self._steps = steps
        self._names: dict[str, Any] = {BASE: base} if base else {}
        # Names in the functions of the file, which any text that is refused may call, and those of
        # them that they bind.
        self._in_functions: set[str] = set()
        self._bound_in_functions: set[str] = set()
        # Objects that refused texts may have changed, by id: each with itself, so that it stays
        # alive, and what stands in its place.
        self._reached: dict[int, tuple[Any, Any]] = {}

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Goes through the statements in order.

        Returns:
            The values of those of `NAMES` that the file binds, and those of the `_base_` files as
            they are then. They share no objects; they, or entries of dicts, may be `Unreadable`.
        """
        for statement in self._source.statements:
            match assignment(statement):
                case None:
                    problem = "this is not evaluated, and it may change a value that is needed"
                    self._refuse(statement, self._source.error(statement, problem), {})
                case name, value if name != BASE:
                    self._names[name] = self._lazily(value, {})
        own = {name: self._names[name] for name in NAMES if name in self._names}
        base = self._copy(self._names.get(BASE, {}))
        if isinstance(base, Unreadable):
            base = dict.fromkeys(NAMES, base)
        return self._copy(own), base

    def evaluate(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression, or `UnreadableConfigError`."""
        try:
            self._steps.take(1)
            value = self._value(node, scope)
        except UnreadableConfigError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            problem = f"this is not evaluated ({type(error).__name__}: {str(error)[:200]})"
            raise self._source.error(node, problem) from None
        return needed(self._current(value))

    def _lazily(self, node: ast.expr, scope: Scope) -> Any:
        """The value of an expression, or `Unreadable` where it is refused."""
        try:
            return self.evaluate(node, scope)
        except UnreadableConfigError as error:
            return self._refuse(node, error, scope)

    def _value(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant(value=str() as text) if "{{" in text:
                raise ValueError("templates of mmcv such as {{ fileDirname }} are not replaced")
            case ast.Constant(value=None | bool() | int() | float() | str() as value):
                return _checked(value)
            case ast.Name(id=name) if name != BASE:
                return scope[name] if name in scope else self._names[name]
            case ast.List(elts=parts):
                return [self.evaluate(part, scope) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple([self.evaluate(part, scope) for part in parts])
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, scope)
            case ast.Subscript(value=container, slice=key):
                return self.evaluate(container, scope)[self.evaluate(key, scope)]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.evaluate(operand, scope)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                operands = self.evaluate(left, scope), self.evaluate(right, scope)
                return self._binary(type(sign), *operands)
            case ast.ListComp(elt=part, generators=[loop]) if not loop.ifs and not loop.is_async:
                items = self.evaluate(loop.iter, scope)
                if isinstance(loop.target, ast.Name) and isinstance(items, list | tuple | range):
                    name = loop.target.id
                    return [self.evaluate(part, {**scope, name: item}) for item in items]
            case ast.Call(func=ast.Name(id=name)):
                if name in _CALLS and name not in self._names and name not in scope:
                    return self._call(name, node, scope)
        raise TypeError("expressions of this kind are not read")

    def _dict(
        self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr], scope: Scope
    ) -> dict[str, Any]:
        """The dict of entries whose key is None where `**` is."""
        made: dict[str, Any] = {}
        for key_node, node in zip(keys, values, strict=True):
            if key_node is None:
                made = made | self.evaluate(node, scope)  # `|=` would take a list of pairs, too
                self._steps.take(len(made))
                continue
            key = self.evaluate(key_node, scope)
            if not isinstance(key, str):
                raise TypeError(f"{type(key).__name__} is not read as a key")
            made[key] = self._lazily(node, scope)
        return made

    def _call(self, name: str, node: ast.Call, scope: Scope) -> Any:
        if name == "dict" and not node.args:
            keys = [
                None if each.arg is None else ast.copy_location(ast.Constant(each.arg), each)
                for each in node.keywords
            ]
            return self._dict(keys, [each.value for each in node.keywords], scope)
        if not node.keywords:
            match name, [self.evaluate(part, scope) for part in node.args]:
                case "int", [int() | float() as number]:
                    return int(number)
                case "range", [*limits]:
                    return range(*limits)
                case "sum", [list() | tuple() | range() as numbers]:
                    self._steps.take(len(numbers))
                    if all(map(_is_number, numbers)):
                        return _checked(sum(numbers))
        raise TypeError(f"{name}() is not read with these arguments")

    def _binary(self, sign: type[ast.operator], left: Any, right: Any) -> Any:
        if _is_number(left) and _is_number(right):
            return _checked(_OPERATORS[sign](left, right))
        sequence, other = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(sequence, str | list | tuple):
            if sign is ast.Add and type(sequence) is type(other):
                self._steps.take(len(left) + len(right))
                return left + right
            if sign is ast.Mult and isinstance(other, int):
                self._steps.take(len(sequence) * other)
                return sequence * other
        kinds = f"{type(left).__name__} and {type(right).__name__}"
        raise TypeError(f"this operator is not read on {kinds}")

    def _copy(self, value: Any, level: int = 0) -> Any:
        """A copy that shares nothing, with marks in place of what may have been changed."""
        value = self._current(value)
        self._steps.take(1 + (len(value) // 16 if isinstance(value, str) else 0))
        if level > MAX_LEVELS:
            problem = f"a value has more than {MAX_LEVELS} levels"
            return Unreadable(f"{self._source.path}: {problem}. {TRUST_HINT}")
        if isinstance(value, dict):
            return {key: self._copy(entry, level + 1) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            items = [self._copy(item, level + 1) for item in value]
            marks = [item for item in items if isinstance(item, Unreadable)]
            return marks[0] if marks else type(value)(items)
        return value

    def _current(self, value: Any) -> Any:
        return self._reached.get(id(value), (value, value))[1]

    def _refuse(
        self, node: ast.expr | ast.stmt, error: UnreadableConfigError, scope: Scope
    ) -> Unreadable:
        """The mark for a text that isn't evaluated; what its names lead to gets the mark, too."""
        parts = list(ast.walk(node))
        self._steps.take(len(parts))
        mark = Unreadable(str(error))
        names, bound = _names_in(parts)
        if isinstance(node, ast.Name) or not names:  # which call nothing
            return mark
        if any(isinstance(part, _FUNCTIONS) for part in parts):
            self._in_functions |= names
            self._bound_in_functions |= bound
        names |= self._in_functions
        bound |= self._bound_in_functions
        if names & _BIND_ANY:
            names |= {*self._names, *NAMES}
            bound = names
        self._steps.take(len(names))
        objects = [*scope.values(), *(self._names.get(name) for name in names)]
        while objects:
            value = objects.pop()
            if isinstance(value, dict | list | tuple) and id(value) not in self._reached:
                self._reached[id(value)] = value, value if isinstance(value, tuple) else mark
                self._steps.take(len(value))
                objects += value.values() if isinstance(value, dict) else value
        self._names.update(dict.fromkeys(bound, mark))
        return mark


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _checked(value: Any) -> Any:
    """Passes on a value but for integers that are too long."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError(f"a number of more than {MAX_BITS} bits")
    return value


def _names_in(parts: list[ast.AST]) -> tuple[set[str], set[str]]:
    """All names in parts of a text, and those that it binds, deletes or declares as global."""
    names: set[str] = set()
    bound: set[str] = set()
    for part in parts:
        if isinstance(part, ast.Name):
            names.add(part.id)
            if not isinstance(part.ctx, ast.Load):
                bound.add(part.id)
        elif isinstance(part, ast.Attribute):
            names |= {part.attr} & _BIND_ANY
        elif isinstance(part, ast.Global | ast.Nonlocal):
            bound.update(part.names)
        else:  # imports, definitions, `except` and patterns
            found = (getattr(part, field, None) for field in ("name", "asname", "rest"))
            bound.update(name.split(".")[0] for name in found if isinstance(name, str))
    return names | bound, bound
