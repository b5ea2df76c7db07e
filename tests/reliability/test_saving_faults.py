"""A full disk, or a kill, while a model is saved: the directory is old, new, or refused.

Children are forked, so that each is ready at once. What they are killed at are their operations on
files, one after the other, and moments at random.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter

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

RANDOM_KILLS = 100
SAVED, REFUSED = 0, 3
"""Exit codes of children."""

OLD, NEWER, CHANGED = (3.0, "old", "old"), (5.0, "newer", "newer"), (7.0, "newer", "newer")
"""Models, by the value of all their weights, their first class, and a name in their JSON file."""


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
    """For each scene the directory that is saved over, the model, and what may load in between."""
    folder = tmp_path_factory.mktemp("models")
    old = make_model(folder / "old", "old", 3.0)
    newer = make_model(folder / "newer", "newer", 5.0)
    new_directory, other_model, same_files = (folder / f"before-{i}" for i in range(3))
    other_name = folder / "before-3"
    new_directory.mkdir()
    old.save_pretrained(other_model)
    newer.save_pretrained(same_files)
    old.save_pretrained(other_name, "pytorch_model.pt")
    changed = filled(Model.from_pretrained(str(folder / "newer")), 7.0)
    return {
        "new directory": (new_directory, newer, {"refused", NEWER}),
        "other model": (other_model, newer, {"refused", OLD, NEWER}),
        "other checkpoint name": (other_name, newer, {"refused", OLD, NEWER}),
        # Of the files beside the weights all stay: there is a model at every moment.
        "same files": (same_files, changed, {NEWER, CHANGED}),
    }


SCENES = ("new directory", "other model", "other checkpoint name", "same files")


def what_loads(folder):
    """The model in a directory, as `OLD` and so on, or `refused`."""
    try:
        model = Model.from_pretrained(str(folder))
    except Exception:
        return "refused"
    values = {float(value) for tensor in model.parameters() for value in tensor.unique()}
    content = json.loads((folder / ModelFile.CONFIGURATION).read_text(encoding="utf-8"))
    return (values.pop() if len(values) == 1 else values, model.CLASSES[0], content["name"])


def in_child(work):
    """Forks a child that does the work; gives its number at once."""
    child = os.fork()
    if child:
        return child
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


def exit_code(child):
    """The exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


def set_up(before, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(before, target)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_each_operation_on_files(scenes, tmp_path, scene, record_property):
    before, model, allowed = scenes[scene]
    target = tmp_path / "target"
    outcomes = Counter()

    def save():
        die_at(count, target)
        model.save_pretrained(target)

    for count in range(200):
        set_up(before, target)
        code = exit_code(in_child(save))
        found = what_loads(target)
        assert found in allowed, f"killed at operation {count}"
        outcomes[found] += 1
        if code == SAVED:
            break
        assert code == -signal.SIGKILL
    for outcome, times in outcomes.items():
        record_property(f"{scene}: {outcome}", times)
    assert code == SAVED
    assert count > 5
    assert set(outcomes) == allowed
    assert found in (NEWER, CHANGED)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_random_moments(scenes, tmp_path, scene, record_property):
    before, model, allowed = scenes[scene]
    target, chance = tmp_path / "target", random.Random(0)
    set_up(before, target)
    started = time.perf_counter()
    assert exit_code(in_child(lambda: model.save_pretrained(target))) == SAVED
    duration = time.perf_counter() - started
    codes = Counter()
    for _ in range(RANDOM_KILLS // len(SCENES)):
        set_up(before, target)
        child = in_child(lambda: model.save_pretrained(target))
        time.sleep(chance.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        codes[exit_code(child)] += 1
        assert what_loads(target) in allowed
    record_property(f"{scene}: kills in the middle", codes[-signal.SIGKILL])
    assert codes[-signal.SIGKILL] > RANDOM_KILLS / len(SCENES) / 4
    model.save_pretrained(target)  # whatever the last one left does not stand in the way
    assert what_loads(target) in (NEWER, CHANGED)


def content_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", [None, "pytorch_model.pt"])
@pytest.mark.parametrize("room", [0, 100, 2000, 100_000, 1_000_000])
def test_a_full_disk_changes_nothing(scenes, tmp_path, scene, name, room):
    """No file can grow beyond `room` bytes: the checkpoint has 1.5 million, others up to 5000."""
    import resource

    before, model, _ = scenes[scene]
    target = tmp_path / "target"
    set_up(before, target)

    def save():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        model.save_pretrained(target, name)

    assert exit_code(in_child(save)) == REFUSED
    assert content_of(target) == content_of(before)
