"""Every layout by the commands, without an option that says how it is to be read."""

import json

import pytest

from modelscope_vitadapter.command.main import main
from tests.datasets.layouts.miniatures import MINIATURES
from tests.plugin.train_runs import tiny_model

VAL = ("val", "validation", "Val", "valid", "val2017")


@pytest.mark.slow
@pytest.mark.parametrize("name", MINIATURES)
def test_it_trains_two_steps_and_evaluates(tmp_path, name, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_LOG_LEVEL", "30")
    miniature, output = MINIATURES[name], tmp_path / "run"
    data = tmp_path / "data"
    miniature.make(data)
    part = next((one for one in miniature.parts if one in VAL), None)
    options = ["--iters", "2", "--batch-size", "1", "--workers", "0", "--device", "cpu"]
    options += ["--evaluate-every", "2"]
    if part is None:
        options.append("--no-evaluation")
    if miniature.classes is None:  # a layout that tells no names
        names = [str(one) for one in range(171 if name == "coco-stuff" else 2)]
        (tmp_path / "names.txt").write_text("\n".join(names))
        options += ["--classes", str(tmp_path / "names.txt")]
    assert main(["train", str(tiny_model()), str(data), "--output", str(output), *options]) == 0
    split = ["--split", "val" if part else miniature.parts[0]] if miniature.parts else []
    arguments = [str(output / "output"), str(data), *split, "--device", "cpu", "--no-progress"]
    assert main(["evaluate", *arguments, "--output", str(tmp_path / "found")]) == 0
    found = json.loads((tmp_path / "found" / "evaluation.json").read_text(encoding="utf-8"))
    pixels = {one["id"]: one["pixels"] for one in found["classes"]}
    counted = {k: 2 * int((miniature.truth == k).sum()) for k in (0, 1)}
    assert {k: count for k, count in pixels.items() if count} == counted
