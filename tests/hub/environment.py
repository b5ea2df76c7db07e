"""Environments for subprocesses that must not see the user's home, caches or network."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

DEAD_ENDPOINT = "http://127.0.0.1:9"
"""An address at which nobody listens: the discard port."""


def isolated_environment(home, endpoint=DEAD_ENDPOINT, plugin_path=REPOSITORY, **extra):
    """Variables for a child whose home is `home` and whose hub is at `endpoint`.

    `plugin_path` goes on `PYTHONPATH`; None leaves that variable out, for an installed plugin.
    """
    home = Path(home)
    home.mkdir(parents=True, exist_ok=True)
    kept = "PATH SYSTEMROOT TEMP TMP LD_LIBRARY_PATH LANG COVERAGE_PROCESS_START"
    environment = {name: os.environ[name] for name in kept.split() if name in os.environ}
    environment.update(
        HOME=str(home),
        USERPROFILE=str(home),
        MODELSCOPE_CACHE=str(home / "modelscope-cache"),
        MODELSCOPE_HOME=str(home / "modelscope-home"),
        MODELSCOPE_ENDPOINT=endpoint,
        HF_HOME=str(home / "hf"),
        HF_HUB_OFFLINE="1",
        MPLCONFIGDIR=str(home / "mpl"),
        NO_PROXY="*",
        OMP_NUM_THREADS="2",
        PYTHONDONTWRITEBYTECODE="1",
    )
    if plugin_path is not None:
        environment["PYTHONPATH"] = str(plugin_path)
    environment.update(extra)
    return environment


def run_python(*arguments, environment, cwd, python=sys.executable, check=True):
    """Run a Python child; returns the completed process with text output."""
    process = subprocess.run(
        [str(python), *map(str, arguments)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if check and process.returncode != 0:
        raise AssertionError(f"{process.args} failed:\n{process.stdout}\n{process.stderr}")
    return process
