"""Checkpoints of the small network in which tensors lie elsewhere than their data does.

The bytes between the records are all the same odd one, so that what was read from there is seen.
"""

import struct

import torch

from tests.fuzz import pickle_ops
from tests.fuzz.small_weights import STATE
from tests.fuzz.zip_bytes import Record, pack

BETWEEN = b"{"
_PADDING = 400
_TYPES = {torch.float32: "FloatStorage", torch.int64: "LongStorage"}
_OTHER_TYPES = ("FloatStorage", "HalfStorage", "LongStorage", "BFloat16Storage", "ByteStorage")
_NEAR = (0, 0, 1, -1, 2, -2, 3, 64, 4000, 2**31, 2**61, 2**62)


def moved(choices):
    """The bytes of a checkpoint, some of whose tensors have other places, strides or types."""
    names = list(STATE)
    chosen = {choices.below(len(names)) for _ in range(choices.between(1, 3))}
    pairs = []
    for index, name in enumerate(names):
        described = _described(index, STATE[name])
        if index in chosen:
            described = _moved(choices, described)
        pairs.append(pickle_ops.text(name) + _opcodes(*described))
    data = b"\x80\2" + pickle_ops.filled(pickle_ops.NEW_DICT, *pairs) + b"."
    padding = b"FB" + struct.pack("<H", _PADDING) + BETWEEN * _PADDING
    records = [Record(b"archive/data.pkl", data, extra=padding)]
    for index, name in enumerate(names):
        content = STATE[name].numpy().tobytes()
        records.append(Record(f"archive/data/{index}".encode(), content, extra=padding))
    return pack(records, comment=BETWEEN * _PADDING)


def _described(index, tensor):
    shape, count = list(tensor.shape), tensor.numel()
    return str(index), _TYPES[tensor.dtype], count, 0, shape, list(tensor.stride())


def _moved(choices, described):
    key, kind, count, offset, shape, stride = described
    change = choices.below(6)
    if change == 0:
        offset = max(0, choices.pick((offset, count)) + choices.pick(_NEAR))
    elif change == 1 and stride:
        stride[choices.below(len(stride))] = max(0, choices.pick((1, count)) + choices.pick(_NEAR))
    elif change == 2:
        count = max(0, count + choices.pick(_NEAR))
    elif change == 3:
        key = str(choices.below(len(STATE)))
    elif change == 4:
        kind = choices.pick(_OTHER_TYPES)
    else:
        count, offset = max(0, count + choices.pick(_NEAR)), abs(choices.pick(_NEAR))
    return key, kind, count, offset, shape, stride


def _opcodes(key, kind, count, offset, shape, stride):
    return pickle_ops.tensor(pickle_ops.storage(key, count, kind), offset, shape, stride)


def from_between(tensor):
    """Whether a tensor holds what lies between the records, in any type that it was read as."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        odd = torch.frombuffer(bytearray(BETWEEN * 8), dtype=dtype)[:1].to(tensor.dtype)
        if bool((tensor == odd).any()):
            return True
    return False
