"""Pictures per second on a GPU, against the built-in model's way on the same card.

    python benchmarks/gpu.py [--json FILE] [--no-compile] [--size small] [--device cpu]

Measured is the network: windows on the device to class and mask logits on the device. A 427 x 640
photo makes two windows of the full-size model (and of the small one), so that a picture is two
windows. Every way runs on the same seeded random weights, which are the ones of `compare.py`.

The built-in model itself does not run on today's GPUs. Its way is this package's network with the
functions of `builtin_way.py` swapped in; in PyTorch's default memory layout, without a compiler.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # The folder of a script comes first in the import path; its parent holds the packages.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.builtin_way import builtin_way
from benchmarks.machine import describe_machine
from benchmarks.model_files import model_config
from benchmarks.random_weights import random_weight
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.network.build import build_network

WINDOWS_PER_PICTURE = 2
BATCHES = (1, 8)
REPEATS = 10
WARM_UP = 3

Logits = tuple[Tensor, Tensor]
Predict = Callable[[Tensor], Logits]


@dataclass(frozen=True)
class Way:
    """How the network is run.

    `autocast` is a type's name or None; `tf32` lets float32 products round to TF32; `compiled` is
    `torch.compile` in one graph; `builtin` swaps the built-in model's functions in.
    """

    name: str
    autocast: str | None = None
    tf32: bool = False
    compiled: bool = False
    builtin: bool = False


BUILTIN = Way("built-in way, float32", builtin=True)
WAYS = (
    BUILTIN,
    Way("built-in way, TF32", tf32=True, builtin=True),
    Way("float32"),
    Way("TF32", tf32=True),
    Way("bfloat16", autocast="bfloat16"),
    Way("float16", autocast="float16"),
    Way("float32, compiled", compiled=True),
    Way("TF32, compiled", tf32=True, compiled=True),
    Way("bfloat16, compiled", autocast="bfloat16", compiled=True),
    Way("float16, compiled", autocast="float16", compiled=True),
)


class PlainModules(nn.Module):
    """The network without the path of its own that it takes on a processor."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decode_head = network.backbone, network.decode_head

    def forward(self, windows: Tensor) -> Logits:
        """Logits of windows `(B, 3, H, W)`, H and W multiples of 32."""
        class_logits, mask_logits = self.decode_head(self.backbone(windows))
        return class_logits, mask_logits


def make_network(size: str, device: torch.device) -> tuple[PlainModules, tuple[int, int]]:
    """A network with seeded random weights on a device, and its window in pixels."""
    config = model_config(size)
    with torch.device("meta"):
        network = build_network(parse_model(config))
    network = network.to_empty(device=device).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(random_weight(name, tuple(tensor.shape)))
            else:
                tensor.zero_()
    height, width = config["model"]["test_cfg"]["crop_size"]
    return PlainModules(network), (height, width)


def random_windows(count: int, crop: tuple[int, int], device: torch.device) -> Tensor:
    """Smooth random windows with some noise, `(count, 3, *crop)`, about as normalised photos."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 14, 14, generator=generator)
    smooth = F.interpolate(coarse, crop, mode="bicubic", align_corners=False)
    return (smooth + 0.2 * torch.randn(smooth.shape, generator=generator)).to(device)


class Bench:
    """Runs ways of one network on one device."""

    def __init__(self, size: str, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats
        self.network, self.crop = make_network(size, device)
        self.reference: list[Tensor] | None = None

    def measure(self, way: Way, batches: Sequence[int]) -> dict[str, Any]:
        """Pictures per second by batch, peak memory, and the logits' largest error."""
        layout = torch.contiguous_format if way.builtin else torch.channels_last
        self.network.to(memory_format=layout)
        torch.compiler.reset()
        _allow_tf32(way.tf32)
        result: dict[str, Any] = {**asdict(way), "batches": {}}
        with torch.inference_mode(), builtin_way() if way.builtin else nullcontext():
            predict: Predict = self.network
            if way.compiled:
                predict = torch.compile(self.network, fullgraph=True, dynamic=False)
            result["error"] = self._error(predict, way)
            for batch in batches:
                result["batches"][batch] = self._speed(predict, way, batch)
        return result

    def _autocast(self, way: Way) -> Any:
        if way.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, way.autocast))

    def _error(self, predict: Predict, way: Way) -> dict[str, float]:
        """Largest difference to the reference of class and of mask logits, over the largest one."""
        with self._autocast(way):
            logits = predict(random_windows(1, self.crop, self.device))
        found = [value.float().cpu() for value in logits]
        if self.reference is None:
            self.reference = found
        return {
            kind: float((one - other).abs().max() / other.abs().max())
            for kind, one, other in zip(("class", "mask"), found, self.reference, strict=True)
        }

    def _speed(self, predict: Predict, way: Way, batch: int) -> dict[str, Any]:
        """Whole pictures in one autocast, as a pipeline runs them: weights are cast once each."""
        windows = random_windows(batch, self.crop, self.device)
        calls = max(1, WINDOWS_PER_PICTURE // batch)
        pictures = calls * batch / WINDOWS_PER_PICTURE
        seconds: list[float] = []
        try:
            for turn in range(WARM_UP + self.repeats):
                if turn == 1:
                    self._reset_peak()
                started = self._now()
                with self._autocast(way):
                    for _ in range(calls):
                        predict(windows)
                seconds.append(self._now() - started)
        except torch.OutOfMemoryError:
            return {"out_of_memory": True}
        median = statistics.median(seconds[WARM_UP:])
        return {
            "pictures_per_s": pictures / median,
            "picture_s": median / pictures,
            "slowest_s": max(seconds[WARM_UP:]) / pictures,
            "first_call_s": seconds[0],
            "peak_bytes": self._peak(),
        }

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def report(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table; ratios are to the built-in way in float32."""
    batches = list(results[0]["batches"])
    head = ["way", *(f"pictures/s at batch {b} (ratio, peak)" for b in batches), "error class/mask"]
    lines = [head, ["---"] * len(head)]
    for result in results:
        cells = []
        for batch in batches:
            speed, base = result["batches"][batch], results[0]["batches"][batch]
            if "pictures_per_s" not in speed:
                cells.append("out of memory")
                continue
            notes = []
            if "pictures_per_s" in base:
                notes.append(f"{speed['pictures_per_s'] / base['pictures_per_s']:.2f} x")
            if speed["peak_bytes"] is not None:
                notes.append(f"{speed['peak_bytes'] / 1e9:.1f} GB")
            cells.append(f"{speed['pictures_per_s']:.3g} ({', '.join(notes)})")
        error = "{class:.1e} / {mask:.1e}".format(**result["error"])
        lines.append([result["name"], *cells, error])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every way and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--repeats", type=int, default=REPEATS, help="measured after warming up")
    parser.add_argument(
        "--ways", nargs="+", metavar="TEXT", help="only names that hold one of them"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave compiled ways out")
    parser.add_argument(
        "--cpu-reference", action="store_true", help="errors are to a CPU's float32"
    )
    parser.add_argument("--json", type=Path, help="where the results are written, too")
    options = parser.parse_args(arguments)

    device = torch.device(options.device)
    bench = Bench(options.size, device, options.repeats)
    if options.cpu_reference:
        bench.reference = cpu_reference(options.size)
    on_gpu = device.type == "cuda"
    machine = describe_machine() | {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }
    print(json.dumps(machine, indent=1))
    results = []
    for way in WAYS:
        chosen = options.ways is None or any(text in way.name for text in options.ways)
        chosen = chosen and not (way.compiled and options.no_compile)
        if chosen or way is BUILTIN:  # what the others are compared with
            results.append(bench.measure(way, options.batches))
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(report(results))
    if options.json is not None:
        answer = {"machine": machine, "size": options.size, "results": results}
        options.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")


def cpu_reference(size: str) -> list[Tensor]:
    """Logits of the first window by the plain modules on the processor."""
    network, crop = make_network(size, torch.device("cpu"))
    with torch.inference_mode():
        return list(network(random_windows(1, crop, torch.device("cpu"))))


if __name__ == "__main__":
    main()
