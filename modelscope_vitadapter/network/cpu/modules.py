"""Typed access to the modules inside of containers."""

from collections.abc import Iterable
from typing import TypeVar

from torch import nn

Kind = TypeVar("Kind", bound=nn.Module)


def modules_of(container: Iterable[nn.Module], kind: type[Kind]) -> list[Kind]:
    """The modules of a list or sequence.

    Raises:
        TypeError: if one of them is not of `kind`.
    """
    found = []
    for module in container:
        if not isinstance(module, kind):
            raise TypeError(f"{type(module).__name__} where {kind.__name__} was expected")
        found.append(module)
    return found
