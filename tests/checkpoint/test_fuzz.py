"""Generated checkpoints load or are refused, run nothing, and take little memory.

`HYPOTHESIS_PROFILE=search` tries other and many more ones than the same few of every run.
"""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.errors import CheckpointError
from tests.support.canary import nothing_runs
from tests.support.peak import peak, reset_peak
from tests.support.small_checkpoints import (
    FORMATS,
    assert_loaded,
    bytes_of,
    make_network,
    make_state,
)
from tests.support.torch_bytes import MARK, call, named, number, tensor, text, with_instructions

STATE = make_state()
FILES = {kind: bytes_of(STATE, kind) for kind in FORMATS}
MEMORY = 400 * 2**20
SIZES = (0, 1, 2, 3, 4, 12, 255, 65536, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63, -1, -(2**63))
TEXTS = ("", "0", "1", "99", "../0", "cpu", "cuda:0", "state_dict", "model", "decode_head.weight")
TEXTS += ("backbone.gamma", "module.backbone.gamma", "latin1", "hex", "items", "keys", "get", "天")
FUNCTIONS = """
tests.support.canary.bait tests.support.canary.Bait posix.system builtins.eval
__builtin__.getattr builtins.bytearray builtins.set builtins.complex _codecs.encode numpy.load
collections.OrderedDict collections.Counter numpy.dtype numpy.ndarray torch.Size torch.Tensor
numpy._core.multiarray.scalar numpy.core.multiarray._reconstruct torch.device torch.FloatTensor
torch.FloatStorage torch.QUInt4x2Storage torch.cuda.HalfStorage torch.storage.UntypedStorage
torch.float16 torch.qint8 torch.nn.parameter.Parameter torch._utils._rebuild_tensor
torch._utils._rebuild_tensor_v2 torch._utils._rebuild_parameter torch._utils._rebuild_qtensor
torch._utils._rebuild_parameter_with_state torch._tensor._rebuild_from_type_v2
"""
NAMES = [name.rpartition(".")[::2] for name in FUNCTIONS.split()]
PLAIN = (b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"G" + bytes(8), b"U\x02\xff\xfe")


@st.composite
def sizes(draw):
    return draw(st.lists(st.sampled_from(SIZES[:9]) | st.sampled_from(SIZES), max_size=4))


@st.composite
def values(draw):
    """Instructions that push a value: plain, a tensor with odd sizes, a call of any function."""
    return draw(
        st.recursive(
            st.sampled_from(PLAIN)
            | st.sampled_from(TEXTS).map(text)
            | st.sampled_from(SIZES).map(number)
            | st.sampled_from(NAMES).map(lambda name: named(*name))
            | st.builds(
                tensor,
                sizes(),
                sizes(),
                first=st.sampled_from(SIZES),
                count=st.sampled_from(SIZES),
                key=st.sampled_from(TEXTS[:5]),
                kind=st.sampled_from(["FloatStorage", "LongStorage", "HalfStorage", "NoStorage"]),
            ),
            lambda inner: (
                st.builds(
                    lambda name, arguments: call(*name, *arguments),
                    st.sampled_from(NAMES),
                    st.lists(inner, max_size=4),
                )
                | st.lists(inner, max_size=4).map(lambda parts: b"(" + b"".join(parts) + b"t")
                | st.tuples(inner, inner).map(lambda pair: b"}" + pair[0] + pair[1] + b"s")
                | st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1] + b"b")
                | st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1] + b"\x81")
            ),
            max_leaves=6,
        )
    )


@st.composite
def mutated(draw, saved):
    """A file some of whose bytes were changed, most often where something is described."""
    data = bytearray(saved)
    marks = [place for word in (b"PK", b"data", b"torch", b'":') for place in _places(saved, word)]
    for _ in range(draw(st.integers(1, 4))):
        near = draw(st.sampled_from(marks)) + draw(st.integers(0, 45)) if marks else 0
        at = min(draw(st.sampled_from([near, draw(st.integers(0, len(data)))])), len(data))
        new = draw(
            st.binary(min_size=1, max_size=4)
            | st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"PK\x01\x02", b"PK\x05\x06"])
        )
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del data[at : at + draw(st.integers(1, 200))]
        elif kind == 1:
            data[at:at] = new
        else:
            data[at : at + len(new)] = new
    return bytes(data)


def _places(data, word):
    place = data.find(word)
    while place >= 0:
        yield place
        place = data.find(word, place + 1)


@pytest.fixture(scope="module")
def attempt(tmp_path_factory):
    """Load bytes into the network; gives it, or None where they were refused."""
    path = tmp_path_factory.mktemp("fuzz") / "weights"
    before = reset_peak()

    def load(content):
        path.write_bytes(content)
        network = make_network()
        with nothing_runs(), warnings.catch_warnings():
            warnings.simplefilter("error")  # of PyTorch's unpickler, say
            try:
                load_into(network, path)
            except CheckpointError as error:
                assert str(path) in str(error)
                assert str(error).encode()
                return None
        return network

    yield load
    if before is not None:
        assert peak() - before < MEMORY


@given(values(), st.booleans())
def test_what_lies_beside_the_weights_changes_none(attempt, value, zipped):
    content = {"state_dict": STATE, "meta": [MARK]}
    network = attempt(with_instructions(content, value, zipped=zipped))
    if network is not None:
        assert_loaded(network, STATE)


@given(values())
def test_any_value_in_place_of_a_weight(attempt, value):
    network = attempt(with_instructions(STATE | {"backbone.gamma": MARK}, value))
    if network is not None:
        assert_loaded(network, STATE | {"backbone.gamma": network.backbone.gamma})


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_files_with_other_bytes_read_as_their_own_library_reads_them(
    attempt, tmp_path_factory, kind, data
):
    content = data.draw(mutated(FILES[kind]))
    network = attempt(content)
    if network is None or kind == "safetensors":
        return
    path = tmp_path_factory.mktemp("compared") / "weights"
    path.write_bytes(content)
    try:
        expected = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return  # PyTorch also checks sums of the data
    for name, found in network.state_dict().items():
        if name in expected:
            same = expected[name].to(found.dtype)
            torch.testing.assert_close(found, same, rtol=0, atol=0, equal_nan=True)
