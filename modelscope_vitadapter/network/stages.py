"""Names the stages of a pass for whoever measures it.

Nothing is measured here: `benchmarks/compare.py --profile` installs an observer that is told when
a stage begins and ends.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

BACKBONE_LINEAR = "backbone linear"
ATTENTION = "attention"
DEFORMABLE_ATTENTION = "deformable attention"
PIXEL_DECODER = "pixel decoder"
MASK_DECODER = "mask decoder"
RESIZE = "resize"

STAGES = (BACKBONE_LINEAR, ATTENTION, DEFORMABLE_ATTENTION, PIXEL_DECODER, MASK_DECODER, RESIZE)
"""All names that `stage` is called with; time outside of them is the rest."""

Observer = Callable[[str], AbstractContextManager[None]]

_NOTHING: AbstractContextManager[None] = nullcontext()
_observer: Observer | None = None


def stage(name: str) -> AbstractContextManager[None]:
    """The context in which a stage runs; stages may be nested, the inner one then counts."""
    return _NOTHING if _observer is None else _observer(name)


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Calls `observer(name)` for the context of every stage, in all threads."""
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before
