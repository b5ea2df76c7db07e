"""ModelScope's real client against the stand-in hub, and without any hub."""

import filecmp
import json

import pytest

from tests.hub.environment import DEAD_ENDPOINT, isolated_environment, run_python
from tests.hub.server import (
    CARD_DATASET_ID,
    CARD_PICTURE_PATH,
    VITADAPTER_ID,
    StandInHub,
    dataset_files,
)
from tests.plugin.children import GOLDEN_MODEL

PICTURE = GOLDEN_MODEL / "tiny.png"
COLUMN = "InputImage:FILE"

DOWNLOAD = f"""
import sys
from modelscope import snapshot_download
sys.stdout.write(snapshot_download({VITADAPTER_ID!r}))
"""
LOAD_DATASET = """
import json, sys
from modelscope.msdatasets import MsDataset
from modelscope.utils.constant import DownloadMode
dataset = MsDataset.load(
    "COCO_segmentation_inference",
    namespace="modelscope",
    split="validation",
    download_mode=DownloadMode.FORCE_REDOWNLOAD,
)
sys.stdout.write(json.dumps([dataset[0], len(dataset)]))
"""
RUN_FROM_CACHE = f"""
import modelscope_vitadapter
from modelscope import snapshot_download
from modelscope.pipelines import pipeline
folder = snapshot_download({VITADAPTER_ID!r}, local_files_only=True)
segmentor = pipeline("image-segmentation", model=folder)
assert segmentor({str(PICTURE)!r})["labels"]
"""


@pytest.fixture(scope="module")
def hub():
    files = dataset_files("COCO_segmentation_inference", "validation", {COLUMN: [PICTURE]})
    with StandInHub(
        models={VITADAPTER_ID: GOLDEN_MODEL},
        pictures={CARD_PICTURE_PATH: PICTURE},
        datasets={CARD_DATASET_ID: files},
    ) as hub:
        yield hub


def test_data_set_is_loaded(hub, tmp_path):
    environment = isolated_environment(tmp_path / "home", hub.url)
    process = run_python("-c", LOAD_DATASET, environment=environment, cwd=tmp_path)
    assert json.loads(process.stdout) == [{COLUMN: str(PICTURE)}, 1]


def test_model_is_downloaded_and_then_used_offline(hub, tmp_path):
    home = tmp_path / "home"
    environment = isolated_environment(home, hub.url)
    process = run_python("-c", DOWNLOAD, environment=environment, cwd=tmp_path)
    names = [path.name for path in GOLDEN_MODEL.iterdir() if path.is_file()]
    same, *different = filecmp.cmpfiles(GOLDEN_MODEL, process.stdout, names, shallow=False)
    assert sorted(same) == sorted(names)
    assert different == [[], []]

    offline = isolated_environment(home, DEAD_ENDPOINT)
    run_python("-c", RUN_FROM_CACHE, environment=offline, cwd=tmp_path)
