"""What is drawn, how it is loaded, and what is known of the result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from hypothesis.strategies import SearchStrategy

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.locate import CHECKPOINT_NAMES, find_checkpoint
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.network.build import build_network
from tests.fuzz import checkpoint_bytes, model_config
from tests.fuzz.moved_tensors import from_between
from tests.fuzz.oracle import DefectError
from tests.fuzz.small_weights import STATE, small_network


def _nothing(directory, outcome):
    """Nothing more is known."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: as it is reported.
        files: strategy of a model directory's files, content by name.
        load: loads a directory.
        check: takes the directory and the result or the error of loading it.
        names: files that a refusal may name though they are not there.
        good: files of a directory that loads after every input; none: that is not tried.
        examples: how many the short run tries.
    """

    name: str
    files: SearchStrategy
    load: Callable[[Path], object]
    check: Callable[[Path, object], None] = _nothing
    names: tuple[str, ...] = ("mmcv_config.py",)
    good: Mapping[str, bytes] = field(default_factory=dict)
    examples: int = 350


def _build(directory):
    settings = load_model_config(directory).settings
    with torch.device("meta"):
        return build_network(settings, adapter_form=AdapterForm.BUILTIN)


def _load_weights(directory):
    network = small_network()
    load_into(network, find_checkpoint(directory))
    return network


def _whole(directory, outcome):
    """What was loaded is a whole network, in memory, of the types that it had."""
    if isinstance(outcome, Exception):
        return
    for name, tensor in outcome.state_dict().items():
        if (tensor.shape, tensor.dtype) != (STATE[name].shape, STATE[name].dtype):
            raise DefectError("another shape or type than the network's", name)
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            raise DefectError("not in memory as the network needs it", name)
        if from_between(tensor):
            raise DefectError("values from outside the data of the checkpoint", name)


def _exact(directory, outcome):
    """A valid checkpoint loads, and every value is what was saved."""
    if isinstance(outcome, Exception):
        raise DefectError("refused, and it is valid", str(outcome))
    _whole(directory, outcome)
    for name, tensor in outcome.state_dict().items():
        counter = name == "norm.num_batches_tracked" and not tensor.any()
        if not torch.equal(tensor, STATE[name]) and not counter:
            raise DefectError("another value than was saved", name)


_WEIGHTS = {
    "load": _load_weights,
    "check": _whole,
    "names": CHECKPOINT_NAMES,
    "good": {"pytorch_model.pt": checkpoint_bytes.BARE_ZIPPED},
}
KINDS = {
    kind.name: kind
    for kind in (
        Kind("settings", model_config.settings_files, _build),
        Kind(
            *("checkpoint, valid", checkpoint_bytes.valid_files, _load_weights, _exact),
            names=CHECKPOINT_NAMES,
        ),
        Kind("checkpoint, pickle", checkpoint_bytes.pickle_files, **_WEIGHTS),
        Kind("checkpoint, zip", checkpoint_bytes.zip_files, **_WEIGHTS),
        Kind("checkpoint, safetensors", checkpoint_bytes.safetensors_files, **_WEIGHTS),
        Kind("checkpoint, bytes", checkpoint_bytes.changed_files, **_WEIGHTS),
    )
}
"""All kinds by name, in the order in which they are tried."""
