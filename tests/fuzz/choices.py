"""Choices made by hypothesis, so that whatever is put together from them can be shrunk."""

from functools import lru_cache

from hypothesis import strategies as st


@lru_cache(maxsize=1024)
def _below(count):
    return st.integers(0, count - 1)


class Choices:
    """Small choices of one input; the first alternative of each is the one shrunk to."""

    def __init__(self, draw):
        self._draw = draw

    def below(self, count):
        """A whole number from 0 to `count` - 1."""
        return 0 if count <= 1 else self._draw(_below(count))

    def between(self, low, high):
        """A whole number, both ends included."""
        return low + self.below(high - low + 1)

    def pick(self, items):
        """One of a sequence."""
        return items[self.below(len(items))]

    def chance(self, percent):
        """Whether something that happens so often happens."""
        return self.below(100) >= 100 - percent


def composed(function):
    """A strategy from a function of `Choices`."""

    @st.composite
    def strategy(draw):
        return function(Choices(draw))

    return strategy()
