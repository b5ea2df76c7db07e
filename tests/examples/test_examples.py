"""The scripts of `examples/`, with the built wheel installed and the stand-in hub as ModelScope's.

They run as they stand, but for the picture's address.
"""

import cv2
import numpy as np
import pytest
from modelscope.pipelines import pipeline

import modelscope_vitadapter  # noqa: F401  # registers its classes, also where no hook is installed
from modelscope_vitadapter.images.writing import semantic_seg_masks_to_image
from tests.hub.environment import REPOSITORY, run_python
from tests.hub.server import (
    CARD_DATASET_ID,
    CARD_PICTURE_PATH,
    VITADAPTER_ID,
    StandInHub,
    dataset_files,
)
from tests.plugin.children import GOLDEN_MODEL

EXAMPLES = REPOSITORY / "examples"
TINY_MODEL = EXAMPLES / "tiny_model"
SCENE = EXAMPLES / "scene.png"
PICTURE_HOST = "https://modelscope.oss-cn-beijing.aliyuncs.com"


def run_card_script(name, installed, folder, model, picture):
    """Run a script of the model card in `folder`; returns the picture that it wrote."""
    dataset_name = CARD_DATASET_ID.split("/")[1]
    files = dataset_files(dataset_name, "validation", {"InputImage:FILE": [picture]})
    with StandInHub(
        models={VITADAPTER_ID: model},
        pictures={CARD_PICTURE_PATH: picture},
        datasets={CARD_DATASET_ID: files},
    ) as hub:
        code = (EXAMPLES / name).read_text(encoding="utf-8").replace(PICTURE_HOST, hub.url)
        script = folder / name
        script.write_text(code, encoding="utf-8")
        environment = installed.variables(folder / "home", MODELSCOPE_ENDPOINT=hub.url)
        run_python(script, environment=environment, cwd=folder, python=installed.python)
    return read(folder / "result.jpg")


def read(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_COLOR)


def as_jpeg(drawing):
    encoded, content = cv2.imencode(".jpg", drawing)
    assert encoded
    return cv2.imdecode(content, cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def drawn_scene():
    result = pipeline("image-segmentation", model=str(TINY_MODEL))(str(SCENE))
    assert len(result["masks"]) > 1
    return as_jpeg(semantic_seg_masks_to_image(result["masks"]))


def test_model_card(installed, drawn_scene, tmp_path):
    written = run_card_script("model_card.py", installed, tmp_path, TINY_MODEL, SCENE)
    np.testing.assert_array_equal(written, drawn_scene)


def test_model_card_on_its_data_set(installed, drawn_scene, tmp_path):
    written = run_card_script("model_card_dataset.py", installed, tmp_path, TINY_MODEL, SCENE)
    np.testing.assert_array_equal(written, drawn_scene)


def test_model_card_draws_what_the_builtin_model_draws(installed, tmp_path):
    picture = GOLDEN_MODEL / "flower.png"
    written = run_card_script("model_card.py", installed, tmp_path, GOLDEN_MODEL, picture)
    expected = np.load(GOLDEN_MODEL / "expected.npz")["flower/draw"]
    np.testing.assert_array_equal(written, as_jpeg(expected))


def test_local_directory(installed, tmp_path):
    result = tmp_path / "结果 1.png"
    run_python(
        EXAMPLES / "local_directory.py",
        TINY_MODEL,
        SCENE,
        result,
        environment=installed.variables(tmp_path / "home"),
        cwd=tmp_path,
        python=installed.python,
    )
    assert read(result).shape == read(SCENE).shape
