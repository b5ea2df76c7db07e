"""The model card's scripts, with the built wheel installed and the stand-in hub as ModelScope's.

They run as they stand, but for the picture's address.
"""

import cv2
import numpy as np
import pytest

from tests.hub.environment import REPOSITORY, run_python
from tests.hub.server import (
    CARD_DATASET_ID,
    CARD_PICTURE_PATH,
    VITADAPTER_ID,
    StandInHub,
    dataset_files,
)
from tests.plugin.children import GOLDEN_MODEL

PICTURE_HOST = "https://modelscope.oss-cn-beijing.aliyuncs.com"


@pytest.mark.parametrize(
    "name", ["model_card.py", pytest.param("model_card_dataset.py", marks=pytest.mark.slow)]
)
def test_the_model_cards_scripts_draw_what_the_builtin_model_draws(name, installed, tmp_path):
    picture = GOLDEN_MODEL / "flower.png"
    dataset_name = CARD_DATASET_ID.split("/")[1]
    files = dataset_files(dataset_name, "validation", {"InputImage:FILE": [picture]})
    with StandInHub(
        models={VITADAPTER_ID: GOLDEN_MODEL},
        pictures={CARD_PICTURE_PATH: picture},
        datasets={CARD_DATASET_ID: files},
    ) as hub:
        code = (REPOSITORY / "examples" / name).read_text(encoding="utf-8")
        script = tmp_path / name
        script.write_text(code.replace(PICTURE_HOST, hub.url), encoding="utf-8")
        environment = installed.variables(tmp_path / "home", MODELSCOPE_ENDPOINT=hub.url)
        run_python(script, environment=environment, cwd=tmp_path, python=installed.python)
    written = (tmp_path / "result.jpg").read_bytes()
    _, expected = cv2.imencode(".jpg", np.load(GOLDEN_MODEL / "expected.npz")["flower/draw"])
    found, wanted = (
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        for content in (written, expected)
    )
    np.testing.assert_array_equal(found, wanted)
