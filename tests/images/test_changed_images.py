"""Images of every form with some bytes changed: each is answered, or refused by one error."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.decode import decode_image
from modelscope_vitadapter.images.options import ReadOptions
from tests.images.forms import ANSWERED

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
        place = draw(st.integers(0, reach))
        own = bytes(content[place : place + draw(st.integers(1, 60))])
        part = draw(st.sampled_from((*LENGTHS, own, b"")) | st.binary(min_size=1, max_size=1))
        part *= draw(st.sampled_from((1, 1, 5, 200)))
        gone = draw(st.sampled_from((0, len(part), 1, 30, len(content))))
        content[place : place + gone] = part
    return bytes(content)


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=changed())
@pytest.mark.filterwarnings("ignore")
def test_changed_images(content):
    try:
        pixels = decode_image(content, "the image", options=ReadOptions(max_pixels=PIXELS))
    except ImageError as error:
        (message,) = error.args
        assert message.startswith("the image ")
        assert len(message) < 2000
    else:
        assert pixels.shape[0] * pixels.shape[1] <= PIXELS
        assert pixels.shape[2] == 3
