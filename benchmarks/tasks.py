"""A worker for what belongs to neither side: making models, counting, rates, reading.

In a process of its own, so that the memory it takes is given back before anything is measured.
"""

from pathlib import Path
from typing import Any

from benchmarks.worker import serve


def model(*, size: str, cache: str) -> dict[str, Any]:
    """Makes a model directory where it isn't there yet."""
    from benchmarks.model_files import checkpoint_entries, ensure_model, weight_bytes

    folder = ensure_model(size, Path(cache))
    return {"directory": str(folder), "weight_bytes": weight_bytes(checkpoint_entries(size))}


def picture(*, path: str, size: list[int] | None, source: str | None = None) -> dict[str, Any]:
    """Writes a picture."""
    from benchmarks.photo import write_photo

    wanted = None if size is None else (size[0], size[1])
    return {"what": write_photo(Path(path), wanted, None if source is None else Path(source))}


def read(*, checkpoint: str) -> dict[str, Any]:
    """Reads the used bytes of a checkpoint."""
    from benchmarks.reading import time_reading

    return time_reading(Path(checkpoint))


def roofline(
    *, size: str, windows: list[list[int]], dtypes: list[str], threads: int
) -> dict[str, Any]:
    """Counts the operations of a picture's windows and measures the best rates of each type."""
    import torch

    from benchmarks.model_files import model_config
    from benchmarks.operations import count_operations
    from benchmarks.rates import best_rates, floor_seconds

    torch.set_num_threads(threads)
    config = model_config(size)
    counts = [count_operations(config, (height, width)) for height, width in windows]
    totals = {kind: sum(sum(one[kind].values()) for one in counts) for kind in counts[0]}
    answer: dict[str, Any] = {"operations": totals}
    for dtype in dtypes:
        rates = best_rates(counts[0], getattr(torch, dtype))
        floors = [floor_seconds(one, rates) for one in counts]
        answer[dtype] = {
            "rates": rates,
            "floor_s": {kind: sum(floor[kind] for floor in floors) for kind in totals},
        }
    return answer


def versions() -> dict[str, Any]:
    """What PyTorch says of itself and of the processor."""
    import torch

    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return {
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": None if supported is None else bool(supported()),
    }


if __name__ == "__main__":
    serve({one.__name__: one for one in (model, picture, read, roofline, versions)})
