import argparse

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
from tests.datasets.makers import folder_of


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


def test_datasets_of_hubs(monkeypatch):
    asked = []
    monkeypatch.setattr(MsDataset, "load", lambda *a, **k: asked.append((a, k)) or ["ms"])
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or ["hf"])
    assert data_source("ms:owner/name@part", split="val") == ["ms"]
    assert data_source("hf:owner/name") == ["hf"]
    assert asked == [
        (("owner/name",), {"subset_name": "part", "split": "val"}),
        (("owner/name", None), {"split": None}),
    ]
    with pytest.raises(DataSetError, match="--labels"):
        data_source("hf:owner/name", labels="x")
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: {}["no such dataset"])
    with pytest.raises(DataSetError, match=r"'hf:owner/name' can't be loaded .*no such dataset"):
        data_source("hf:owner/name")
