"""Images of every form with some bytes changed: each is answered, or refused by one error."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.decode import decode_image
from tests.images.answered import ANSWERED

PIXELS = 10**6
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\0\0\x40\0")


def contents():
    Image.init()
    cases = [case for case in ANSWERED.values() if case.writer in (None, *Image.SAVE)]
    return [source for case in cases for source in case.make() if isinstance(source, bytes)]


CONTENTS = contents()


@st.composite
def changed(draw):
    """An image of the table with up to eight changes, most of them near its beginning."""
    content = bytearray(draw(st.sampled_from(CONTENTS)))
    for _ in range(draw(st.sampled_from((1, 1, 2, 4, 8)))):
        reach = min(len(content), draw(st.sampled_from((64, 400, 10**6))))
        place = draw(st.integers(0, reach - 1))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            content[place] = draw(st.sampled_from((0, 1, 127, 128, 255)) | st.integers(0, 255))
        elif kind == 1:
            content[place : place + 4] = draw(st.sampled_from(LENGTHS))
        elif kind == 2:
            part = content[place:][: draw(st.integers(1, 60))]
            content[place:place] = part * draw(st.sampled_from((1, 5, 200)))
        elif kind == 3:
            del content[place : place + draw(st.integers(1, 30))]
        else:
            del content[place:]
        content = content or bytearray(b"x")
    return bytes(content)


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=changed())
@pytest.mark.filterwarnings("ignore")
def test_changed_images(content):
    try:
        pixels = decode_image(content, "the image", max_pixels=PIXELS)
    except ImageError as error:
        (message,) = error.args
        assert message.startswith("the image ")
        assert len(message) < 2000
    else:
        assert pixels.shape[0] * pixels.shape[1] <= PIXELS
        assert pixels.shape[2] == 3
