"""COCO-Stuff from its folders to the model card's figures, on a small model of its 171 classes."""

import shutil

import numpy as np
import pytest

from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.datasets.label_ids import COCO_STUFF_ABSENT
from modelscope_vitadapter.evaluation.evaluate import evaluate
from modelscope_vitadapter.evaluation.published import CARD
from modelscope_vitadapter.evaluation.table import format_table
from modelscope_vitadapter.network.build import build_network
from tests.datasets.makers import write_labels, write_picture
from tests.evaluation.makers import EXAMPLES, TINY_MODEL

GOLDEN_CONFIG = EXAMPLES.parent / "tests" / "golden" / "full_size_mmcv_config.py"
SIZE = (40, 48)
PICTURES = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The small model's shape with the hub model's classes and weights that mean nothing."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(TINY_MODEL / "configuration.json", folder)
    classes = list(read_config(GOLDEN_CONFIG)["CLASSES"])
    text = (TINY_MODEL / "mmcv_config.py").read_text(encoding="utf-8")
    text = text.replace("num_things_classes = 6", "num_things_classes = 80")
    text = text.replace("num_stuff_classes = 1", "num_stuff_classes = 91")
    head, _, rest = text.partition("CLASSES = ")
    rest = rest[rest.index("num_things_classes") :]
    text = f"{head}CLASSES = {classes!r}\nPALETTE = {[[0, 0, 0]] * 171!r}\n{rest}"
    (folder / "mmcv_config.py").write_text(text, encoding="utf-8")
    network = build_network(parse_model(read_config(folder / "mmcv_config.py")))
    save_state_dict(network.state_dict(), folder / "pytorch_model.pt")
    return folder


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """The same pictures with label maps in both forms, in the folders of their distributions."""
    root = tmp_path_factory.mktemp("coco")
    rng = np.random.default_rng(0)
    present = np.array([one for one in range(182) if one not in COCO_STUFF_ABSENT])
    for number in range(PICTURES):
        name = f"{number:012d}"
        ids = rng.integers(0, 171, SIZE)
        unlabelled = rng.random(SIZE) < 0.1
        write_picture(root / "images" / "val2017" / f"{name}.jpg", SIZE, value=80 * number)
        for folder, ending, values in (
            ("annotations", "_labelTrainIds", ids),
            ("stuffthingmaps", "", present[ids]),
        ):
            stored = np.where(unlabelled, 255, values)
            write_labels(root / folder / "val2017" / f"{name}{ending}.png", stored)
    return root


def test_both_forms_give_the_same_counts_beside_the_cards_figures(model, coco, tmp_path):
    converted = evaluate(model, coco, split="val2017", device="cpu", progress=False)
    original = tmp_path / "original"
    shutil.copytree(coco, original, ignore=shutil.ignore_patterns("annotations"))
    found = evaluate(model, original, device="cpu", progress=False)
    np.testing.assert_array_equal(found.counts, converted.counts)
    pixels = PICTURES * SIZE[0] * SIZE[1]
    assert 0.85 * pixels < found.counts.sum() < 0.95 * pixels
    assert found.published is CARD
    rows = [line.split() for line in format_table(found).splitlines()]
    assert ["mIoU", f"{100 * found.figures.mIoU:.2f}", "47.21"] in rows
