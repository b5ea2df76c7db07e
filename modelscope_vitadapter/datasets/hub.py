"""Datasets by their names on ModelScope's and Hugging Face's hubs."""

from typing import Any

from modelscope_vitadapter.errors import DataSetError

HUBS = ("ms:", "hf:")
"""What names begin with: of ModelScope's hub, and of Hugging Face's."""


def load(name: str, split: str | None = None) -> Any:
    """Loads `ms:OWNER/NAME@SUBSET` or `hf:OWNER/NAME@SUBSET`; the subset may be left out.

    Raises:
        DataSetError: the hub does not give it.
    """
    hub_name, _, subset = name[3:].partition("@")
    try:
        if name.startswith("hf:"):
            from datasets import load_dataset

            return load_dataset(hub_name, subset or None, split=split)
        from modelscope.msdatasets import MsDataset

        return MsDataset.load(hub_name, subset_name=subset or None, split=split)
    except Exception as error:  # clients of hubs raise many classes
        raise DataSetError(
            f"dataset {name!r} can't be loaded ({type(error).__name__}: {error}); check its name, "
            "its subset and the network"
        ) from error
