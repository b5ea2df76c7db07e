"""A bound on how deep Python's parser and the walks over its tree can be led."""

from __future__ import annotations

import io
import re
import tokenize

from modelscope_vitadapter.config.limits import (
    MAX_BRACKETS,
    MAX_LINE,
    MAX_NESTING,
    MAX_TOKENS,
    RefusedValueError,
)

_LAYOUT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT})
_F_STRING = re.compile(r"[rR]?[fF]")


def check_nesting(text: str, max_tokens: int) -> int:
    r"""Refuse text whose syntax tree could be too deep, before it is parsed.

    Python's parser overflows the stack, or takes memory without bound, on chains such as `1+1+…`,
    `x[0][0]…`, `- - - …` or `elif` a thousand times (which of them depends on the version). A tree
    is at most as deep as the tokens since the last separator, added up over the open brackets.

    Args:
        text: Python source with `\n` at line ends.
        max_tokens: How many tokens it may have.

    Returns:
        How many tokens it has.

    Raises:
        RefusedValueError: It has more than `max_tokens` or a line is longer than `MAX_LINE`, more
            than `MAX_BRACKETS` brackets are open, or the tree could have more than `MAX_NESTING`
            levels.
        SyntaxError: The text can't be cut into tokens.
        tokenize.TokenError: A bracket or string is never closed.
    """
    if max(map(len, text.split("\n"))) > MAX_LINE:
        raise RefusedValueError(f"a line of more than {MAX_LINE} characters")
    counts = [0]  # tokens since the last separator, for each open bracket
    lambdas = [False]  # commas of a lambda's parameters separate nothing
    total = branches = tokens = 0
    for kind, string, (line, _), _, _ in tokenize.generate_tokens(io.StringIO(text).readline):
        if kind in _LAYOUT:
            continue
        tokens += 1
        if tokens > max_tokens:
            raise RefusedValueError(f"line {line}: more than {MAX_TOKENS} tokens in the config")
        operator = string if kind == tokenize.OP else ""
        separates = (operator == "," and not lambdas[-1]) or operator == ";"
        if kind == tokenize.NEWLINE or separates:
            total -= counts[-1]
            counts[-1], lambdas[-1] = 0, False
            continue
        if operator in {")", "]", "}"} and len(counts) > 1:
            total -= counts.pop()
            lambdas.pop()
            continue
        # Before Python 3.12 an f-string is one token, whatever expressions are inside.
        weight = 1
        if kind == tokenize.STRING and _F_STRING.match(string):
            weight += max(string.rfind("}") - string.find("{"), 0) // 2
        counts[-1] += weight
        total += weight
        branches += string == "elif"
        lambdas[-1] = lambdas[-1] or string == "lambda"
        if operator in {"(", "[", "{"}:
            counts.append(0)
            lambdas.append(False)
        if len(counts) > MAX_BRACKETS + 1 or total + branches > MAX_NESTING:
            raise RefusedValueError(
                f"line {line}: nested too deeply, or one expression is too long"
            )
    return tokens
