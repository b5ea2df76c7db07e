"""A kill, or a full disk, while a model is saved: the directory is old, new, or refused.

Children are forked, so that each is ready at once. They are killed at their operations on files,
one after the other.
"""

import json
import os
import shutil
import signal
import sys

import pytest
import torch
from modelscope.models import Model
from modelscope.utils.constant import ModelFile

from modelscope_vitadapter.errors import CheckpointError
from tests.reliability import workers

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
"""What Python tells an audit hook about operations that change files."""

SAVED, REFUSED = 0, 3
"""Exit codes of children."""

OLD, NEWER, CHANGED = (3.0, "old", "old"), (5.0, "newer", "newer"), (7.0, "newer", "newer")
"""Models, by the value of all their weights, their first class, and a name in their JSON file."""

SCENES = {
    "new directory": {"refused", NEWER},
    "other model": {"refused", OLD, NEWER},
    "other checkpoint name": {"refused", OLD, NEWER},
    # Of the files beside the weights all stay: there is a model at every moment.
    "same files": {NEWER, CHANGED},
}
"""What may load after a kill, by what is saved over."""


def make_model(folder, name, value):
    folder.mkdir()
    text = (workers.MODEL / "mmcv_config.py").read_text(encoding="utf-8")
    (folder / "mmcv_config.py").write_text(text.replace("thing-0", name), encoding="utf-8")
    text = (workers.MODEL / ModelFile.CONFIGURATION).read_text(encoding="utf-8")
    text = json.dumps({**json.loads(text), "name": name})
    (folder / ModelFile.CONFIGURATION).write_text(text, encoding="utf-8")
    shutil.copy(workers.MODEL / "pytorch_model.pt", folder)
    return filled(Model.from_pretrained(str(folder)), value)


def filled(model, value):
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.fill_(value)
    return model


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """For each scene the directory that is saved over, and the model."""
    folder = tmp_path_factory.mktemp("models")
    old = make_model(folder / "old", "old", 3.0)
    newer = make_model(folder / "newer", "newer", 5.0)
    before = {name: folder / f"before {name}" for name in SCENES}
    before["new directory"].mkdir()
    old.save_pretrained(before["other model"])
    old.save_pretrained(before["other checkpoint name"], "pytorch_model.pt")
    newer.save_pretrained(before["same files"])
    changed = filled(Model.from_pretrained(str(folder / "newer")), 7.0)
    return {n: (path, changed if n == "same files" else newer) for n, path in before.items()}


def what_loads(folder):
    """The model in a directory, as `OLD` and so on, or `refused`."""
    try:
        model = Model.from_pretrained(str(folder))
    except Exception:
        return "refused"
    values = {float(value) for tensor in model.parameters() for value in tensor.unique()}
    content = json.loads((folder / ModelFile.CONFIGURATION).read_text(encoding="utf-8"))
    return (values.pop() if len(values) == 1 else values, model.CLASSES[0], content["name"])


def code_of_child(work):
    """Forks a child that does the work; gives its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        work()
        code = SAVED
    except (CheckpointError, OSError):  # the latter from ModelScope, which copies a file it reads
        code = REFUSED
    finally:
        os._exit(code)


def die_at(count, folder):
    """Kills this process at its operation of that number on files of a folder."""
    left = count

    def hook(event, arguments):
        nonlocal left
        if event in EVENTS and str(folder) in str(arguments[0]):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(hook)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_each_operation_on_files(scenes, tmp_path, scene):
    (before, model), target, outcomes = scenes[scene], tmp_path / "target", set()

    def save():
        die_at(count, target)
        model.save_pretrained(target)

    for count in range(200):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(before, target)
        code = code_of_child(save)
        found = what_loads(target)
        assert found in SCENES[scene], f"killed at operation {count}"
        outcomes.add(found)
        if code == SAVED:
            break
        assert code == -signal.SIGKILL
    assert code == SAVED
    assert count > 5
    assert outcomes == SCENES[scene]
    assert found in (NEWER, CHANGED)


def content_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("scene", ["other model", "same files"])
@pytest.mark.parametrize("name", [None, "pytorch_model.pt"])
@pytest.mark.parametrize("room", [0, 2000, 1_000_000])
def test_a_full_disk_changes_nothing(scenes, tmp_path, scene, name, room):
    """No file can grow beyond `room` bytes: the checkpoint has 1.5 million, others up to 5000."""
    import resource

    (before, model), target = scenes[scene], tmp_path / "target"
    shutil.copytree(before, target)
    held = content_of(target)

    def save():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        model.save_pretrained(target, name)

    assert code_of_child(save) == REFUSED
    assert content_of(target) == held
