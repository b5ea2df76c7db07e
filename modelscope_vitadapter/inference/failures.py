"""What becomes of those inputs of a list or a data set that fail."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from modelscope_vitadapter.errors import ConfigError, ImageError
from modelscope_vitadapter.inference.memory import is_out_of_memory
from modelscope_vitadapter.logs import get_logger

Result = TypeVar("Result")

logger = get_logger()


@dataclass(frozen=True)
class Failure:
    """An input that was left out.

    Attributes:
        index: its place in the list or data set, counted from 0.
        name: what it was: its path, its address, or its kind and size.
        error: why it failed; the message names the input. It has no traceback, which would keep
            images in memory.
    """

    index: int
    name: str
    error: Exception


OnError = Literal["raise", "skip"] | Callable[[Failure], object]
"""`raise`, or for inputs that are left out: `skip` logs them, a function is given them."""


def parse_on_error(value: Any) -> OnError:
    """Reads `on_error`, `raise` where it is None; ValueError for what it can't be."""
    if value is None:
        return "raise"
    if value != "raise" and value != "skip" and not callable(value):
        raise ValueError(
            f"on_error={value!r}: expected 'raise', 'skip', or a function that takes each failure "
            "(index, name, error)"
        )
    on_error: OnError = value
    return on_error


def attempt(work: Callable[[], Result], index: int, name: str, on_error: OnError) -> Result | None:
    """Does something for an input; gives None where that failed and the input is to be left out.

    Raises:
        Exception: what `work` raised, with the input in its message. Unless `on_error` is `raise`,
            only what is not the input's own fault: too little memory, or an error of the
            configuration, whose message stays as it is.
    """
    try:
        return work()
    except ConfigError:  # every other input fails likewise
        raise
    except Exception as error:
        name_input(error, index, name)
        too_large = isinstance(error, ImageError)  # the input's own fault
        lacks_memory = isinstance(error, MemoryError) or is_out_of_memory(error)
        if on_error == "raise" or (lacks_memory and not too_large):
            raise
        _drop_tracebacks(error)
        failure = Failure(index, name, error)
    if callable(on_error):
        on_error(failure)
    else:
        logger.warning("left out: %s", failure.error)
    return None


def elements(inputs: Any, on_error: OnError) -> Iterator[tuple[int, Any]]:
    """The elements of an iterable, or of something with `__len__` and `__getitem__`, numbered.

    An element that the latter fails to give is an input that failed; an iterator that fails has
    ended, so its error is raised whatever `on_error` says.
    """
    if not hasattr(inputs, "__iter__"):
        for index in range(len(inputs)):
            # In a tuple, since None means that there is none.
            read = partial(lambda place: (inputs[place],), index)
            found = attempt(read, index, "an element of the data set", on_error)
            if found is not None:
                yield index, found[0]
        return
    following = 0
    try:
        for index, element in enumerate(inputs):
            following = index + 1
            yield index, element
    except Exception as error:
        name_input(error, following, "which the iterator failed to give")
        raise


def name_input(error: Exception, index: int, name: str) -> None:
    """Puts an input's place, and its name unless it is there, before an error's message.

    The error's class and all else stay as they are.
    """
    message, place = str(error), f"input {index} (counted from 0)"
    text = f"{place}: {message}" if name in message else f"{place}, {name}: {message}"
    before, error.args = error.args, (text,)
    if text not in str(error):  # a class that makes its message of something else
        error.args = before
        if hasattr(error, "add_note"):
            error.add_note(f"{place}, {name}")


def _drop_tracebacks(error: BaseException | None) -> None:
    """Lets go of the frames that an error and those behind it went through."""
    if error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        _drop_tracebacks(error.__cause__)
        _drop_tracebacks(error.__context__)
