"""`vitadapter predict` as a process, on the embedded small model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.command.main import main
from modelscope_vitadapter.segmenter import Segmenter
from tests.evaluation.makers import TINY_MODEL, drawn_scenes
from tests.hub.environment import REPOSITORY

QUIET = {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
COMMAND = (sys.executable, "-m", "modelscope_vitadapter", "predict")
MODEL = ("--model", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes(tmp_path_factory.mktemp("场景"), 4) / "images" / "val"


def predict(*arguments, code=0, **variables):
    result = subprocess.run(
        [*COMMAND, *map(str, arguments), *MODEL],
        env={**os.environ, **QUIET, **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == code, result.stderr
    return result


def rows_in(output):
    lines = (output / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["input"]: row for row in map(json.loads, lines)}


def expected_map(path):
    (found,) = Segmenter.load(TINY_MODEL).segment([path])
    return found.class_map.numpy()


def test_a_folder_becomes_pictures_label_maps_and_a_manifest(scenes, tmp_path):
    output = tmp_path / "结果"
    done = predict(scenes, "--output", output)
    assert "4 segmented, 0 done before, 0 failed" in done.stderr
    assert done.stdout == ""
    names = sorted(
        path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()
    )
    numbers = [f"{number:03d}" for number in range(4)]
    assert names == sorted(
        [f"labels/{one}.png" for one in numbers]
        + [f"overlay/{one}.jpg" for one in numbers]
        + ["manifest.jsonl", "classes.csv"]
    )
    labels = Image.open(output / "labels" / "000.png")
    assert (np.asarray(labels) == expected_map(scenes / "000.png")).all()
    assert labels.mode == "P"
    row = rows_in(output)[str(scenes / "000.png")]
    assert row["outputs"] == {"overlay": "overlay/000.jpg", "labels": "labels/000.png"}
    assert row["size"] == [64, 80]
    counts = dict(zip(*np.unique(np.asarray(labels), return_counts=True), strict=True))
    assert {one["id"]: one["pixels"] for one in row["classes"]} == counts
    assert sum(one["share"] for one in row["classes"]) == pytest.approx(1, abs=1e-5)
    assert (output / "classes.csv").read_text(encoding="utf-8").splitlines()[1].startswith("0,back")


def test_every_kind_of_output(scenes, tmp_path):
    kinds = (
        "overlay",
        "labels",
        "color",
        "json",
        "polygons",
        "confidence",
        "probabilities",
        "masks",
    )
    predict(scenes / "001.png", "--output", tmp_path, "--save", *kinds)
    class_map = expected_map(scenes / "001.png")
    probabilities = np.load(tmp_path / "probabilities" / "001.npy")
    assert (probabilities.argmax(axis=0) == class_map).all()
    confidence = np.asarray(Image.open(tmp_path / "confidence" / "001.png")) / 65535
    assert np.abs(confidence - probabilities.max(axis=0)).max() < 1e-3
    masks = {
        int(path.stem): np.asarray(Image.open(path))
        for path in (tmp_path / "masks" / "001").iterdir()
    }
    assert set(masks) == set(np.unique(class_map).tolist())
    assert all((mask == (class_map == one)).all() for one, mask in masks.items())
    assert json.loads((tmp_path / "polygons" / "001.json").read_text())["shapes"]
    assert np.asarray(Image.open(tmp_path / "color" / "001.png")).shape == (64, 80, 3)


def test_started_again_it_does_what_is_missing_or_changed(scenes, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in scenes.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    command = ["predict", str(folder), "--output", str(tmp_path / "out"), *MODEL]

    def told(*more):
        assert main([*command, *more]) == 0
        return capsys.readouterr().err

    assert "4 segmented, 0 done before" in told()
    assert "0 segmented, 4 done before" in told()
    (folder / "000.png").write_bytes((scenes / "001.png").read_bytes())
    (tmp_path / "out" / "labels" / "002.png").unlink()
    assert "2 segmented, 2 done before" in told()
    assert "4 segmented, 0 done before" in told("--threshold", "0.5")
    assert len(rows_in(tmp_path / "out")) == 4


def test_what_fails_is_recorded_and_the_rest_goes_on(scenes, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "list.txt").write_text(f"bad.jpg\n{scenes / '000.png'}\nmissing.png")
    done = predict(tmp_path / "list.txt", "--output", tmp_path / "out", "--json", code=3)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    errors = {row["name"]: row["error"] for row in rows}
    assert "no image" in errors["bad"]
    assert "does not exist" in errors["missing"]
    assert errors["000"] is None
    assert rows_in(tmp_path / "out").keys() == {row["input"] for row in rows}


def test_classes_and_threshold(scenes, tmp_path):
    predict(scenes / "000.png", "--output", tmp_path, "--classes", "circle,2", "--save", "labels")
    class_map = expected_map(scenes / "000.png")
    labels = np.asarray(Image.open(tmp_path / "labels" / "000.png"))
    assert (labels == np.where(np.isin(class_map, (1, 2)), class_map, 255)).all()
    predict(scenes / "000.png", "--output", tmp_path, "--threshold", "1", "--save", "labels")
    assert (np.asarray(Image.open(tmp_path / "labels" / "000.png")) == 255).mean() > 0.9


def test_ctrl_c_ends_after_the_running_image_and_the_rest_follows(scenes, tmp_path):
    folder, output = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03d}.png").write_bytes((scenes / "000.png").read_bytes())
    process = subprocess.Popen(
        [*COMMAND, str(folder), "--output", str(output), *MODEL],
        env={**os.environ, **QUIET},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (output / "manifest.jsonl").is_file():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after the running images" in shown
    done = rows_in(output)
    assert 0 < len(done) < 200
    assert not list(output.rglob(".*"))  # nothing half-written
    assert all((output / one).is_file() for row in done.values() for one in row["outputs"].values())
    later = predict(folder, "--output", output)
    assert f"{200 - len(done)} segmented, {len(done)} done before" in later.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.jpg"], 1, "'nowhere.jpg' does not exist"),
        (["{scene}", "--save", "gif"], 2, "invalid choice: 'gif'"),
        (["{scene}", "--threshold", "2"], 2, "--threshold 2.0: expected a share from 0 to 1"),
        (["{scene}", "--classes", "cat"], 2, "the model has no such class; expected some of back"),
        (["{scene}", "--output", "{scene}/x"], 1, "nothing can be written to"),
        (["{scene}", "--dtype", "int8"], 2, "--dtype int8: expected"),
    ],
)
def test_mistakes_are_a_line_and_an_exit_code(
    scenes, tmp_path, capsys, monkeypatch, arguments, code, says
):
    monkeypatch.chdir(tmp_path)
    given = [one.format(scene=scenes / "000.png") for one in arguments]
    try:
        found = main(["predict", *given, *MODEL])
    except SystemExit as end:
        found = end.code
    assert found == code
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_video_becomes_a_video_and_label_maps(scenes, tmp_path):
    import cv2

    film = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 10, (80, 64))
    for number in range(4):
        writer.write(cv2.imread(str(scenes / "001.png")) + number)
    writer.release()
    predict(film, "--output", tmp_path / "out", "--frame-step", "2")
    (row,) = rows_in(tmp_path / "out").values()
    assert row["frames"] == 2
    labels = sorted(path.name for path in (tmp_path / "out" / "labels" / "film").rglob("*.png"))
    assert labels == ["000000.png", "000002.png"]
    capture = cv2.VideoCapture(str(tmp_path / "out" / "overlay" / "film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert capture.get(cv2.CAP_PROP_FPS) == 5


def test_chinese(scenes, tmp_path):
    for options, variables in (("--language=zh",), {}), ((), {"LANG": "zh_CN.UTF-8"}):
        done = predict(scenes / "000.png", "--output", tmp_path, *options, **variables)
        assert "张已分割" in done.stderr
    shown = subprocess.run(
        [*COMMAND, "--help"],
        env={**os.environ, **QUIET, "LANG": "zh_CN.UTF-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert "进入子文件夹" in shown


@pytest.mark.parametrize("name", ["modelscope", "ms"])
def test_the_same_below_modelscopes_command(scenes, tmp_path, name):
    command = [str(Path(sys.executable).with_name(name)), "vitadapter", "predict"]
    done = subprocess.run(
        [*command, str(scenes / "000.png"), "--output", str(tmp_path), *MODEL],
        env={**os.environ, **QUIET},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 segmented" in done.stderr
    assert (tmp_path / "overlay" / "000.jpg").is_file()


def test_the_readme_shows_what_its_command_makes(tmp_path):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    command = "vitadapter predict examples/scene.png --model tiny"
    assert f"\n{command}\n" in readme
    source = str(REPOSITORY / "examples" / "scene.png")
    assert main(["predict", source, *MODEL, "--output", str(tmp_path)]) == 0
    made, shown = (
        np.asarray(Image.open(path)).astype(int)
        for path in (tmp_path / "overlay" / "scene.jpg", REPOSITORY / "examples" / "overlay.jpg")
    )
    assert made.shape == shown.shape
    assert np.abs(made - shown).mean() < 1
