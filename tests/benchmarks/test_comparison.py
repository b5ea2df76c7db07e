import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import comparison
from benchmarks.builtin_env import environment_python
from benchmarks.comparison import _groups, parse
from benchmarks.model_files import default_cache
from benchmarks.report import summarise, tables
from benchmarks.workers import ROOT

PICTURE = {
    "wall_s": 2.0,
    "user_s": 3.0,
    "system_s": 0.1,
    "page_faults": 10,
    "peak_bytes": 3e9,
    "classes": 4,
}


def side(seconds):
    pictures = [{**PICTURE, "wall_s": one} for one in seconds]
    load = {"wall_s": 1.0, "peak_bytes": 2.5e9}
    versions = {"python": "3.11.0", "torch": "2.13.0"}
    return {"import": load, "load": load, "first": PICTURE, "pictures": pictures, **versions}


def results():
    machine = dict.fromkeys(
        ("date", "processor", "instructions", "cores", "system", "python", "torch", "package"), "x"
    )
    machine |= {"memory_bytes": None, "load_average": None, "commit": None}
    kinds = {
        kind: {"largest": 1e-6, "relative_l2": 2e-6, "scale": 1.0} for kind in ("class", "mask")
    }
    flips = {"flipped": 3, "mask_entries": 1600}
    rate = {"rate": 1e11, "way": "fused"}
    return {
        "machine": machine,
        "settings": {
            "size": "small",
            "threads": 2,
            "pictures": 3,
            "alternation": "all together",
            "picture": "a photo",
            "dtypes": ["float32"],
        },
        "model": {"weight_bytes": 2e9, "checkpoint_bytes": 4e9},
        "sides": {"ours float32": side([4.0, 2.0, 3.0]), "builtin": side([18.0, 17.0, 21.0])},
        "agreement": {"ours float32": {"builtin": {**kinds, "equal_pixels": 0.9975, **flips}}},
        "roofline": {
            "operations": {"linear": 2e11},
            "float32": {"rates": {"linear": rate}, "floor_s": {"linear": 1.5}},
        },
        "profile": {"ours float32": {**PICTURE, "stages": {"resize": 0.5}, "rest": 1.5}},
    }


def test_summary():
    summary = summarise(results())
    ours = summary["ours float32"]
    assert (ours["picture_s"], ours["fastest_s"], ours["slowest_s"]) == (3.0, 2.0, 4.0)
    assert ours["speed_ratio"] == 6.0
    assert ours["roofline_share"] == 0.5
    assert ours["peak_beyond_weights_bytes"] == 1e9
    assert ours["start_to_first_result_s"] == 4.0
    assert "speed_ratio" not in summary["builtin"]


def test_tables_show_the_figures():
    measured = results()
    measured["summary"] = summarise(measured)
    lines = tables(measured).splitlines()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
        if len(cells) > 3
    }
    assert rows["figure"] == ["built-in", "ours float32"]
    assert rows["**time per picture, median, s**"] == ["18.00", "3.00"]
    assert rows["**share of the roofline**"] == ["", "50.0%"]
    assert rows["pixels equal to the built-in model"] == ["", "99.7500%"]
    assert rows["the rest"] == ["1.50"]


def test_without_an_environment_the_error_says_how_to_make_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(["--builtin-env", str(tmp_path)])
    error = capsys.readouterr().err
    assert "benchmarks/builtin_env.py" in error
    assert str(tmp_path) in error
    assert parse(["--builtin-env", str(tmp_path), "--only", "ours"]).only == "ours"


def test_types_share_an_alternation_where_memory_allows_it(tmp_path, monkeypatch):
    options = parse(["--builtin-env", str(Path(sys.prefix))])
    run = comparison.Run(options, {"settings": {}}, tmp_path)
    dtypes = ["float32", "bfloat16"]
    monkeypatch.setattr(comparison, "available_memory", lambda: 21e9)
    assert _groups(run, dtypes) == [dtypes]
    monkeypatch.setattr(comparison, "available_memory", lambda: 19e9)
    assert _groups(run, dtypes) == [["float32"], ["bfloat16"]]
    assert _groups(run, []) == [[]]


@pytest.mark.slow
def test_small_comparison(tmp_path):
    """The whole comparison where the built-in model's environment is, this package's half else."""
    there = environment_python(default_cache() / "builtin-env").exists()
    environment = str(default_cache() / "builtin-env")
    which = ["--builtin-env", environment] if there else ["--only", "ours"]
    target = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "benchmarks/compare.py"), "--size", "small", *which]
    command += [
        "--threads",
        "1",
        "--pictures",
        "1",
        "--cache",
        str(tmp_path),
        "--profile",
        "--json",
        str(target),
    ]
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
