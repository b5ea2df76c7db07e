import json
import subprocess
import sys

import pytest

from benchmarks.builtin_env import environment_python
from benchmarks.comparison import parse
from benchmarks.model_files import default_cache
from benchmarks.report import summarise
from benchmarks.workers import ROOT

TIMES = {"wall_s": 2.0, "user_s": 3.0, "system_s": 0.1}
PICTURE = {**TIMES, "page_faults": 10, "peak_bytes": 3e9, "classes": 4}


def side(seconds):
    pictures = [{**PICTURE, "wall_s": one} for one in seconds]
    load = {"wall_s": 1.0, "peak_bytes": 2.5e9}
    return {"import": load, "load": load, "first": PICTURE, "pictures": pictures}


def test_summary():
    summary = summarise(
        {
            "model": {"weight_bytes": 2e9, "checkpoint_bytes": 4e9},
            "sides": {"ours float32": side([4.0, 2.0, 3.0]), "builtin": side([18.0, 17.0, 21.0])},
            "roofline": {"float32": {"floor_s": {"linear": 1.5}}},
        }
    )
    ours = summary["ours float32"]
    assert (ours["picture_s"], ours["fastest_s"], ours["slowest_s"]) == (3.0, 2.0, 4.0)
    assert ours["speed_ratio"] == 6.0
    assert ours["roofline_share"] == 0.5
    assert ours["peak_beyond_weights_bytes"] == 1e9
    assert ours["start_to_first_result_s"] == 4.0
    assert "speed_ratio" not in summary["builtin"]


def test_without_an_environment_the_error_says_how_to_make_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(["--builtin-env", str(tmp_path)])
    error = capsys.readouterr().err
    assert "benchmarks/builtin_env.py" in error
    assert str(tmp_path) in error
    assert parse(["--builtin-env", str(tmp_path), "--only", "ours"]).only == "ours"


@pytest.mark.slow
def test_small_comparison(tmp_path):
    """The whole comparison where the built-in model's environment is, this package's half else."""
    there = environment_python(default_cache() / "builtin-env").exists()
    environment = str(default_cache() / "builtin-env")
    which = ["--builtin-env", environment] if there else ["--only", "ours"]
    target = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "benchmarks/compare.py"), "--size", "small", *which]
    command += ["--threads", "1", "--pictures", "1", "--profile"]
    command += ["--cache", str(tmp_path), "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = json.loads(target.read_text(encoding="utf-8"))
    for name in ("ours float32", "ours bfloat16"):
        figures = measured["summary"][name]
        assert figures["roofline_share"] > 0
        assert figures["peak_bytes"] > measured["model"]["weight_bytes"]
        assert name in done.stdout
    assert measured["agreement"]["ours bfloat16"]["ours float32"]["equal_pixels"] > 0.9
    assert measured["profile"]["ours float32"]["stages"]
    if there:
        answer = measured["agreement"]["ours float32"]["builtin"]
        assert max(answer[kind]["largest"] for kind in ("class", "mask")) < 1e-4
