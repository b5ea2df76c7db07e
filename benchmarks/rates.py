"""The best rates at which this machine does the model's own work, kind by kind.

Each kind is tried on the shapes of the model that take most of its operations, in every way that
PyTorch offers publicly and in the private one that is known to be fast; the best of all counts.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.operations import ATTENTION, CONVOLUTION, LINEAR, Counts, Shape

BAND_ROWS = (784, 512)
"""Heights of bands that keep a product's operands in the cache: of linear layers, of attention."""

SHAPES_TRIED = 4
REPETITIONS = 4
ENOUGH_S = 4.0
"""A way is tried on a shape `REPETITIONS` times, or until this long has passed, at least twice."""

Ways = Iterator[tuple[str, Callable[[], object]]]


def best_rates(counts: Counts, dtype: torch.dtype) -> dict[str, dict[str, object]]:
    """Measures each kind.

    Args:
        counts: what `count_operations` gives.
        dtype: what is computed in.

    Returns:
        For each kind `rate` (operations per second), `way` and `shape` of the best, and `tried`,
        the best rate of each way.
    """
    measured = {}
    with torch.inference_mode():
        for kind, ways in WAYS.items():
            results = [
                (operations(shape) / _best_seconds(run), way, shape)
                for shape in _shapes(kind, counts)
                for way, run in ways(shape, dtype)
            ]
            rate, way, shape = max(results)
            tried: dict[str, float] = {}
            for one, name, _ in results:
                tried[name] = max(one, tried.get(name, 0.0))
            measured[kind] = {"rate": rate, "way": way, "shape": list(shape), "tried": tried}
    return measured


def operations(shape: Shape) -> int:
    """Operations of one piece of work; its kind is known by the length of its shape."""
    if len(shape) == 3:
        rows, inputs, outputs = shape
        return 2 * rows * inputs * outputs
    if len(shape) == 4:
        heads, queries, keys, width = shape
        return 4 * heads * queries * keys * width
    channels, height, width, out, kernel, stride, groups = shape
    return 2 * out * (height // stride) * (width // stride) * channels // groups * kernel**2


def _shapes(kind: str, counts: Counts) -> list[Shape]:
    """The shapes that take most operations, for linear layers also in bands of rows."""
    most = [shape for shape, _ in counts[kind].most_common()]
    if kind == CONVOLUTION:
        plain = [shape for shape in most if shape[5] > 0 and shape[6] == 1]
        return plain[:SHAPES_TRIED]
    if kind == ATTENTION:
        return most[:1]
    heaviest = most[:SHAPES_TRIED]
    rows = {shape[0] for shape in heaviest}
    rows |= {band for band in BAND_ROWS[:1] if band < max(rows)}
    weights = {shape[1:] for shape in heaviest}
    return sorted((count, *weight) for count in rows for weight in weights)


def _best_seconds(run: Callable[[], object]) -> float:
    best, started = float("inf"), time.perf_counter()
    for done in range(REPETITIONS):
        before = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - before)
        if done and time.perf_counter() - started > ENOUGH_S:
            break
    return best


def _linear_ways(shape: Shape, dtype: torch.dtype) -> Ways:
    rows, inputs, outputs = shape
    x, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    bias = torch.randn(outputs).to(dtype)
    yield "linear", lambda: F.linear(x, weight, bias)
    image = x.view(1, rows, 1, inputs).permute(0, 3, 1, 2)
    kernel = weight[:, :, None, None]
    yield "1 x 1 convolution", lambda: F.conv2d(image, kernel, bias)
    packed = _packed_linear(x, weight, bias)
    if packed is not None:
        yield "packed oneDNN linear", packed


def _packed_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Callable[[], object] | None:
    """PyTorch's private operator for linear layers with a packed weight, where it works."""
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, len(x))
        linear = torch.ops.mkldnn._linear_pointwise

        def run() -> Tensor:
            out: Tensor = linear(x, packed, bias, "none", [], "")
            return out

        run()
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return run


def _convolution_ways(shape: Shape, dtype: torch.dtype) -> Ways:
    channels, height, width, out, size, stride, _ = shape
    image = torch.randn(1, channels, height, width).to(dtype)
    kernel = torch.randn(out, channels, size, size).to(dtype)
    for name, layout in (
        ("contiguous", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        x, w = image.to(memory_format=layout), kernel.to(memory_format=layout)
        yield name, lambda x=x, w=w: F.conv2d(x, w, stride=stride, padding=size // 2)


def _attention_ways(shape: Shape, dtype: torch.dtype) -> Ways:
    heads, queries, keys, width = shape
    q = torch.randn(1, heads, queries, width).to(dtype)
    k, v = (torch.randn(1, heads, keys, width).to(dtype) for _ in range(2))
    bias = torch.randn(1, heads, queries, keys).to(dtype)
    yield "fused", lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    def banded() -> None:
        for head in range(heads):
            transposed = k[0, head].t()
            for start in range(0, queries, BAND_ROWS[1]):
                rows = slice(start, start + BAND_ROWS[1])
                logits = torch.addmm(bias[0, head, rows], q[0, head, rows], transposed)
                torch.mm(logits.softmax(dim=-1), v[0, head])

    yield "in bands", banded


WAYS: dict[str, Callable[[Shape, torch.dtype], Ways]] = {
    LINEAR: _linear_ways,
    CONVOLUTION: _convolution_ways,
    ATTENTION: _attention_ways,
}


def floor_seconds(counts: Counts, rates: dict[str, dict[str, object]]) -> dict[str, float]:
    """Seconds that each kind of one window would take at its best rate."""
    return {kind: sum(counts[kind].values()) / float(str(rates[kind]["rate"])) for kind in counts}
