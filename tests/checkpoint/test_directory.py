import json
import logging
import shutil
from functools import partial

import pytest
import torch

from modelscope_vitadapter.checkpoint import directory
from modelscope_vitadapter.checkpoint.directory import (
    model_files,
    save_model_directory,
    save_model_files,
)
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.locate import CHECKPOINT_NAMES, find_checkpoint
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError

MODEL_FILES = {
    "README.md": "card",
    "mmcv_config.py": "_base_ = ['bases/model.py']",
    "bases/model.py": "model = dict()",
    "bases/deep/palette.py": "PALETTE = []",
    "data/picture.jpg": "jpg",
}
OTHER_FILES = {
    "configuration.json": "{}",
    "pytorch_model.pt": "old weights",
    "pytorch_model.bin": "old weights",
    "model.safetensors": "old weights",
    "model.safetensors.index.json": "{}",
    "epoch_1.pth": "weights",
    "old/pytorch_model.bin": "weights",
    ".mdl": "hub's own",
    ".git/config": "git",
    "bases/__pycache__/model.pyc": "pyc",
}


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def tree(folder):
    return {str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "source", {**MODEL_FILES, **OTHER_FILES})


def other(state):
    return {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }


def loads(folder, make_network):
    network = make_network()
    load_into(network, find_checkpoint(folder))
    return network


def test_the_files_of_a_model(source):
    found = [path.as_posix() for path in model_files(source)]
    assert sorted(found) == sorted(MODEL_FILES)


def test_links_are_followed_to_files_only(tmp_path):
    real = fill(tmp_path / "real", {"mmcv_config.py": "x", "bases/model.py": "y"})
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "mmcv_config.py").symlink_to(real / "mmcv_config.py")
    (linked / "bases").symlink_to(real / "bases")
    (linked / "gone.py").symlink_to(real / "gone.py")
    assert [path.as_posix() for path in model_files(linked)] == ["mmcv_config.py"]
    save_model_directory({"a": torch.zeros(1)}, linked, tmp_path / "target")
    copy = tmp_path / "target" / "mmcv_config.py"
    assert copy.read_text(encoding="utf-8") == "x"
    assert not copy.is_symlink()


def test_links_to_files_elsewhere_are_not_copied(tmp_path, caplog):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    source = fill(tmp_path / "source", {"mmcv_config.py": "x", "text.md": "y"})
    (source / "pictures").mkdir()
    (source / "pictures" / "near.md").symlink_to("../text.md")
    (source / "README.md").symlink_to(secret)
    (source / "pictures" / "far.png").symlink_to("../../secret.txt")
    assert [path.as_posix() for path in model_files(source)] == [
        "mmcv_config.py",
        "text.md",
        "pictures/near.md",
    ]
    assert caplog.text.count("a link to a file outside") == 2
    save_model_directory({"a": torch.zeros(1)}, source, tmp_path / "target")
    assert "secret" not in {path.read_text() for path in (tmp_path / "target").rglob("*.*d")}
    assert not (tmp_path / "target" / "README.md").exists()


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_a_new_directory(source, tmp_path, state, make_network, check_loaded, name):
    target = tmp_path / "新 target" / "deep"
    wrapped = {f"model.{key}": tensor for key, tensor in state.items()}
    save_model_directory(wrapped, source, target, checkpoint_name=name)
    assert tree(target) == {*MODEL_FILES, name}
    assert (target / "bases/model.py").read_text(encoding="utf-8") == "model = dict()"
    check_loaded(loads(target, make_network), state)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


def test_safetensors_is_the_default(tmp_path, state):
    save_model_directory(state, None, tmp_path / "target")
    assert tree(tmp_path / "target") == {"model.safetensors"}


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_saving_over_the_source(source, state, make_network, check_loaded, name, caplog):
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        save_model_directory(state, source, source, checkpoint_name=name)
    check_loaded(loads(source, make_network), state)
    rank = CHECKPOINT_NAMES.index(name)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES} - set(CHECKPOINT_NAMES[:rank])
    for removed in CHECKPOINT_NAMES[:rank]:
        assert f"{source / removed} was removed" in caplog.text


def test_saving_again_replaces(source, tmp_path, state, make_network, check_loaded):
    target = tmp_path / "target"
    save_model_directory(state, source, target)
    newer = other(state)
    save_model_directory(newer, source, target)
    check_loaded(loads(target, make_network), newer)
    assert tree(target) == {*MODEL_FILES, "model.safetensors"}


def test_other_files_of_the_target_stay(source, tmp_path, state):
    target = fill(tmp_path / "target", {"notes.txt": "mine", "README.md": "older"})
    save_model_directory(state, source, target)
    assert (target / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (target / "README.md").read_text(encoding="utf-8") == "card"


def test_a_target_inside_the_source(source, state):
    target = source / "output"
    save_model_directory(state, source, target)
    save_model_directory(state, source, target)
    assert tree(target) == {*MODEL_FILES, "model.safetensors"}


def test_a_name_that_would_not_be_found(tmp_path, state):
    with pytest.raises(CheckpointError, match=r"'weights\.pt'.*pytorch_model\.pt"):
        save_model_directory(state, None, tmp_path / "target", checkpoint_name="weights.pt")
    assert not (tmp_path / "target").exists()


def test_a_source_that_is_missing(tmp_path, state):
    for save in (partial(save_model_directory, state), save_model_files):
        with pytest.raises(CheckpointError, match="is not a directory"):
            save(tmp_path / "nowhere", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_target_that_is_a_file(tmp_path, state):
    (tmp_path / "target").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model_directory(state, None, tmp_path / "target")


def fail(*_args, **_kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("where", "what"), [(shutil, "copyfile"), (directory, "save_state_dict")])
def test_a_full_disk_changes_nothing(source, tmp_path, state, monkeypatch, where, what):
    target = fill(tmp_path / "target", {"mmcv_config.py": "old", "pytorch_model.pt": "old"})
    monkeypatch.setattr(where, what, fail)
    with pytest.raises(CheckpointError, match="No space left"):
        save_model_directory(state, source, target)
    assert tree(target) == {"mmcv_config.py", "pytorch_model.pt"}
    assert {p.read_text(encoding="utf-8") for p in target.iterdir()} == {"old"}


class Killed(BaseException):
    """Stands for the end of the process."""


def configuration(name, **layout):
    def write(folder):
        path = folder / "configuration.json"
        path.write_text(json.dumps({"name": name}, **layout), encoding="utf-8")

    return write


def test_the_configuration_is_written_with_the_model(source, tmp_path, state):
    target = tmp_path / "target"
    for name in ("one", "two"):
        save_model_directory(state, source, target, write_configuration=configuration(name))
        assert tree(target) == {*MODEL_FILES, "model.safetensors", "configuration.json"}
        assert json.loads((target / "configuration.json").read_bytes()) == {"name": name}


def test_a_configuration_that_says_the_same_stays_as_it_is(source, tmp_path, state):
    target = tmp_path / "target"
    for layout in ({"indent": 4}, {}):
        write = configuration("one", **layout)
        save_model_directory(state, source, target, write_configuration=write)
        assert b"    " in (target / "configuration.json").read_bytes()


def test_a_configuration_that_cannot_be_written_changes_nothing(source, tmp_path, state):
    target = tmp_path / "target"
    for save in (partial(save_model_directory, state), save_model_files):
        with pytest.raises(CheckpointError, match="No space left"):
            save(source, target, write_configuration=fail)
        assert tree(target) == set()


def test_all_but_the_weights(source, tmp_path):
    target = fill(tmp_path / "target", {"README.md": "older", "pytorch_model.bin": "mine"})
    save_model_files(source, target, write_configuration=configuration("one"))
    assert tree(target) == {*MODEL_FILES, "pytorch_model.bin", "configuration.json"}
    assert (target / "README.md").read_text(encoding="utf-8") == "card"
    assert (target / "pytorch_model.bin").read_text(encoding="utf-8") == "mine"
    save_model_files(source, source)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


@pytest.mark.parametrize("differing", [None, "mmcv_config.py", "configuration.json"])
def test_at_no_moment_are_weights_beside_files_of_another_model(
    source, tmp_path, state, make_network, monkeypatch, differing
):
    """Stop after each step of the move; what is there is wholly old, wholly new or no model."""
    old, new = state, other(state)
    step_names = ["replace", "unlink"]
    originals = {name: getattr(directory.Path, name) for name in step_names}
    outcomes = []
    for stop_after in range(30):
        target = tmp_path / f"target {stop_after}"
        save_model_directory(old, None, target, checkpoint_name="pytorch_model.pt")
        files = {**MODEL_FILES, "configuration.json": json.dumps({"name": "new"})}
        fill(target, files if differing is None else {**files, differing: '{"name": "old"}'})
        done = []

        def stepping(name, done=done, target=target, stop_after=stop_after):
            def step(self, *args, **kwargs):
                inside = any(target == p.parent for p in (self, *args) if hasattr(p, "parent"))
                if inside and len(done) == stop_after:
                    raise Killed
                result = originals[name](self, *args, **kwargs)
                if inside:
                    done.append(name)
                return result

            return step

        for name in step_names:
            monkeypatch.setattr(directory.Path, name, stepping(name))
        try:
            save_model_directory(new, source, target, write_configuration=configuration("new"))
            finished = True
        except Killed:
            finished = False
        for name in step_names:
            monkeypatch.setattr(directory.Path, name, originals[name])
        try:
            network = loads(target, make_network)
        except CheckpointNotFoundError:
            outcomes.append("no model")
        else:
            weight = network.backbone.gamma
            weights_are_new = torch.equal(weight, new["backbone.gamma"])
            assert weights_are_new or torch.equal(weight, old["backbone.gamma"])
            if differing is not None:
                text = (target / differing).read_text(encoding="utf-8")
                assert weights_are_new == ("old" not in text)
            outcomes.append("new" if weights_are_new else "old")
        if finished:
            break
    assert finished
    assert outcomes[0] == "old"
    assert outcomes[-1] == "new"
    assert ("no model" in outcomes) is (differing is not None)
