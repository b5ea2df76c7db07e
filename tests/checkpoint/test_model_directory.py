"""Finding the checkpoint of a model directory, and writing directories."""

import json

import pytest
import torch

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import (
    CHECKPOINT_NAMES,
    find_checkpoint,
    save_model_directory,
)
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from tests.support.small_checkpoints import assert_loaded, make_network

MODEL_FILES = {
    "README.md": "card",
    "mmcv_config.py": "_base_ = ['bases/model.py']",
    "bases/model.py": "model = dict()",
    "bases/deep/palette.py": "PALETTE = []",
    "data/image.jpg": "jpg",
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


def test_the_first_checkpoint_is_found_and_named_where_there_are_several(tmp_path, caplog):
    for number, name in enumerate(reversed(CHECKPOINT_NAMES)):
        (tmp_path / name).write_bytes(b"")
        assert find_checkpoint(tmp_path) == tmp_path / name
        assert len(caplog.records) == number
    assert "pytorch_model.pt, pytorch_model.bin, model.safetensors); the first" in caplog.text


def test_where_there_is_none_the_error_names_all_three(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path)
    assert all(name in str(caught.value) for name in (*CHECKPOINT_NAMES, str(tmp_path)))
    with pytest.raises(CheckpointNotFoundError, match="not a directory"):
        find_checkpoint(tmp_path / "nowhere")


def fill(folder, files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def tree(folder):
    return {str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()}


def loads(folder):
    network = make_network()
    load_into(network, find_checkpoint(folder))
    return network


def other(state):
    return {name: tensor + 1 for name, tensor in state.items()}


def configuration(folder, name):
    (folder / "configuration.json").write_text(json.dumps({"name": name}), encoding="utf-8")


def save(state, source, target, write=lambda folder: None, **options):
    save_model_directory(state, source, target, write_configuration=write, **options)


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "source", {**MODEL_FILES, **OTHER_FILES})


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_a_new_directory_holds_what_belongs_to_the_model(source, tmp_path, state, name):
    target = tmp_path / "新 target" / "deep"
    wrapped = {f"model.{key}": tensor for key, tensor in state.items()}
    save(wrapped, source, target, checkpoint_name=name)
    assert tree(target) == {*MODEL_FILES, name}
    assert (target / "bases/model.py").read_text(encoding="utf-8") == "model = dict()"
    assert_loaded(loads(target), state)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_saving_over_the_source(source, state, name, caplog):
    save(state, source, source, checkpoint_name=name)
    assert_loaded(loads(source), state)
    rank = CHECKPOINT_NAMES.index(name)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES} - set(CHECKPOINT_NAMES[:rank])
    for removed in CHECKPOINT_NAMES[:rank]:
        assert f"{source / removed} was removed" in caplog.text


def test_saving_again_replaces_the_models_files_and_no_others(source, tmp_path, state):
    target = fill(tmp_path / "target", {"notes.txt": "mine", "README.md": "older"})
    save(state, source, target)
    newer = other(state)
    save(newer, source, target)
    assert_loaded(loads(target), newer)
    assert tree(target) == {*MODEL_FILES, "model.safetensors", "notes.txt"}
    assert (target / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (target / "README.md").read_text(encoding="utf-8") == "card"


def test_a_target_inside_the_source(source, state):
    for _ in range(2):
        save(state, source, source / "output")
    assert tree(source / "output") == {*MODEL_FILES, "model.safetensors"}


def test_links_are_followed_into_the_directory_only(tmp_path, caplog):
    """But for `mmcv_config.py`, which caches that keep files by their content link to."""
    secret = fill(tmp_path / "elsewhere", {"secret": "secret", "config": "x", "bases/m.py": "y"})
    source = fill(tmp_path / "source", {"text.md": "y", "images/a.md": "y"})
    (source / "mmcv_config.py").symlink_to(secret / "config")
    (source / "bases").symlink_to(secret / "bases")
    (source / "gone.py").symlink_to(secret / "gone.py")
    (source / "images" / "near.md").symlink_to("../text.md")
    (source / "README.md").symlink_to(secret / "secret")
    (source / "images" / "far.png").symlink_to("../../elsewhere/secret")
    target = tmp_path / "target"
    save({"a": torch.zeros(1)}, source, target)
    copied = {"mmcv_config.py", "text.md", "images/a.md", "images/near.md", "model.safetensors"}
    assert tree(target) == copied
    assert (target / "mmcv_config.py").read_text(encoding="utf-8") == "x"
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert caplog.text.count("a link to a file outside") == 2


def test_all_but_the_weights(source, tmp_path):
    target = fill(tmp_path / "target", {"README.md": "older", "pytorch_model.bin": "mine"})
    for name in ("one", "two"):
        save(None, source, target, lambda folder, name=name: configuration(folder, name))
        assert tree(target) == {*MODEL_FILES, "pytorch_model.bin", "configuration.json"}
        assert json.loads((target / "configuration.json").read_bytes()) == {"name": name}
    assert (target / "README.md").read_text(encoding="utf-8") == "card"
    assert (target / "pytorch_model.bin").read_text(encoding="utf-8") == "mine"
    save(None, source, source)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


def test_what_can_not_be_saved(source, tmp_path, state):
    target = tmp_path / "target"
    with pytest.raises(CheckpointError, match=r"'weights\.pt'.*pytorch_model\.pt"):
        save(state, source, target, checkpoint_name="weights.pt")
    with pytest.raises(CheckpointError, match="is not a directory"):
        save(state, tmp_path / "nowhere", target)
    assert not target.exists()
    target.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(state, source, target)
