"""Data sets of hubs by name: the real clients, ModelScope's against the stand-in hub."""

import json
import sys

import pytest
from datasets import Dataset, Features, Image

from modelscope_vitadapter.evaluation.evaluate import evaluate
from tests.evaluation.makers import TINY_MODEL, drawn_scenes
from tests.hub.environment import REPOSITORY, isolated_environment, run_python
from tests.hub.server import StandInHub, dataset_files

EVALUATE = ("-m", "modelscope_vitadapter", "evaluate", TINY_MODEL)
NAME = "drawn_scenes"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("scenes"), 3)


@pytest.fixture(scope="module")
def columns(scenes):
    """Paths of the pictures and of their label maps."""
    return {
        "image": sorted(scenes.glob("images/**/*.png")),
        "label": sorted(scenes.glob("labels/**/*.png")),
    }


@pytest.fixture(scope="module")
def expected(scenes):
    return evaluate(TINY_MODEL, scenes, device="cpu", progress=False).counts.tolist()


def evaluated(source, folder, endpoint=None, *options):
    """The counts that the command finds for a data set."""
    environment = isolated_environment(folder / "home", *([endpoint] if endpoint else []))
    output = folder / "output"
    run_python(
        *EVALUATE,
        source,
        *options,
        *("--device", "cpu", "--output", output),
        environment=environment,
        cwd=REPOSITORY,
        python=sys.executable,
    )
    return json.loads((output / "evaluation.json").read_text(encoding="utf-8"))["confusion_matrix"]


def test_modelscopes_hub(columns, expected, tmp_path):
    files = dataset_files(NAME, "validation", columns)
    with StandInHub(datasets={f"someone/{NAME}": files}) as hub:
        found = evaluated(f"ms:someone/{NAME}", tmp_path, hub.url, "--split", "validation")
        assert any(path.endswith("/repo") for _, path, _ in hub.requests)
    assert found == expected


def test_hugging_faces_loader(columns, expected, tmp_path):
    features = Features({"image": Image(), "label": Image()})
    table = {name: [str(path) for path in paths] for name, paths in columns.items()}
    pictures = Dataset.from_dict(table, features=features)
    (tmp_path / "data").mkdir()
    pictures.to_parquet(str(tmp_path / "data" / "validation-00000-of-00001.parquet"))
    found = evaluated(f"hf:{tmp_path / 'data'}", tmp_path, None, "--split", "validation")
    assert found == expected
