"""Assigns to, updates and deletes names and entries, as the statements of a config file ask.

A value that can't be evaluated is stored as `Unreadable`. Where it can't be told which entry a
statement changes, all that it may have changed becomes `Unreadable`.
"""

from __future__ import annotations

import ast
from typing import Any

from modelscope_vitadapter.config.aliasing import Aliases
from modelscope_vitadapter.config.comprehensions import unpack
from modelscope_vitadapter.config.expressions import PYTHON_ERRORS, Evaluator
from modelscope_vitadapter.config.functions import collect
from modelscope_vitadapter.config.limits import MOVED_PER_UNIT, UNREADABLE_WORK
from modelscope_vitadapter.config.operators import augmented
from modelscope_vitadapter.config.scanning import BASE_KEY
from modelscope_vitadapter.config.unreadable import Unreadable, needed
from modelscope_vitadapter.config.values import (
    CONTAINERS,
    MUTABLE,
    BaseDict,
    add_entries,
    as_base_value,
)
from modelscope_vitadapter.errors import ConfigError

_ERRORS = (ConfigError, *PYTHON_ERRORS)


class Targets:
    """Changes the names of one file and what they hold.

    Args:
        evaluator: Evaluates subscripts; its `names` are changed.
        aliases: The objects that those names share.
    """

    def __init__(self, evaluator: Evaluator, aliases: Aliases) -> None:
        self._evaluator = evaluator
        self._names = evaluator.names
        self._aliases = aliases

    def store(self, target: ast.expr, value: Any) -> None:
        """Assign a value, which may be `Unreadable`, to a name, an entry or several of them."""
        if isinstance(target, ast.Name):
            if not self._reserved(target):
                self._names[target.id] = value
        elif isinstance(target, ast.Starred):
            self.store(target.value, value)
        elif isinstance(target, ast.Tuple | ast.List):
            try:
                pairs = unpack(self._evaluator, target, value)
            except _ERRORS as error:
                mark = self._mark(target, error)
                pairs = [(part, mark) for part in target.elts]
            for part, item in pairs:
                self.store(part, item)
        else:
            place = self._place(target)
            if place is not None:
                self._set(target, *place, value)

    def augment(self, node: ast.AugAssign) -> None:
        """Run `target += value` and the like."""
        place = None
        if isinstance(node.target, ast.Name):
            current = self._evaluator.lazily(node.target)
        else:
            place = self._place(node.target)
            if place is None:
                return
            current = self._current(node.target, *place)
        value = self._evaluator.lazily(node.value)
        try:
            new = augmented(type(node.op), needed(current), needed(value), self._evaluator.budget)
        except _ERRORS as error:
            new = self._mark(node, error)
            if isinstance(current, MUTABLE):
                self._aliases.replace({id(current)}, new)
            elif isinstance(current, Unreadable):
                self._spoil_unknown(current, new)
        if place is None:
            self.store(node.target, new)
        else:
            self._set(node.target, *place, new)

    def delete(self, target: ast.expr) -> None:
        """Run `del target`."""
        if isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self.delete(part)
        elif isinstance(target, ast.Name):
            if not self._reserved(target):
                self._names.pop(target.id, None)
        else:
            place = self._place(target)
            if place is not None:
                container, key = place
                try:
                    self._evaluator.budget.spend(len(container) // MOVED_PER_UNIT)
                    del container[key]
                except PYTHON_ERRORS as error:
                    self._aliases.replace({id(container)}, self._mark(target, error))

    def _reserved(self, target: ast.Name) -> bool:
        """Whether a name stands for the base files, which were read before."""
        return target.id == BASE_KEY and self._evaluator.base is not None

    def _mark(self, node: ast.expr | ast.stmt, error: Exception) -> Unreadable:
        self._evaluator.budget.spend(UNREADABLE_WORK)
        if not isinstance(error, ConfigError):
            error = self._evaluator.refused(node, error)
        return Unreadable(str(error), self._evaluator.node_names.used_in(node))

    def _place(self, target: ast.expr) -> tuple[Any, Any] | None:
        """The list or dict that a target changes, and the key; None where that can't be told."""
        assert isinstance(target, ast.Subscript | ast.Attribute)
        try:
            container = self._evaluator.container(target.value)
            if isinstance(target, ast.Subscript) and isinstance(container, dict | list):
                return container, self._evaluator.key(target.slice)
            if isinstance(target, ast.Attribute) and isinstance(container, dict):
                return container, target.attr
            raise TypeError(f"a {type(container).__name__} has no such entry to change")
        except _ERRORS as error:
            self._spoil_path(target.value, self._mark(target, error))
            return None

    def _spoil_path(self, node: ast.expr, mark: Unreadable) -> None:
        """Mark what may be changed through a chain of subscripts that doesn't lead to an entry.

        That is all that is inside the last dict, list or tuple on the way; where there is none, the
        name that the chain starts from. (Python itself would stop at many of these statements.)
        """
        path = [node]
        while isinstance(path[-1], ast.Subscript | ast.Attribute):
            path.append(path[-1].value)
        root = path[-1]
        held: Any = None
        for part in reversed(path):
            if isinstance(part, ast.Name) and self._reserved(part):
                value = self._names[part.id]
            else:
                value = self._evaluator.lazily(part)
            if isinstance(value, Unreadable):
                # Where evaluating a subscript fails, its mark reads the names of the whole chain,
                # but what it may mean is inside `held`.
                if part is root or self._is_stored(part):
                    self._spoil_unknown(value, mark)
                    return
                break
            if isinstance(value, CONTAINERS):
                held = value
        objects = self._aliases.inside(held)
        self._aliases.replace(objects, mark)
        if not objects and isinstance(root, ast.Name):
            self._names[root.id] = mark

    def _is_stored(self, node: ast.expr) -> bool:
        """Whether an expression leads to a value, be it an `Unreadable` one."""
        try:
            self._evaluator.evaluate(node)
        except ConfigError:
            return False
        return True

    def _spoil_unknown(self, value: Unreadable, mark: Unreadable) -> None:
        """An unknown value may be, or hold, whatever its expression reads."""
        self._aliases.replace(self._aliases.reachable(value.reads), mark)

    def _current(self, target: ast.expr, container: Any, key: Any) -> Any:
        try:
            return container[key]
        except PYTHON_ERRORS as error:
            return self._mark(target, error)

    def _set(self, target: ast.expr, container: Any, key: Any, value: Any) -> None:
        try:
            if isinstance(key, slice) and isinstance(container, list):
                value = collect(needed(value), self._evaluator.budget)
                self._evaluator.budget.spend_elements(len(container) + len(value))
            if isinstance(container, BaseDict):
                value = as_base_value(value, self._evaluator.budget)
            if isinstance(container, dict):
                add_entries(container, [(key, value)], self._evaluator.budget)
            else:
                container[key] = value
        except _ERRORS as error:
            self._aliases.replace({id(container)}, self._mark(target, error))
