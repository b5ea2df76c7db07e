"""Checkpoints of every form that is read, and harmless ones that look hostile."""

import collections
import io
import zipfile

import numpy as np
import torch
from safetensors.torch import save

from tests.hostile.entries import Entry, tiny_state
from tests.hostile.pickles import (
    MARK,
    call,
    described,
    dumped,
    named,
    number,
    repacked,
    text,
    with_instructions,
    written,
)
from tests.hostile.states import WEIGHT, as_safetensors, cast, prefixed, replaced


def _flat(state):
    """All tensors of one type as views of one storage."""
    views = dict(state)
    names = [name for name, tensor in state.items() if tensor.dtype == torch.float32]
    flat = torch.cat([state[name].reshape(-1) for name in names])
    first = 0
    for name in names:
        size = state[name].numel()
        views[name] = flat[first : first + size].view(state[name].shape)
        first += size
    return views


def _with_attribute(tensor):
    parameter = torch.nn.Parameter(tensor)
    parameter.note = "kept by _rebuild_parameter_with_state"
    return parameter


LEFT_OVERS = {
    "backbone.blocks.0.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.int64),
    "auxiliary_head.conv_seg.weight": torch.full((2, 2, 1, 1), float("nan")),
    "decode_head.conv_seg.bias": torch.zeros(3, dtype=torch.complex64),
    "ema_backbone_cls_token": torch.eye(3).to_sparse(),
    "decode_head.loss_cls.class_weight": torch.ones(6),
}

NUMPY = {
    "mAP": np.float64(0.5),
    "epoch": np.int64(3),
    "dtype": np.dtype("float32"),
    "flag": np.bool_(True),
}

PLAIN = {
    "bytes": b"abc",
    "array": bytearray(b"abc"),
    "set": {1, 2},
    "frozen": frozenset("ab"),
    "complex": 1j,
    "tuple keys": {(1, (2, 3)): 4},
    "long": 10**400,
    "deep": [[[[{"a": (None, True, -1.5)}]]]],
    "counter": collections.Counter("hello"),
    "size": torch.Size([1, 2]),
    "device": torch.device("cpu"),
    "type": torch.bfloat16,
}


def _loading_contents():
    state = tiny_state()
    return {
        "bare": state,
        "under state_dict": {"state_dict": state},
        "under model": {"epoch": 1, "model": state},
        "under module": {"module": state},
        "an ordered dictionary": collections.OrderedDict(state),
        **{f"prefix {p}": prefixed(p) for p in ("module.", "model.", "_orig_mod.")},
        "several prefixes": prefixed("module.model._orig_mod.module."),
        "parameters": {n: torch.nn.Parameter(t, t.is_floating_point()) for n, t in state.items()},
        "parameters with attributes": replaced(_with_attribute),
        "a transposed weight": replaced(lambda t: t.t().contiguous().t()),
        "a weight between others": replaced(lambda t: torch.stack([t, t + 1, t + 2], 1)[:, 0]),
        "views of one storage": _flat(state),
        "shared tensors": state | {"backbone.norm2.bias": state["backbone.norm2.bias"].clone()},
        "a view of a large storage": replaced(lambda t: torch.cat([t, torch.ones(4096, 16)])[:32]),
        "training left-overs": {
            "state_dict": state | LEFT_OVERS,
            "optimizer": {"state": {0: {"exp_avg": torch.full((3,), float("nan"))}}},
            "meta": NUMPY | {"CLASSES": ("a", "b"), "hooks": [None]},
        },
        "numpy's numbers": {"state_dict": state, "meta": NUMPY},
        "plain values of every kind": {"state_dict": state, "meta": PLAIN},
        "names that are no text": {"state_dict": state, 3: 4, None: 5, (1, 2): 6, 1.5: 7},
        "double precision": cast(torch.float64),
    }


def _loads():
    for name, content in _loading_contents().items():
        for kind in ("zip", "old"):
            make = written(lambda d, content=content, z=kind == "zip": dumped(content, zipped=z))
            yield Entry(f"{kind}: {name}", make)
    for dtype in (torch.bfloat16, torch.float16):
        for kind in ("zip", "old"):
            make = written(lambda d, t=dtype, z=kind == "zip": dumped(cast(t), zipped=z))
            yield Entry(f"{kind}: {dtype}", make, same=False)
    for protocol in (2, 3, 4, 5):
        make = written(lambda d, p=protocol: dumped(tiny_state(), pickle_protocol=p))
        yield Entry(f"pickle protocol {protocol}", make)
    state = tiny_state()
    more = state | {"neck.weight": torch.ones(2), "neck.bias": torch.tensor(float("nan"))}
    yield Entry(
        "unexpected entries",
        written(lambda d: dumped(more)),
        warns="holds 2 entries that the network has no place for.*neck.weight",
    )
    yield from _not_finite()
    yield from _harmless_instructions()
    yield from _harmless_zips()
    for name, content in {
        "safetensors": save(state),
        "safetensors with metadata": save(state, {"format": "pt", "note": "x" * 10**6}),
        "safetensors in bfloat16": save(cast(torch.bfloat16)),
        "safetensors with a prefix": save(prefixed("model.")),
    }.items():
        yield Entry(name, as_safetensors(content), same="bfloat16" not in name)


def _with_value(value, name=WEIGHT):
    def change(tensor):
        changed = tensor.clone()
        changed.view(-1)[3] = value
        return changed

    return replaced(change, name)


def _not_finite():
    nan, infinity = float("nan"), float("inf")
    statistics = "backbone.norm2.running_var"
    for kind, dump in (
        ("zip", dumped),
        ("old", lambda content: dumped(content, zipped=False)),
    ):
        for name, content, words in (
            ("NaN", _with_value(nan), rf"NaN or infinity in 1 entries.*{WEIGHT}"),
            ("infinity", _with_value(-infinity), rf"in 1 entries.*{WEIGHT}"),
            ("NaN in statistics", _with_value(nan, statistics), rf"in 1 entries.*{statistics}"),
            (
                "NaN everywhere",
                {n: t * nan if t.is_floating_point() else t for n, t in tiny_state().items()},
                r"NaN or infinity in \d+ entries.*and \d+ more",
            ),
        ):
            make = written(lambda d, dump=dump, content=content: dump(content))
            yield Entry(f"{kind}: {name}", make, warns=words, same=False)
    yield Entry(
        "safetensors: NaN",
        as_safetensors(save(_with_value(nan))),
        warns=rf"in 1 entries.*{WEIGHT}",
        same=False,
    )
    wide = {n: t.double() if t.is_floating_point() else t for n, t in _with_value(0.0).items()}
    wide[WEIGHT].view(-1)[3] = 1e300
    make = written(lambda d: dumped(wide))
    yield Entry("a number that float32 has not", make, warns="in 1 entries", same=False)
    make = written(lambda d: dumped(replaced(lambda t: torch.full_like(t, 3e38))))
    yield Entry("finite numbers whose sum is not", make, same=False)


def _harmless_instructions():
    towers = b")q\x000" + b"h\x00h\x00\x86q\x000" * 60  # (), then 60 times (t, t)
    doubling = text("x" * 100) + b"q\x01" + b"0" + call("_codecs", "encode", b"h\x01", text("hex"))
    doubling += b"q\x01" + (b"0" + call("_codecs", "encode", b"h\x01", text("hex")) + b"q\x01") * 40
    harmless = {
        "a hash that takes for ever": towers + b"}h\x00Ns",
        "a hundred gigabytes": call("builtins", "bytearray", number(10**11)),
        "bytes that double forty times": doubling,
        "a long list in itself": b"]" + b"]a" * 1000,
        "lists inside lists": b"]" * 200_000 + b"a" * 199_999,
        "a list that holds itself": b"]q\xf0h\xf0a",
        "a tensor of stride 0": described([10**6, 10**6], [0, 0]),
        "a tensor beyond its record": described([10**12], [1], count=10**12),
        "a tensor of another record": described([4], [1], first=10**15),
        "a storage of a terabyte": described([1], [1], count=10**12, key="gone"),
        "a tensor of 200 dimensions": call("torch", "Size", b"(" + number(2) * 200 + b"t"),
        "a memo far out": text("x") + b"r\xff\xff\xff\xff",
        "a quantized tensor": call("torch._utils", "_rebuild_qtensor", text("x")),
        "a tensor on another device": call(
            "torch._utils",
            "_rebuild_meta_tensor_no_storage",
            named("torch", "float32"),
            b"(" + number(10**12) + b"t",
            b"(" + number(1) + b"t",
            b"\x89",
        ),
    }
    for name, instructions in harmless.items():
        content = {"state_dict": tiny_state(), "meta": [MARK]}
        make = written(lambda d, c=content, i=instructions: with_instructions(c, i))
        yield Entry(f"unused: {name}", make, heavy="for ever" in name or "forty" in name)


def _harmless_zips():
    saved = dumped({"state_dict": tiny_state()})
    code = ("archive/code/__torch__.py", b"import canary_module"), ("../../canary", b"x")
    zips = {
        "packed again": repacked(saved),
        "without byte order": repacked(saved, lambda n, d: None if n.endswith("byteorder") else d),
        "with code beside": repacked(saved, more=code),
        "with a comment": _commented(saved),
        "with a record of a megabyte": repacked(saved, more=[("note", bytes(2**20))]),
    }
    for name, content in zips.items():
        yield Entry(f"zip: {name}", written(lambda d, content=content: content))


def _commented(content):
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"open('canary', 'w')" * 3000
    return buffer.getvalue()


ENTRIES = list(_loads())
