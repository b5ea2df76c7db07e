"""Bounds within which a config file is read, so that no file can exhaust memory or time.

Every bound is far above what a config of this field holds (a full-size one spends some 2,000 units
of work) and low enough that the worst accepted file takes seconds and some hundred megabytes.
"""

from __future__ import annotations

MAX_FILE_BYTES = 1 << 21
"""Bytes of all the files of one config together (a model's file and its `_base_` files)."""

MAX_TOKENS = 100_000
"""Words, numbers, strings and signs of all the files of one config together."""

MAX_LINE = 100_000
"""Characters of one line; early releases of Python 3.12 copy the line for each token in it."""

MAX_FILES = 32
"""Files that one config may consist of; a file counts each time that it is named."""

MAX_BASE_DEPTH = 8
"""Links in a chain of `_base_` files."""

MAX_BRACKETS = 64
"""Brackets open at one place of the text."""

MAX_NESTING = 300
"""Levels that the syntax tree may have, estimated from the text before it is parsed."""

MAX_EXPRESSION_DEPTH = 100
"""Levels of an expression that is evaluated."""

MAX_VALUE_DEPTH = 50
"""Dictionaries, lists and tuples inside one another."""

MAX_WORK = 1_000_000
"""Units of work of one config: expressions evaluated, elements made, 16 characters made."""

SCANNED_PER_UNIT = 256
"""Characters in which templates are looked for, each time that a text or name is evaluated."""

MOVED_PER_UNIT = 64
"""Elements behind a deleted one, which move up."""

MAX_LENGTH = 200_000
"""Elements of one list, tuple, set, dictionary or range."""

MAX_FULL_SIZE = 200_000
"""Elements of one value written out in full, keys counted."""

MAX_FULL_CHARACTERS = 4_000_000
"""Characters of all strings of one value written out in full."""

MAX_STRING = 1_000_000
"""Characters of one string that an expression makes."""

MAX_UNUSUAL_KEYS = 128
"""Tuples, ranges and integers of 61 bits and more among the keys of a dictionary or in a set."""

MAX_INTEGER_BITS = 1024
"""Bits of an integer."""

MAX_FORMAT_WIDTH = 1000
"""Width or precision, in characters, that a format may ask for."""

UNREADABLE_WORK = 20
"""Units of work of one refusal that is kept as a value, since its message takes memory."""


class RefusedValueError(ValueError):
    """An operation on values is refused; whoever evaluates adds file, line and text."""


class WorkExceededError(Exception):
    """The whole config asks for more than `MAX_WORK`; unlike a refusal, it ends the reading."""


class Budget:
    """What is left to one config, shared by all its files.

    Attributes:
        left: Units of work.
        bytes: Bytes of files.
        tokens: Tokens of files.
        files: Number of files.
    """

    def __init__(self) -> None:
        self.left = MAX_WORK
        self.bytes = MAX_FILE_BYTES
        self.tokens = MAX_TOKENS
        self.files = MAX_FILES

    def spend(self, units: int) -> None:
        """Take units of work.

        Args:
            units: 1 per expression or element, at least 0.

        Raises:
            WorkExceededError: Less is left.
        """
        self.left -= units
        if self.left < 0:
            raise WorkExceededError

    def spend_elements(self, count: int) -> None:
        """Take the work of making `count` elements of one container.

        Raises:
            RefusedValueError: More than `MAX_LENGTH`; nothing is taken then.
            WorkExceededError: Less work is left.
        """
        if count > MAX_LENGTH:
            raise RefusedValueError(f"{count} elements, where at most {MAX_LENGTH} are allowed")
        self.spend(count)

    def spend_characters(self, count: int) -> None:
        """Take the work of making a string of `count` characters.

        Raises:
            RefusedValueError: More than `MAX_STRING`; nothing is taken then.
            WorkExceededError: Less work is left.
        """
        if count > MAX_STRING:
            raise RefusedValueError(
                f"a string of {count} characters, where at most {MAX_STRING} are allowed"
            )
        self.spend(count >> 4)
