"""Strategies of checkpoints: valid ones, and ones that are wrong in a part of their format."""

import io
import tarfile
from dataclasses import replace

from tests.fuzz import pickle_ops, pickle_values, safetensors_bytes, zip_bytes
from tests.fuzz.bytes_mutation import mutate
from tests.fuzz.choices import composed
from tests.fuzz.moved_tensors import moved
from tests.fuzz.small_weights import (
    STATE,
    WRAPPERS,
    old,
    tensors_only,
    valid_state,
    wrapped,
    zipped,
)

NAMES = ("pytorch_model.pt", "pytorch_model.bin", "model.safetensors")
_META = {"state_dict": STATE, "meta": {"epoch": 3, "names": ["a", "b"], "lr": 1e-4}}
ZIPPED, OLD, TENSORS = zipped(_META), old(_META), tensors_only(STATE)
BARE_ZIPPED, BARE_OLD = zipped(dict(STATE)), old(dict(STATE))
RECORDS = zip_bytes.records_of(ZIPPED)
_PICKLE = next(record for record in RECORDS if record.name.endswith(b"/data.pkl"))
_REST = [record for record in RECORDS if record is not _PICKLE]
_OTHER_FILES = (
    *(b"", b"\n", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", b"{}", b"\x80"),
    *(b"<!DOCTYPE html><html>", b"  <?xml version='1.0'?>", b"plain text", b"\x80\2.", b"\x80\2N."),
    *(b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"PK\5\6" + b"\0" * 18, b"\x1f\x8b\x08", b"Rar!"),
    b"\xff" * 600,
    *(b"\x80\4\x95", b"\0" * 600, b"\x80" * 600, b"\0\0\0\0\0\0\0\0{", b"\x80\0\0\0\0\0\0\0{}"),
    b"x" * 600,
)  # fmt: skip


def _tar():
    """What torch wrote before 0.2, under a first name that begins as a pickle does."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as archive:
        for name in ("\x80", "storages", "tensors", "pickle", "../canary"):
            content = b"\x80\2K\1."
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


OTHER_FILES = (*_OTHER_FILES, _tar())


def _valid(choices):
    state = valid_state(choices)
    kind = choices.below(3)
    if kind == 2:
        data = tensors_only(state)
    else:
        data = (zipped, old)[kind](wrapped(state, choices.pick(WRAPPERS)))
    files = {choices.pick(NAMES): data}
    if choices.chance(10):
        files["model.safetensors"] = tensors_only(STATE)
        files["pytorch_model.pt"] = BARE_ZIPPED
    return files


def _pickled(choices, data):
    """A pickle with changed opcodes."""
    pieces, rest = pickle_ops.split(data)
    pickle_ops.change(choices, pieces, pickle_values.value)
    return b"".join(pieces) + rest


def _old_pickles(choices):
    """A file in the old format, of whose pickles one is changed; most often that of the weights."""
    data = choices.pick((OLD, BARE_OLD))
    number = choices.pick((3, 3, 3, 4, 0, 1, 2))
    before = b""
    for _ in range(number):
        _, rest = pickle_ops.split(data)
        before += data[: len(data) - len(rest)]
        data = rest
    return before + _pickled(choices, data)


def _whole_pickle(choices):
    """A pickle that is written from nothing: a dict of hostile values and one good tensor."""
    count = choices.between(1, 3)
    names = [pickle_ops.text(choices.pick(pickle_ops.TEXTS)) for _ in range(count)]
    pairs = [name + pickle_values.value(choices) for name in names]
    good = pickle_ops.tensor(pickle_ops.storage("0", 4), 0, [2], [1])
    made = choices.pick((pickle_ops.NEW_DICT, pickle_ops.call(pickle_values.ORDERED)))
    inner = pickle_ops.filled(made, pickle_ops.text("gamma") + good, *pairs)
    if choices.chance(50):
        inner = pickle_ops.filled(
            pickle_ops.NEW_DICT, pickle_ops.text("state_dict") + inner, choices.pick((b"", *pairs))
        )
    return b"\x80\2" + inner + b"."


def _pickle(choices):
    kind = choices.below(4)
    if kind == 3:
        return {"pytorch_model.pt": moved(choices)}
    if kind == 2:
        return {"pytorch_model.pt": _old_pickles(choices)}
    data = _whole_pickle(choices) if kind == 1 else _pickled(choices, _PICKLE.data)
    return {"pytorch_model.pt": zip_bytes.pack([replace(_PICKLE, data=data), *_REST])}


def _zip(choices):
    return {"pytorch_model.pt": zip_bytes.changed(choices, RECORDS)}


def _safetensors(choices):
    return {"model.safetensors": safetensors_bytes.changed(choices, TENSORS)}


def _bytes(choices):
    kind = choices.below(8)
    if kind == 7:
        return {choices.pick(NAMES): choices.pick(OTHER_FILES)}
    if kind == 6:
        return choices.pick(({}, {"pytorch_model.pt/": b""}, {"model.safetensors/data.pkl": b""}))
    seeds = (ZIPPED, OLD, TENSORS, BARE_ZIPPED, BARE_OLD)
    data = choices.pick(seeds)
    if kind == 5:
        data += choices.pick((*seeds, *OTHER_FILES))
    pieces = (*pickle_values.FIXED[:8], b"PK\1\2", b"PK\3\4", b"PK\5\6", b"data.pkl", b"\x80\2")
    return {choices.pick(NAMES): mutate(choices, data, pieces)}


valid_files = composed(_valid)
pickle_files = composed(_pickle)
zip_files = composed(_zip)
safetensors_files = composed(_safetensors)
changed_files = composed(_bytes)
