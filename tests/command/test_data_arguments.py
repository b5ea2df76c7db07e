"""Datasets by name: folders, and hubs by their real clients, ModelScope's against a stand-in."""

import argparse
import json
import sys

import datasets
import pytest
from modelscope.msdatasets import MsDataset

from modelscope_vitadapter.command.data_arguments import (
    add_data_arguments,
    data_options,
    data_source,
)
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.evaluate import evaluate
from tests.datasets.makers import folder_of
from tests.evaluation.makers import TINY_MODEL, drawn_scenes
from tests.hub.environment import DEAD_ENDPOINT, REPOSITORY, isolated_environment, run_python
from tests.hub.server import VITADAPTER_ID, StandInHub, dataset_files


def test_options_are_those_of_open_dataset(tmp_path):
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    folder_of(tmp_path)
    source = data_source(str(tmp_path))
    assert len(open_dataset(source, **data_options(parser.parse_args([])))) == 3
    (tmp_path / "labels" / "val" / "0.png").unlink()
    given = parser.parse_args(["--label-ids", "reduce-zero", "--skip-missing"])
    dataset = open_dataset(source, **data_options(given))
    assert len(dataset) == 2
    assert dataset.label_ids.reduce_zero_label
    both = data_source(str(tmp_path / "images"), labels=str(tmp_path / "labels"))
    assert len(open_dataset(both, split="val", **data_options(given))) == 2


def test_what_hubs_are_asked_for_and_what_they_lack(monkeypatch):
    asked = []
    monkeypatch.setattr(MsDataset, "load", lambda *a, **k: asked.append((a, k)) or ["ms"])
    assert data_source("ms:owner/name@part", split="val") == ["ms"]
    assert asked == [(("owner/name",), {"subset_name": "part", "split": "val"})]
    with pytest.raises(DataSetError, match="--labels"):
        data_source("hf:owner/name", labels="x")
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: {}["no such dataset"])
    with pytest.raises(DataSetError, match=r"'hf:owner/name' can't be loaded .*no such dataset"):
        data_source("hf:owner/name")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Paths of the images and of their label maps, and the counts over them."""
    root = drawn_scenes(tmp_path_factory.mktemp("scenes"), 3)
    columns = {name: sorted(root.glob(f"{name}s/**/*.png")) for name in ("image", "label")}
    return columns, evaluate(TINY_MODEL, root, device="cpu", progress=False).counts.tolist()


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


@pytest.mark.slow
def test_modelscopes_hub(scenes, tmp_path):
    columns, expected = scenes
    files = {"someone/drawn": dataset_files("drawn", "validation", columns)}
    with StandInHub(models={VITADAPTER_ID: TINY_MODEL}, datasets=files) as hub:
        shown, found = evaluated(VITADAPTER_ID, "ms:someone/drawn", tmp_path, hub.url)
        assert any(path.endswith("/repo") for _, path, _ in hub.requests)
    assert found == expected
    assert "mIoU" in shown
    assert "47.21" in shown  # the model card's, beside it


@pytest.mark.slow
def test_hugging_faces_loader(scenes, tmp_path):
    columns, expected = scenes
    features = datasets.Features({name: datasets.Image() for name in columns})
    table = {name: [str(path) for path in paths] for name, paths in columns.items()}
    images = datasets.Dataset.from_dict(table, features=features)
    (tmp_path / "data").mkdir()
    images.to_parquet(str(tmp_path / "data" / "validation-00000-of-00001.parquet"))
    assert evaluated(TINY_MODEL, f"hf:{tmp_path / 'data'}", tmp_path)[1] == expected
