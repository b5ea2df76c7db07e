"""Changes to a file's bytes that know nothing of its format."""

ODD_LENGTHS = (0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 4096)
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\n",
    b"{",
    b"[",
    b"(",
    b"'",
    b"PK",
    b"\xed\xa0\x80",
)
ODD_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutate(choices, data, pieces=()):
    """Change bytes in one to four places.

    Args:
        choices: a `Choices`.
        data: what is changed.
        pieces: byte strings of the format, which are put in as they are.
    """
    data = bytearray(data)
    for _ in range(choices.between(1, 4)):
        choices.pick(_CHANGES)(choices, data, pieces)
    return bytes(data)


def _place(choices, data):
    """A place, near the beginning or the end more often than the length of the file suggests."""
    near = min(len(data), 64)
    kind = choices.below(4)
    if kind == 0:
        return choices.below(near + 1)
    if kind == 1:
        return len(data) - choices.below(near + 1)
    return choices.below(len(data) + 1)


def _flip(choices, data, pieces):
    if data:
        data[min(_place(choices, data), len(data) - 1)] ^= 1 << choices.below(8)


def _overwrite(choices, data, pieces):
    place = _place(choices, data)
    width = choices.pick((1, 2, 4, 8))
    number = choices.pick(ODD_NUMBERS) % 256**width
    data[place : place + width] = number.to_bytes(width, choices.pick(("little", "big")))


def _insert(choices, data, pieces):
    place = _place(choices, data)
    piece = choices.pick((*pieces, *ODD_BYTES))
    data[place:place] = piece * choices.pick((1, 1, 1, 2, 70, 400))


def _delete(choices, data, pieces):
    place = _place(choices, data)
    del data[place : place + choices.pick(ODD_LENGTHS)]


def _truncate(choices, data, pieces):
    del data[_place(choices, data) :]


def _copy(choices, data, pieces):
    start = _place(choices, data)
    part = data[start : start + choices.pick(ODD_LENGTHS)]
    place = _place(choices, data)
    data[place:place] = part


def _swap_lines(choices, data, pieces):
    lines = data.split(b"\n")
    first, second = choices.below(len(lines)), choices.below(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    data[:] = b"\n".join(lines)


_CHANGES = (_flip, _overwrite, _insert, _delete, _copy, _truncate, _swap_lines)
