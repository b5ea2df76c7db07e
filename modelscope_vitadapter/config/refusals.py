"""Words for what is refused in a config file."""

from __future__ import annotations

import ast

WHAT: dict[type[ast.expr], str] = {
    ast.Await: "await",
    ast.GeneratorExp: "a generator that nothing iterates over",
    ast.Lambda: "lambda",
    ast.NamedExpr: "an assignment inside an expression (:=)",
    ast.Starred: "a starred expression here",
    ast.Yield: "yield",
    ast.YieldFrom: "yield from",
}
"""Expressions that are never evaluated."""


def described(error: Exception) -> str:
    """What a Python error says, in words for the reader of a config.

    Args:
        error: What an operation on plain values raised.
    """
    text = f"no key {error}" if isinstance(error, KeyError) else str(error)
    return text[:200] or type(error).__name__
