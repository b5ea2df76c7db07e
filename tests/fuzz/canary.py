"""What hostile checkpoints ask for: a function and a class that note that they were used."""

USES = []


def touch(*args, **kwargs):
    """Note the call."""
    USES.append("touch")


class Touched:
    """Notes that it is made, filled or asked for anything."""

    def __new__(cls, *args, **kwargs):
        USES.append("__new__")
        return super().__new__(cls)

    def __setstate__(self, state):
        USES.append("__setstate__")

    def __reduce__(self):
        USES.append("__reduce__")
        return touch, ()
