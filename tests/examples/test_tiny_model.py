"""The tiny model and the scenes that it is fitted and tested on."""

import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modelscope.pipelines import pipeline

import modelscope_vitadapter  # noqa: F401  # registers its classes, also where no hook is installed
from modelscope_vitadapter import segmenter as segmenter_module
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.config.model_config import parse_classes, parse_model, parse_palette
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.network.build import build_network

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY_MODEL = EXAMPLES / "tiny_model"
scenes = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "drawn_scenes.py")))

TESTING = 3
"""First number of this test's seeds; the training script uses 1 and 2."""

SIZES = [(75, 110), (160, 160), (240, 320), (300, 128), (128, 400), (210, 97)]
"""`(height, width)`: smaller and larger than the model's window, upright, square, elongated."""


@cache
def unseen_scenes():
    return [
        scenes.draw_scene(
            np.random.default_rng((TESTING, i)), *SIZES[i % len(SIZES)], scenes.HELD_OUT_TEXTURES
        )
        for i in range(24)
    ]


def mean_iou(pairs, classes):
    """Mean over the classes of intersection over union, over all `(prediction, labels)` pairs."""
    counts = np.zeros((classes, classes), np.int64)
    for prediction, labels in pairs:
        np.add.at(counts, (labels.ravel(), prediction.ravel()), 1)
    intersection = np.diagonal(counts)
    return float(np.mean(intersection / (counts.sum(0) + counts.sum(1) - intersection)))


@pytest.fixture(scope="module")
def segmentor():
    return pipeline("image-segmentation", model=str(TINY_MODEL), device="cpu")


@pytest.fixture(scope="module")
def config():
    return read_config(TINY_MODEL / "mmcv_config.py")


def test_segments_unseen_scenes_of_other_textures_and_sizes(segmentor):
    pairs = [
        (segmentor(image, output="class_map")["class_map"], labels)
        for image, labels in unseen_scenes()
    ]
    assert mean_iou(pairs, len(scenes.CLASSES)) > 0.9


@pytest.mark.slow
def test_bfloat16_gives_the_answer_of_float32_but_for_few_pixels(segmentor, monkeypatch):
    # also where the processor has no instructions for it and float32 would be taken
    monkeypatch.setattr(segmentor.model.segmenter, "dtype", torch.bfloat16)
    monkeypatch.setattr(segmenter_module, "usable_dtype", lambda dtype, device: dtype)
    reduced = [segmentor(image, output="class_map")["class_map"] for image, _ in unseen_scenes()]
    monkeypatch.undo()
    equal, pixels = 0, 0
    for found, (image, _) in zip(reduced, unseen_scenes(), strict=True):
        expected = segmentor(image, output="class_map")["class_map"]
        equal, pixels = equal + int((found == expected).sum()), pixels + expected.size
    assert 0.995 * pixels <= equal < pixels


def test_demo_writes_the_coloured_result_beside_the_picture(tmp_path, capsys):
    picture = tmp_path / "scene.png"
    picture.write_bytes((EXAMPLES / "scene.png").read_bytes())
    demo = runpy.run_path(str(EXAMPLES / "demo.py"))
    assert demo["segment"](picture) == tmp_path / "scene_segmented.png"
    assert read_image(tmp_path / "scene_segmented.png").shape == read_image(picture).shape
    assert "star" in capsys.readouterr().out


def test_local_directory_example_uses_the_palette(tmp_path):
    example = runpy.run_path(str(EXAMPLES / "local_directory.py"))
    result = tmp_path / "结果 1.png"
    example["main"](str(TINY_MODEL), str(EXAMPLES / "scene.png"), str(result))
    colours = {tuple(int(v) for v in c) for c in read_image(result)[..., ::-1].reshape(-1, 3)}
    assert colours == set(scenes.PALETTE)


def test_checkpoint_holds_the_network_and_nothing_else(config):
    state = torch.load(TINY_MODEL / "pytorch_model.pt", weights_only=True)
    network = build_on_meta(config)
    assert state.keys() == network.state_dict().keys()
    load_into(network, TINY_MODEL / "pytorch_model.pt")
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())


def build_on_meta(config):
    with torch.device("meta"):
        return build_network(parse_model(config))


def test_config_and_scenes_agree_on_classes_and_colours(config):
    settings = parse_model(config)
    assert tuple(parse_classes(config, settings.head.num_classes)) == scenes.CLASSES
    assert parse_palette(config, 7) == [list(colour) for colour in scenes.PALETTE]
    assert settings.head.num_classes == len(scenes.CLASSES) >= 6


def run_training(*arguments):
    command = [sys.executable, str(EXAMPLES / "train_tiny_model.py"), "--iters", "2"]
    command += ["--batch-size", "2", "--scenes", "2", "--seed", "1", *map(str, arguments)]
    done = subprocess.run(
        command, check=True, cwd=EXAMPLES.parent, capture_output=True, encoding="utf-8"
    )
    return done.stdout


@pytest.mark.slow
def test_training_script_writes_a_model_that_loads(tmp_path, config):
    target = tmp_path / "model"
    shown = run_training("--output", target, "--work-dir", tmp_path / "work", "--processes", "2")
    assert "on 2 unseen scenes: mIoU" in shown
    network = build_on_meta(config)
    load_into(network, target / "pytorch_model.pt")
    shipped = torch.load(TINY_MODEL / "pytorch_model.pt", weights_only=True)
    trained = network.state_dict()
    name = "decode_head.cls_embed.weight"
    assert not torch.equal(trained[name], shipped[name])


@pytest.mark.slow
def test_training_script_goes_on_with_the_weights_of_a_model(tmp_path):
    model = shutil.copytree(TINY_MODEL, tmp_path / "model")
    run_training("--continue", "--model", model, "--work-dir", tmp_path / "work", "--processes", 1)
    trained, shipped = (
        torch.load(folder / "pytorch_model.pt", weights_only=True) for folder in (model, TINY_MODEL)
    )
    assert trained.keys() == shipped.keys()
    name = "decode_head.cls_embed.weight"
    assert not torch.equal(trained[name], shipped[name])
    assert torch.allclose(trained[name], shipped[name], atol=0.02)


@pytest.mark.slow
def test_training_script_fine_tunes_to_other_shapes(tmp_path):
    target = tmp_path / "model"
    work = tmp_path / "work"
    run_training("--other-shapes", "--output", target, "--work-dir", work, "--processes", "1")
    segmentor = pipeline("image-segmentation", model=str(target), device="cpu")
    assert tuple(segmentor.model.CLASSES) == scenes.OTHER_CLASSES
    trained, shipped = (
        torch.load(folder / "pytorch_model.pt", weights_only=True)
        for folder in (target, TINY_MODEL)
    )
    fresh = {name for name in trained if trained[name].shape != shipped[name].shape}
    assert fresh == {"decode_head.cls_embed.weight", "decode_head.cls_embed.bias"}
    kept = {name for name in trained.keys() - fresh if name.endswith((".weight", ".bias"))}
    assert all(torch.allclose(trained[name], shipped[name], atol=0.02) for name in kept)
