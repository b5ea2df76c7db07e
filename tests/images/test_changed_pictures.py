"""Pictures of every form with some bytes changed: each is answered, or refused by one error."""

import random

import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.pictures import decode_picture
from tests.images.answered import ANSWERED

PIXELS = 10**6
TIMES = 40
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\0\0\x40\0")


def changed(content, draw):
    """The content with up to eight changes, most of them near its beginning."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        place = draw.randrange(min(len(content), draw.choice((64, 400, 10**6))))
        kind = draw.randrange(5)
        if kind == 0:
            content[place] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        elif kind == 1:
            content[place : place + 4] = draw.choice(LENGTHS)
        elif kind == 2:
            part = content[draw.randrange(len(content)) :][: draw.randrange(1, 60)]
            content[place:place] = part * draw.choice((1, 5, 200))
        elif kind == 3:
            del content[place : place + draw.randrange(1, 30)]
        else:
            del content[place:]
        content = content or bytearray(b"x")
    return bytes(content)


@pytest.mark.parametrize("form", ANSWERED)
@pytest.mark.filterwarnings("ignore")
def test_changed_pictures(form):
    case = ANSWERED[form]
    Image.init()
    if case.writer is not None and case.writer not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {case.writer}")
    draw = random.Random(form)
    sources = [source for source in case.make() if isinstance(source, bytes)]
    for number in range(TIMES if sources else 0):
        content = changed(sources[number % len(sources)], draw)
        try:
            pixels = decode_picture(content, max_pixels=PIXELS)
        except ImageError as error:
            (message,) = error.args
            assert message.startswith(f"{len(content)} bytes ")
            assert len(message) < 2000
        else:
            assert pixels.shape[0] * pixels.shape[1] <= PIXELS
            assert pixels.shape[2] == 3
