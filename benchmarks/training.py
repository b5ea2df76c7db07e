"""How much memory and time a step of fine-tuning the full-size model takes.

    python benchmarks/training.py                 # on a GPU where there is one
    python benchmarks/training.py --freeze beit --steps 2 --device cpu
    python benchmarks/training.py --crop 512 --dtype bfloat16 --checkpoint-activations

Each way of freezing is measured in a process of its own: seeded random weights, drawn pictures of
896 pixels and a label map of 21 classes, one picture in a step, the paper's recipe otherwise. The
first step is not timed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.model_files import default_cache, ensure_model  # noqa: E402

FREEZING = ("nothing", "beit", "backbone")
CLASSES = tuple(f"class {number}" for number in range(21))
SIDE = 896


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Trains for some steps in this process."""
    import numpy as np
    import torch
    from modelscope.trainers import build_trainer
    from modelscope.trainers.hooks import Hook
    from PIL import Image

    from benchmarks.worker import memory_and_faults

    times: list[float] = []

    class Clock(Hook):
        def before_train_iter(self, trainer: Any) -> None:
            times.append(-time.perf_counter())

        def after_train_iter(self, trainer: Any) -> None:
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
            times[-1] += time.perf_counter()

    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(4):
        coarse = rng.integers(0, 256, (28, 28, 3), np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))
        label = np.kron(rng.integers(0, len(CLASSES), (14, 14)), np.ones((64, 64), int))
        pairs.append((image, label.astype(np.uint8)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            "vitadapter-segmentation-trainer",
            default_args={
                "model": str(ensure_model("full", options.cache)),
                "train_dataset": pairs,
                "classes": CLASSES,
                "work_dir": folder,
                "freeze": options.freeze,
                "crop": options.crop,
                "device": options.device,
                "recipe": {
                    "max_iters": options.steps + 1,
                    "batch_size": 1,
                    "dtype": options.dtype,
                    "checkpoint_activations": options.checkpoint_activations,
                },
                "run": {"workers": 0, "tensorboard": False, "checkpoint_interval": 10**6},
                "callbacks": [Clock()],
            },
        )
        for hook in trainer.hooks:
            hook.save_last = False
        trainer.train()
        on_gpu = trainer.device.type == "cuda"
        return {
            "freeze": options.freeze,
            "crop": options.crop,
            "dtype": options.dtype,
            "checkpoint activations": options.checkpoint_activations,
            "device": str(trainer.device),
            "seconds a step": sorted(times[1:])[len(times[1:]) // 2],
            "first step": times[0],
            "peak GB": memory_and_faults()[0] / 1e9,
            "peak GB of the GPU": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
        }


def main() -> None:
    """Measures every way of freezing that is asked for, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--freeze", choices=FREEZING, help="default: each of them")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--crop", type=int, default=SIDE, help="pixels of a window's side")
    parser.add_argument("--checkpoint-activations", action=argparse.BooleanOptionalAction)
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print("RESULT " + json.dumps(measure(options)))
        return
    results = []
    for freeze in (options.freeze,) if options.freeze else FREEZING:
        command = [sys.executable, __file__, "--inside", f"--freeze={freeze}"]
        names = ("steps", "dtype", "crop", "device", "cache")
        command += [f"--{name}={getattr(options, name)}" for name in names]
        if options.checkpoint_activations is not None:
            prefix = "--" if options.checkpoint_activations else "--no-"
            command.append(f"{prefix}checkpoint-activations")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), None)
        if line is None:
            raise SystemExit(f"--freeze {freeze} failed:\n{done.stderr[-3000:]}")
        results.append(json.loads(line.removeprefix("RESULT ")))
        print(results[-1], flush=True)
    print("| freeze | s a step | peak memory, GB | of the GPU, GB |\n|---|---|---|---|")
    for row in results:
        gpu = row["peak GB of the GPU"]
        shown = "" if gpu is None else f"{gpu:.1f}"
        seconds, peak = row["seconds a step"], row["peak GB"]
        print(f"| {row['freeze']} | {seconds:.1f} | {peak:.1f} | {shown} |")


if __name__ == "__main__":
    main()
