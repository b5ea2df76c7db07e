import subprocess
import sys

import pytest
from PIL import Image

from tests.images.makers import PICTURE

READ_AND_MEASURE = """
import sys
from pathlib import Path
from modelscope_vitadapter.images.inputs import read_image

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

read_image(sys.argv[1])
before = peak()
read_image(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
@pytest.mark.parametrize(("orientation", "most"), [(1, 190), (6, 215)])
def test_reading_takes_little_more_than_pillows_picture_and_the_result(tmp_path, orientation, most):
    """24 megapixels are 72 MB as an array and 96 MB in Pillow; turned, 96 MB twice for a while."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    small, large = tmp_path / "small.jpg", tmp_path / "large.jpg"
    PICTURE.save(small, exif=exif)
    PICTURE.resize((6000, 4000)).save(large, exif=exif)
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_MEASURE, small, large],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 72 < int(done.stdout) * 1024 / 1e6 < most
