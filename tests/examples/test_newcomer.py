"""What a newcomer does with the README in hand: train on a folder, evaluate, run the result."""

import ast
import json
import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.examples.test_documents import blocks
from tests.hub.environment import REPOSITORY, run_python
from tests.hub.server import VITADAPTER_ID, StandInHub

TINY_MODEL = REPOSITORY / "examples" / "tiny_model"
FEWER = {r"--iters \d+": "--iters 4 --batch-size 4 --workers 0", r"max_iters=\d+": "max_iters=2"}
"""The README's numbers of steps, and those of the test."""


def fewer(text):
    for pattern, replacement in FEWER.items():
        text = re.sub(pattern, replacement, text)
    return text


def write_scenes(folder):
    """`folder` in the README's layout, with shapes that the tiny model does not know."""
    import runpy

    scenes = runpy.run_path(str(REPOSITORY / "examples" / "drawn_scenes.py"))
    classes = scenes["OTHER_CLASSES"]
    for split, count in (("train", 6), ("val", 3)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            rng = np.random.default_rng((len(split), number))
            image, labels = scenes["draw_scene"](rng, 120, 150, classes=classes)
            picture = Image.fromarray(image[..., ::-1].copy())
            picture.save(folder / "images" / split / f"{number}.jpg", quality=95)
            Image.fromarray(labels).save(folder / "labels" / split / f"{number}.png")
    (folder / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    return classes


@pytest.fixture(scope="module")
def newcomer(installed, tmp_path_factory):
    """A folder with the newcomer's data and pictures, and a way to run commands in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    classes = write_scenes(folder / "my_data")
    shutil.copytree(TINY_MODEL, folder / "my_model")
    shutil.copy(REPOSITORY / "examples" / "scene.png", folder / "photo.jpg")
    with StandInHub(models={VITADAPTER_ID: TINY_MODEL}) as hub:
        environment = installed.variables(folder / "home", MODELSCOPE_ENDPOINT=hub.url)
        binaries = installed.python.parent

        def run(line):
            command = shlex.split(line)
            command[0] = str(binaries / command[0])
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, line + done.stdout[-2000:] + done.stderr[-3000:]
            return done.stdout

        def run_code(code):
            return run_python(
                "-c", code, environment=environment, cwd=folder, python=installed.python
            ).stdout

        yield folder, classes, run, run_code


def commands(heading):
    """The commands of the first block under a heading of the README."""
    block = next(block for block in blocks("README.md", "bash") if heading in block)
    return [fewer(line) for line in block.splitlines()]


@pytest.mark.slow
def test_three_commands_train_evaluate_and_run_the_result(newcomer):
    _, classes, run, run_code = newcomer
    train, evaluate, use = commands("vitadapter train")
    assert "4 of 4 steps (finished)" in run(train)
    table = run(evaluate)
    assert all(name in table for name in classes)
    assert "mIoU" in table
    labels = ast.literal_eval(run(use).splitlines()[-1])
    assert labels
    assert set(labels) <= set(classes)
    names = run_code(
        "from modelscope.pipelines import pipeline\n"
        "from modelscope.utils.constant import Tasks\n"
        "segmentor = pipeline(Tasks.image_segmentation, model='run/output_best', device='cpu')\n"
        "print(segmentor.model.CLASSES, segmentor('photo.jpg')['labels'])\n"
    )
    assert str(list(classes)) in names
    going_on = train.replace("--iters 4", "--iters 5")
    assert "5 of 5 steps (finished)" in run(f"{going_on} --resume")


@pytest.mark.slow
def test_the_evaluation_section(newcomer):
    folder, _, run, run_code = newcomer
    shutil.copytree(folder / "my_data", folder / "other_data")
    (evaluate,) = commands("evaluate my_model my_data")
    (folder / "my_data" / "classes.txt").unlink()
    try:
        results = []
        for model in ("my_model", VITADAPTER_ID):  # a directory, and an id of the hub
            run(evaluate.replace("my_model", model))
            text = (folder / "results" / "evaluation.json").read_text(encoding="utf-8")
            results.append(json.loads(text))
        assert results[0]["confusion_matrix"] == results[1]["confusion_matrix"]
        assert results[0]["mIoU"] == results[1]["mIoU"]
        (code,) = blocks("docs/evaluation.md", "python")
        shown = run_code(code + "print(result.metrics.mIoU, result.counts.sum())\n")
        mean, pixels = shown.split()[-2:]
        assert 0 <= float(mean) <= 1
        assert int(pixels) == 3 * 120 * 150
    finally:
        shutil.copy(folder / "other_data" / "classes.txt", folder / "my_data" / "classes.txt")


@pytest.mark.slow
def test_the_trainer_of_the_fine_tuning_section(newcomer):
    folder, classes, _, run_code = newcomer
    code = (
        fewer(blocks("docs/fine-tuning.md", "python")[0])
        .replace("recipe=dict(", "device='cpu', run=dict(workers=0), recipe=dict(batch_size=2, ")
        .replace('work_dir="run"', 'work_dir="own_run"')
    )
    run_code(code + "print(trainer.metric_values)\n")
    config = (folder / "own_run" / "output" / "mmcv_config.py").read_text(encoding="utf-8")
    assert all(name in config for name in classes)
