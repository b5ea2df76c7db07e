"""Model directories as they come: links into caches, odd files, modules that lie in wait."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from modelscope.pipelines import pipeline

from modelscope_vitadapter.errors import CheckpointError, ConfigError
from tests.pipeline.cases import GOLDEN, case_input
from tests.support.canary import CODE, baited

IMAGE = case_input("base", "tiny")
NAMES = ("configuration.json", "mmcv_config.py", "pytorch_model.pt")


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(GOLDEN / "base" / name, folder)
    return folder


@pytest.fixture(scope="module")
def wanted(segmentor):
    return segmentor(IMAGE, output="class_map")["class_map"]


def answer(folder):
    return pipeline("image-segmentation", model=str(folder))(IMAGE, output="class_map")["class_map"]


@pytest.mark.parametrize("relative", [True, False])
def test_files_that_are_links_into_a_cache(directory, wanted, relative):
    cache = directory.parent / "blobs"
    cache.mkdir()
    for name in NAMES[1:]:
        (directory / name).rename(cache / f"{name}-3f786850")
        target = Path("..", "blobs") if relative else cache
        (directory / name).symlink_to(target / f"{name}-3f786850")
    assert np.array_equal(answer(directory), wanted)


def test_python_in_a_directory_lies_there(directory, wanted, tmp_path):
    code = f"{CODE}\nimport canary_module\n"
    for name in ("__init__", "ms_wrapper", "setup", "sitecustomize", "modeling", "torch", "mmcv"):
        (directory / f"{name}.py").write_text(code, encoding="utf-8")
    (directory / "x.pth").write_text("import canary_module", encoding="utf-8")
    (directory / "requirements.txt").write_text("canary_module", encoding="utf-8")
    (directory / "weights.pkl").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    with baited(tmp_path):
        assert np.array_equal(answer(directory), wanted)


@pytest.mark.parametrize(("name", "error"), [(NAMES[1], ConfigError), (NAMES[2], CheckpointError)])
def test_nothing_folders_and_links_that_lead_nowhere(directory, name, error):
    (directory / name).unlink()
    for link in (False, True):
        if link:
            (directory / name).symlink_to("gone")
        with pytest.raises(error, match=rf"{name}.*does not exist|holds no .*{name}") as caught:
            answer(directory)
        assert isinstance(caught.value, FileNotFoundError)
    (directory / name).unlink()
    (directory / name).mkdir()
    with pytest.raises(error, match=name):
        answer(directory)
