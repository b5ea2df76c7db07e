"""Weights of the classes in the loss, as a caller gives them; imports nothing heavy."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from modelscope_vitadapter.config.criterion import LARGEST_WEIGHT
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.validation import listing, shown

ClassWeights = Sequence[float] | Mapping[str, float]
"""One for each class, or some by the name of their class; the others have 1."""

EXPECTED = "one number for each class, or NAME:NUMBER for some of them"


def parse_class_weights(text: str) -> ClassWeights:
    """Reads `1,2,0.5` or `road:1,car:2.5`; a name may have colons, but no comma.

    Raises:
        ValueError: it is neither, a weight is none, or a name is there twice.
    """
    items = [item.strip() for item in text.split(",")]
    pairs = [item.rpartition(":") for item in items]
    named = [bool(colon) for _, colon, _ in pairs]
    if any(named) != all(named):
        raise ValueError(f"{option('class_weights', text)}: expected {EXPECTED}, not both")
    numbers = [_number(number) for *_, number in pairs]
    if not any(named):
        return numbers
    names = [name.strip() for name, *_ in pairs]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise ValueError(f"{option('class_weights', text)}: {doubled[0]!r} is there twice")
    return dict(zip(names, numbers, strict=True))


def weights_of(given: ClassWeights, classes: Sequence[str]) -> tuple[float, ...]:
    """The weight of each class.

    Raises:
        ValueError: there are more or fewer weights than classes, a weight is no number from 0 up,
            or no class has such a name.
    """
    if not isinstance(given, Mapping):
        if isinstance(given, str) or len(given) != len(classes):
            raise ValueError(
                f"{option('class_weights')} {shown(given)}: expected {EXPECTED}; there are "
                f"{len(classes)} classes"
            )
        return tuple(map(_number, given))
    for name in given:
        if name not in classes:
            near = get_close_matches(str(name), classes) or list(classes)
            raise ValueError(
                f"{option('class_weights')}: there is no class {name!r}; expected names such as "
                f"{listing(near)}"
            )
    return tuple(_number(given.get(name, 1.0)) for name in classes)


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= LARGEST_WEIGHT:
        raise ValueError(
            f"{option('class_weights')}: {shown(value)} is no weight; expected a number from 0 to "
            f"{LARGEST_WEIGHT:g}, and of all {EXPECTED}"
        )
    return number
