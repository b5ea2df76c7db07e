"""Builds an environment in which ModelScope's built-in ViT-Adapter model runs on a CPU.

    python benchmarks/builtin_env.py DIR [--python python3.11]

About 3 minutes and 3 GB. Everything comes from the package index that pip is set up for; no
compiler is needed. What can't be had for today's PyTorch is stood in for by `stand_ins/`: mmcv's
compiled operators, which the built-in model does not use on a CPU, and the few names that are
asked of torchvision and timm. Nothing that runs in a measured picture is replaced, except timm's
`DropPath`, which does nothing in inference.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

STAND_INS = Path(__file__).parent / "stand_ins"

STEPS = (
    (("torch==2.13.0",), ()),
    (
        (
            *("setuptools<70", "wheel", "packaging", "numpy<2", "scipy", "pandas<3", "pyarrow<20"),
            *("opencv-python-headless==4.10.0.84", "Pillow", "matplotlib", "pycocotools"),
            *("addict", "attrs", "einops", "filelock", "python-dateutil", "PyYAML>=5.4"),
            *("requests", "simplejson", "six", "sortedcontainers", "terminaltables", "tqdm"),
            *("yapf", "dill", "multiprocess<0.70.20", "xxhash", "fsspec", "aiohttp", "httpx"),
            *("huggingface-hub", "modelscope-hub"),
        ),
        (),
    ),
    (("modelscope==1.40.2", "datasets==4.8.4"), ("--no-deps",)),
    (("mmcv==1.7.2", "mmdet==2.28.2"), ("--no-deps", "--no-build-isolation")),
)
"""Packages and pip options, in order: mmcv's set-up needs torch and an old setuptools before it."""

CHECK = """
import warnings
warnings.simplefilter("ignore")
import mmcv.ops, mmdet.models
import modelscope.models.cv.image_semantic_segmentation.vit_adapter
"""


def environment_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    inner = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
    return folder / inner


def find_python(given: str | None) -> list[str]:
    """A command that runs Python 3.11, which the built-in model's packages still have wheels for.

    Raises:
        SystemExit: there is none, with what to do.
    """
    candidates = [[given]] if given else [["python3.11"], ["py", "-3.11"], [sys.executable]]
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        question = "import sys; print(sys.version_info[:2] == (3, 11))"
        answer = subprocess.run([*command, "-c", question], capture_output=True, text=True)
        if answer.stdout.strip() == "True":
            return command
    raise SystemExit(
        f"no Python 3.11 found (tried {', '.join(' '.join(one) for one in candidates)}): install "
        "one and give it with --python PATH"
    )


def build(folder: Path, python: list[str]) -> None:
    """Makes the environment in a folder that is not there yet.

    Raises:
        SystemExit: a step failed; pip has said why.
    """
    if folder.exists():
        raise SystemExit(f"{folder} is there already: remove it first or give another folder")
    _run([*python, "-m", "venv", str(folder)])
    own = str(environment_python(folder))
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    plain_mmcv = {**os.environ, "MMCV_WITH_OPS": "0"}
    for packages, options in STEPS:
        print("installing", *packages, flush=True)
        _run([*pip, *options, *packages], env=plain_mmcv)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([own, "-c", where], capture_output=True, text=True, check=True)
    shutil.copytree(
        STAND_INS,
        answer.stdout.strip(),
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    _run([own, "-c", CHECK])
    print(f"ready: python benchmarks/compare.py --builtin-env {folder}")


def _run(command: list[str], *, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env)
    if done.returncode:
        raise SystemExit(
            f"this step ended with exit status {done.returncode}, its message is above: "
            f"{' '.join(command[:6])} ..."
        )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the environment is made")
    parser.add_argument("--python", help="a Python 3.11; searched for by default")
    options = parser.parse_args(arguments)
    build(options.folder.resolve(), find_python(options.python))


if __name__ == "__main__":
    main()
