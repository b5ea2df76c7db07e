"""What a pickle can ask for: nothing of it is ever called."""

import concurrent.futures
import fractions
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from modelscope_vitadapter.checkpoint.formats import open_checkpoint
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.errors import CheckpointError

CANARY = Path("canary")


class TouchesFile:
    """When unpickled, makes a file in the current directory."""

    def __reduce__(self):
        return Path.touch, (CANARY,)


class RunsShell:
    def __reduce__(self):
        import os

        return os.system, ("touch canary",)


class Evaluates:
    def __reduce__(self):
        return eval, ("open('canary', 'w')",)


class OwnClass:
    def __init__(self):
        self.value = 1

    def __setstate__(self, state):
        CANARY.touch()


CANARIES = [
    (TouchesFile, "Path"),
    (RunsShell, "system"),
    (Evaluates, "eval"),
    (OwnClass, "OwnClass"),
    (lambda: fractions.Fraction(1, 2), "Fraction"),
]
PLACES = {
    "top": lambda state, canary: canary,
    "in the state dict": lambda state, canary: {"state_dict": {**state, "x": canary}},
    "in a bare state dict": lambda state, canary: {**state, "x": canary},
    "in meta": lambda state, canary: {"state_dict": state, "meta": {"hook": [canary]}},
    "in optimizer": lambda state, canary: {
        "state_dict": state,
        "optimizer": {"state": {0: canary}},
    },
    "as a name": lambda state, canary: {"state_dict": state, "meta": {(1, canary): 0}},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("canary", "name"), CANARIES)
def test_code_is_refused_by_name_and_never_runs(
    tmp_path, monkeypatch, state, make_network, canary, name, place, zipped
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.pt"
    content = PLACES[place](state, canary())
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=name) as caught:
        load_into(make_network(), path)
    assert str(path) in str(caught.value)
    assert "nothing ran" in str(caught.value)
    assert not CANARY.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(("canary", "name"), CANARIES)
def test_plain_pickles_of_any_protocol(tmp_path, monkeypatch, canary, name, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"state_dict": canary()}, protocol=protocol))
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(path)
    assert not CANARY.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_zips_of_any_protocol(tmp_path, monkeypatch, state, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.pt"
    torch.save({**state, "x": RunsShell()}, path, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match="system"):
        open_checkpoint(path)
    assert not CANARY.exists()


def numbers():
    return {
        "mAP": np.float64(0.5),
        "loss": np.float32(1.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
        "half": np.float16(2),
        "byte": np.uint8(9),
        "dtype": np.dtype("float32"),
    }


def with_numpy_module(path, module):
    """Rewrite a zip checkpoint as the other numpy generation would have pickled it."""
    result = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl"):
                assert b"cnumpy._core.multiarray\n" in content or b"cnumpy.core.multi" in content
                for other in (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"):
                    content = content.replace(other, b"c" + module + b".multiarray\n")
            new.writestr(name, content)
    path.write_bytes(result.getvalue())


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_numpy_numbers_in_meta_load(tmp_path, state, make_network, check_loaded, module):
    path = tmp_path / "pytorch_model.pt"
    torch.save({"state_dict": state, "meta": numbers()}, path)
    with_numpy_module(path, module)
    network = make_network()
    report = load_into(network, path)
    assert report.ignored == ("meta",)
    check_loaded(network, state)


def test_numpy_numbers_in_an_old_file_load(tmp_path, state, make_network, check_loaded):
    path = tmp_path / "pytorch_model.pt"
    torch.save({"state_dict": state, "meta": numbers()}, path, _use_new_zipfile_serialization=False)
    network = make_network()
    load_into(network, path)
    check_loaded(network, state)


def test_numpy_arrays_are_not_in_the_allow_list(tmp_path, state):
    path = tmp_path / "pytorch_model.pt"
    torch.save({"state_dict": state, "meta": np.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="_reconstruct"):
        open_checkpoint(path)


def test_threads_do_not_disturb_each_other(tmp_path, state, make_network):
    path = tmp_path / "pytorch_model.pt"
    torch.save({"state_dict": state, "meta": numbers()}, path)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: load_into(make_network(), path), range(40)))
    assert {report.used for report in reports} == {len(state)}
