import argparse

import pytest

from modelscope_vitadapter.command.data_arguments import (
    LABEL_IDS,
    add_data_arguments,
    data_options,
    data_source,
)
from modelscope_vitadapter.datasets.label_ids import NAMED
from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import folder_of


def test_options_are_those_of_open_labelled(tmp_path):
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    folder_of(tmp_path)
    (tmp_path / "labels" / "val" / "0.png").unlink()
    given = parser.parse_args(["--label-ids", "reduce-zero", "--skip-missing"])
    pictures = open_labelled(data_source(str(tmp_path)), **data_options(given))
    assert len(pictures) == 2
    assert pictures.label_ids.reduce_zero_label
    assert open_labelled(folder_of(tmp_path), **data_options(parser.parse_args([])))


def test_the_names_of_label_ids_are_all_that_there_are():
    assert sorted(NAMED) == list(LABEL_IDS)


def test_two_folders(tmp_path):
    folder_of(tmp_path, images="a", labels="b")
    source = data_source(str(tmp_path / "a"), labels=str(tmp_path / "b"))
    assert len(open_labelled(source, split="val")) == 3


def test_data_sets_of_hubs(monkeypatch):
    import datasets
    from modelscope.msdatasets import MsDataset

    asked = []
    monkeypatch.setattr(MsDataset, "load", lambda *a, **k: asked.append((a, k)) or ["ms"])
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or ["hf"])
    assert data_source("ms:owner/name@part", split="val") == ["ms"]
    assert data_source("hf:owner/name") == ["hf"]
    assert asked == [
        (("owner/name",), {"subset_name": "part", "split": "val"}),
        (("owner/name", None), {"split": None}),
    ]


def test_what_a_hub_does_not_give_is_said(monkeypatch):
    import datasets

    def fail(*args, **options):
        raise RuntimeError("no such data set")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataSetError, match=r"'hf:owner/name' can't be loaded .*no such data set"):
        data_source("hf:owner/name")
    with pytest.raises(DataSetError, match="--labels"):
        data_source("hf:owner/name", labels="x")
