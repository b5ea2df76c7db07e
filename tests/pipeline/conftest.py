from pathlib import Path

import pytest
from modelscope.pipelines import pipeline

import modelscope_vitadapter  # noqa: F401  # registers its classes, also where no hook is installed

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="session")
def base_dir() -> str:
    return str(GOLDEN / "base")


@pytest.fixture(scope="session")
def segmentor(base_dir):
    return pipeline("image-segmentation", model=base_dir, device="cpu")
