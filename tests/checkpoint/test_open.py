"""Opening checkpoints of every format: what is read is what was saved."""

import collections
import io
import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from modelscope_vitadapter.checkpoint.open import open_checkpoint
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from tests.support.canary import nothing_runs
from tests.support.small_checkpoints import FORMATS, bytes_of
from tests.support.torch_bytes import MARK, call, dumped, pickled, repacked, tensor, text
from tests.support.torch_bytes import with_instructions as replaced


def assert_reads(path, expected):
    """The tensors of a checkpoint, in order, each in memory of its own."""
    with nothing_runs(), open_checkpoint(path) as file:
        assert list(file.tensors) == list(expected)
        for name, tensor in expected.items():
            found = file.read(name)
            assert torch.equal(found, tensor), name
            assert found.dtype == tensor.dtype
            assert found.is_contiguous()
            assert found.untyped_storage().nbytes() == found.numel() * found.element_size()


META = {
    "numpy": [np.float64(3), np.arange(3), np.bool_(True), np.dtype("float32"), np.float32],
    "PALETTE": np.zeros((150, 3), np.uint8),
    "CLASSES": ("wall", "天空"),
    "config": "model = dict(type='EncoderDecoderMask2Former')\n# 配置\n" * 2000,
    "plain": [2**62 + 1, 10**400, b"abc", bytearray(b"abc"), {1, 2}, frozenset("ab"), 1j],
    "counter": collections.Counter("hello"),
    "tuple keys": {(1, (2, 3)): 4, None: 5, 1.5: 6},
    "torch": [torch.Size([1, 2]), torch.device("cuda:1"), torch.sparse_coo, torch.get_rng_state()],
    "twice": [betas := (0.9, 0.999), betas, nested := (1, (2, 3)), nested],
}
"""What training leaves beside the weights, and other plain values."""

NEW = {"sparse": torch.eye(2).to_sparse(), "unsigned": torch.arange(5).to(torch.uint16)}
"""What the old format doesn't know."""


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("generation", [b"numpy.core", b"numpy._core"])
def test_whatever_training_leaves_beside_the_weights(written, state, generation, zipped):
    """Names of modules as numpy 1 and numpy 2 write them."""
    meta = META | NEW if zipped else META
    content = {"state_dict": collections.OrderedDict(state), "meta": meta, "optimizer": {0: state}}
    saved = dumped(content, zipped=zipped)

    def change(name, data):
        for other in (b"cnumpy._core.", b"cnumpy.core."):
            data = data.replace(other, b"c" + generation + b".")
        return data

    assert generation in change("", saved) or zipped
    assert_reads(written(repacked(saved, change) if zipped else change("", saved)), state)


def test_states_with_attributes_and_parameters_read(written, state):
    module = torch.nn.Linear(2, 2)
    module.weight.note = "kept by PyTorch"
    held = module.state_dict(keep_vars=True)  # an OrderedDict with an attribute `_metadata`
    assert_reads(written(held), {name: tensor.detach() for name, tensor in held.items()})


def test_attributes_in_place_of_methods_are_not_called(written):
    attributes = b"}(" + b"".join(text(name) + b"N" for name in ("items", "keys", "get")) + b"u"
    entries = b"(" + text("a") + tensor([4], [1]) + b"u"
    state = call("collections", "OrderedDict") + entries + attributes + b"b"
    assert_reads(written(pickled(state)), {"a": torch.zeros(4)})
    nested = replaced({"b": torch.zeros(4), "state_dict": MARK}, state)
    assert_reads(written(nested), {"a": torch.zeros(4)})


def test_half_a_surrogate_pair_is_no_name(written):
    half = b"X\x03\0\0\0\xed\xa0\x80"
    with open_checkpoint(written(replaced({MARK: torch.ones(1)}, half))) as file:
        assert "".join(file.tensors).encode()  # a message that names it can be written


def test_a_safetensors_file_whose_length_begins_like_a_pickle(written):
    length, header = 0x280, b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    content = length.to_bytes(8, "little") + header.ljust(length) + bytes(4)
    assert_reads(written(content), {"a": torch.zeros(1)})


def test_a_type_that_is_not_known_fails_only_when_it_is_read(written):
    path = written(save({"a": torch.ones(2), "odd": torch.ones(2, dtype=torch.complex64)}))
    with open_checkpoint(path) as file:
        assert torch.equal(file.read("a"), torch.ones(2))
        with pytest.raises(CheckpointError, match=r"'odd' .* is of type C64"):
            file.read("odd")


def test_zips_that_were_packed_again_read(written, state):
    """Their records are elsewhere than PyTorch would reckon, and of other order."""
    saved = dumped(state)
    names = zipfile.ZipFile(io.BytesIO(saved)).namelist()
    turned = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as old, zipfile.ZipFile(turned, "w") as new:
        for name in reversed(names):
            new.writestr(name, old.read(name))
        new.comment = b"x" * 3000
    without = repacked(saved, lambda name, data: None if name.endswith("byteorder") else data)
    code = [("archive/code/__torch__.py", b"import os"), ("../../canary", b"x")]
    for content in (repacked(saved), turned.getvalue(), without, repacked(saved, more=code)):
        assert_reads(written(content), state)


def test_memory_is_not_the_file(written, state):
    path = written(state)
    with open_checkpoint(path) as file:
        tensor = file.read("backbone.linear.weight")
    path.write_bytes(b"")
    assert torch.equal(tensor, state["backbone.linear.weight"])


@pytest.mark.parametrize("kind", FORMATS)
def test_every_file_that_is_cut_short_is_refused(written, state, kind):
    content = bytes_of(state, kind)
    for size in range(0, len(content), 41):
        with pytest.raises(CheckpointError, match="weights"):
            open_checkpoint(written(content[:size]))


def test_paths_that_lead_to_no_file_are_refused_without_waiting_for_a_writer(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="does not exist"):
        open_checkpoint(tmp_path / "pytorch_model.pt")
    with pytest.raises(CheckpointError, match="is a directory, a pipe or a device"):
        open_checkpoint(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "device").symlink_to("/dev/zero")
        (tmp_path / "circle").symlink_to("circle")
        for name, words in (("pipe", "a pipe"), ("device", "a device"), ("circle", "opened: ")):
            with pytest.raises(CheckpointError, match=words):
                open_checkpoint(tmp_path / name)


def test_a_file_that_may_not_be_read(written, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    path = written({"a": torch.ones(1)})
    # Permissions don't bind root, which tests in containers run as.
    monkeypatch.setattr("modelscope_vitadapter.checkpoint.stored.FileIO", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be opened.*Permission denied"):
        open_checkpoint(path)
