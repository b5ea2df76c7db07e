"""Models and datasets of hubs by name: the real clients, ModelScope's against the stand-in hub."""

import json
import sys

import pytest
from datasets import Dataset, Features, Image

from modelscope_vitadapter.evaluation.evaluate import evaluate
from tests.evaluation.makers import TINY_MODEL, drawn_scenes
from tests.hub.environment import DEAD_ENDPOINT, REPOSITORY, isolated_environment, run_python
from tests.hub.server import VITADAPTER_ID, StandInHub, dataset_files

NAME = "drawn_scenes"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("scenes"), 3)


@pytest.fixture(scope="module")
def columns(scenes):
    """Paths of the images and of their label maps."""
    return {
        "image": sorted(scenes.glob("images/**/*.png")),
        "label": sorted(scenes.glob("labels/**/*.png")),
    }


@pytest.fixture(scope="module")
def expected(scenes):
    return evaluate(TINY_MODEL, scenes, device="cpu", progress=False).counts.tolist()


def evaluated(model, source, folder, endpoint=DEAD_ENDPOINT):
    """What the command prints, and the counts that it finds."""
    output = folder / "output"
    arguments = [model, source, "--split", "validation", "--device", "cpu", "--output", output]
    process = run_python(
        *("-m", "modelscope_vitadapter", "evaluate", *arguments),
        environment=isolated_environment(folder / "home", endpoint),
        cwd=REPOSITORY,
        python=sys.executable,
    )
    content = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    return process.stdout, content["confusion_matrix"]


def test_modelscopes_hub(columns, expected, tmp_path):
    files = dataset_files(NAME, "validation", columns)
    models = {VITADAPTER_ID: TINY_MODEL}
    with StandInHub(models=models, datasets={f"someone/{NAME}": files}) as hub:
        shown, found = evaluated(VITADAPTER_ID, f"ms:someone/{NAME}", tmp_path, hub.url)
        assert any(path.endswith("/repo") for _, path, _ in hub.requests)
    assert found == expected
    assert "mIoU" in shown
    assert "47.21" in shown  # the model card's, beside it


@pytest.mark.slow
def test_hugging_faces_loader(columns, expected, tmp_path):
    features = Features({"image": Image(), "label": Image()})
    table = {name: [str(path) for path in paths] for name, paths in columns.items()}
    images = Dataset.from_dict(table, features=features)
    (tmp_path / "data").mkdir()
    images.to_parquet(str(tmp_path / "data" / "validation-00000-of-00001.parquet"))
    _, found = evaluated(TINY_MODEL, f"hf:{tmp_path / 'data'}", tmp_path)
    assert found == expected
