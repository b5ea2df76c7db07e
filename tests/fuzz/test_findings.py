"""What the fuzzer found, each as small as it was shrunk to."""

import json

import pytest

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.errors import CheckpointError
from tests.fuzz.safetensors_bytes import join


@pytest.mark.parametrize(
    "header",
    [
        {"\ud800": {}},
        {"\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}},
        {"a": {"dtype": "\udfff", "shape": [0], "data_offsets": [0, 0]}},
    ],
    ids=["name in an error", "name in the log", "type"],
)
def test_half_a_surrogate_pair_is_no_name(tmp_path, header):
    path = tmp_path / "model.safetensors"
    path.write_bytes(join(json.dumps(header).encode(), b""))
    with pytest.raises(CheckpointError, match="no valid JSON") as refused:
        open_checkpoint(path)
    assert str(refused.value).encode()
