"""Finding the checkpoint of a model directory, and writing directories."""

import itertools
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from modelscope_vitadapter.checkpoint import model_directory
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import (
    CHECKPOINT_NAMES,
    find_checkpoint,
    save_model_directory,
    save_model_files,
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


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_each_name_is_found(tmp_path, name, caplog):
    (tmp_path / name).write_bytes(b"")
    assert find_checkpoint(tmp_path) == tmp_path / name
    assert not caplog.records


def test_of_several_checkpoints_the_log_names_the_one_that_is_read(tmp_path, caplog):
    for name in CHECKPOINT_NAMES[1:]:
        (tmp_path / name).write_bytes(b"")
    assert find_checkpoint(tmp_path).name == "pytorch_model.bin"
    assert "pytorch_model.bin is read" in caplog.text
    (tmp_path / "pytorch_model.pt").write_bytes(b"")
    assert find_checkpoint(tmp_path).name == "pytorch_model.pt"


def test_where_there_is_none_the_error_names_all_three(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path)
    assert all(name in str(caught.value) for name in (*CHECKPOINT_NAMES, str(tmp_path)))
    with pytest.raises(CheckpointNotFoundError, match="not a directory"):
        find_checkpoint(tmp_path / "nowhere")


def test_a_link_that_leads_nowhere_gives_way_to_a_file(tmp_path):
    try:
        (tmp_path / CHECKPOINT_NAMES[0]).symlink_to("gone")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    assert find_checkpoint(tmp_path).name == CHECKPOINT_NAMES[0]
    (tmp_path / CHECKPOINT_NAMES[2]).write_bytes(b"")
    assert find_checkpoint(tmp_path).name == CHECKPOINT_NAMES[2]


def fill(folder, files):
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


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "source", {**MODEL_FILES, **OTHER_FILES})


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_a_new_directory_holds_what_belongs_to_the_model(source, tmp_path, state, name):
    target = tmp_path / "新 target" / "deep"
    wrapped = {f"model.{key}": tensor for key, tensor in state.items()}
    save_model_directory(wrapped, source, target, checkpoint_name=name)
    assert tree(target) == {*MODEL_FILES, name}
    assert (target / "bases/model.py").read_text(encoding="utf-8") == "model = dict()"
    assert_loaded(loads(target), state)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


def test_safetensors_is_the_default(tmp_path, state):
    save_model_directory(state, None, tmp_path / "target")
    assert tree(tmp_path / "target") == {"model.safetensors"}


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_saving_over_the_source(source, state, name, caplog):
    save_model_directory(state, source, source, checkpoint_name=name)
    assert_loaded(loads(source), state)
    rank = CHECKPOINT_NAMES.index(name)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES} - set(CHECKPOINT_NAMES[:rank])
    for removed in CHECKPOINT_NAMES[:rank]:
        assert f"{source / removed} was removed" in caplog.text


def test_saving_again_replaces_the_models_files_and_no_others(source, tmp_path, state):
    target = fill(tmp_path / "target", {"notes.txt": "mine", "README.md": "older"})
    save_model_directory(state, source, target)
    newer = other(state)
    save_model_directory(newer, source, target)
    assert_loaded(loads(target), newer)
    assert tree(target) == {*MODEL_FILES, "model.safetensors", "notes.txt"}
    assert (target / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (target / "README.md").read_text(encoding="utf-8") == "card"


def test_a_target_inside_the_source(source, state):
    for _ in range(2):
        save_model_directory(state, source, source / "output")
    assert tree(source / "output") == {*MODEL_FILES, "model.safetensors"}


def test_links_are_followed_into_the_directory_only(tmp_path, caplog):
    """But for `mmcv_config.py`, which caches that keep files by their content link to."""
    secret = fill(
        tmp_path / "elsewhere", {"secret.txt": "secret", "config": "x", "bases/m.py": "y"}
    )
    source = fill(tmp_path / "source", {"text.md": "y"})
    (source / "images").mkdir()
    (source / "mmcv_config.py").symlink_to(secret / "config")
    (source / "bases").symlink_to(secret / "bases")
    (source / "gone.py").symlink_to(secret / "gone.py")
    (source / "images" / "near.md").symlink_to("../text.md")
    (source / "README.md").symlink_to(secret / "secret.txt")
    (source / "images" / "far.png").symlink_to("../../elsewhere/secret.txt")
    target = tmp_path / "target"
    save_model_directory({"a": torch.zeros(1)}, source, target)
    expected = {"mmcv_config.py", "text.md", "images/near.md", "model.safetensors"}
    assert tree(target) == expected
    assert (target / "mmcv_config.py").read_text(encoding="utf-8") == "x"
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert caplog.text.count("a link to a file outside") == 2


def configuration(name):
    def write(folder):
        (folder / "configuration.json").write_text(json.dumps({"name": name}), encoding="utf-8")

    return write


def test_all_but_the_weights(source, tmp_path):
    target = fill(tmp_path / "target", {"README.md": "older", "pytorch_model.bin": "mine"})
    for name in ("one", "two"):
        save_model_files(source, target, write_configuration=configuration(name))
        assert tree(target) == {*MODEL_FILES, "pytorch_model.bin", "configuration.json"}
        assert json.loads((target / "configuration.json").read_bytes()) == {"name": name}
    assert (target / "README.md").read_text(encoding="utf-8") == "card"
    assert (target / "pytorch_model.bin").read_text(encoding="utf-8") == "mine"
    save_model_files(source, source)
    assert tree(source) == {*MODEL_FILES, *OTHER_FILES}


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


@pytest.mark.parametrize("what", ["copyfile", "save_state_dict", "configuration"])
def test_a_full_disk_changes_nothing(source, tmp_path, state, monkeypatch, what):
    old = {"mmcv_config.py": "old", "pytorch_model.pt": "old"}
    target = fill(tmp_path / "target", old)
    if what != "configuration":
        monkeypatch.setattr(shutil if what == "copyfile" else model_directory, what, fail)
    with pytest.raises(CheckpointError, match="No space left"):
        save_model_directory(
            state, source, target, write_configuration=fail if what == "configuration" else None
        )
    assert {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()} == old


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("differing", [None, "mmcv_config.py", "configuration.json"])
def test_at_no_moment_are_weights_beside_files_of_another_model(
    source, tmp_path, state, monkeypatch, differing
):
    """Stop after each step of the move; what is there is wholly old, wholly new or no model."""
    files = {**MODEL_FILES, "configuration.json": json.dumps({"name": "new"})}
    new, outcomes = other(state), []
    for stop_after in itertools.count():
        target = tmp_path / f"target {stop_after}"
        save_model_directory(state, None, target, checkpoint_name="pytorch_model.pt")
        fill(target, files if differing is None else {**files, differing: '{"name": "old"}'})
        steps = itertools.count()

        def stepping(original, target=target, steps=steps, stop_after=stop_after):
            def step(self, *args, **kwargs):
                changed = (self, *(arg for arg in args if isinstance(arg, Path)))
                if any(path.parent == target for path in changed) and next(steps) == stop_after:
                    raise Killed
                return original(self, *args, **kwargs)

            return step

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, stepping(getattr(Path, name)))
            try:
                save_model_directory(new, source, target, write_configuration=configuration("new"))
                finished = True
            except Killed:
                finished = False
        try:
            weight = loads(target).backbone.gamma
        except CheckpointNotFoundError:
            outcomes.append("no model")
        else:
            is_new = torch.equal(weight, new["backbone.gamma"])
            assert is_new or torch.equal(weight, state["backbone.gamma"])
            if differing is not None:
                text = (target / differing).read_text(encoding="utf-8")
                assert is_new == ("old" not in text)
            outcomes.append("new" if is_new else "old")
        if finished:
            break
    assert (outcomes[0], outcomes[-1]) == ("old", "new")
    assert ("no model" in outcomes) is (differing is not None)
