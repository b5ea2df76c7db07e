"""Directories: links, special files, what is missing, modules that lie in wait."""

import json
import os
import shutil
from pathlib import Path

from tests.hostile.entries import ANYTHING, CANARY, CHECKPOINT, CONFIG, Entry, base_of
from tests.hostile.pickles import dumped
from tests.support.configs import GOLDEN

BAD_CONFIG = "ConfigError"
VARIANTS = sorted((GOLDEN / "variants").iterdir())
BAD_CHECKPOINT = "CheckpointError"


def _moved(name, target, *, relative=False):
    """A `make` that moves a file elsewhere and leaves a symbolic link."""

    def make(directory):
        place = (directory / target).resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        (directory / name).rename(place)
        link = os.path.relpath(place, directory) if relative else place
        (directory / name).symlink_to(link)

    return make


def _linked(name, target):
    """A `make` that puts a symbolic link in place of a file."""

    def make(directory):
        (directory / name).unlink()
        (directory / name).symlink_to(target)

    return make


def _in_a_circle(name):
    def make(directory):
        (directory / name).unlink()
        (directory / name).symlink_to(f"{name}.b")
        (directory / f"{name}.b").symlink_to(name)

    return make


def _removed(*names):
    def make(directory):
        for name in names:
            (directory / name).unlink()

    return make


def _folder(name):
    def make(directory):
        (directory / name).unlink()
        (directory / name).mkdir()
        (directory / name / "data.pkl").write_bytes(b"N.")

    return make


def _pipe(name):
    def make(directory):
        (directory / name).unlink()
        os.mkfifo(directory / name)

    return make


def _locked(name):
    def make(directory):
        (directory / name).chmod(0)

    return make


def _base_link(target, text=None):
    """A `make` of a configuration whose base file is a symbolic link."""

    def make(directory):
        base_of(directory)
        if text is not None:
            (directory / target).resolve().write_text(text, encoding="utf-8")
        (directory / "link.py").symlink_to(target)
        (directory / CONFIG).write_text("_base_ = 'link.py'\n", encoding="utf-8")

    return make


def _files(contents):
    """A `make` that writes further files; code in them would make the canary."""

    def make(directory):
        for name, text in contents.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = text.format(canary=str(directory / CANARY))
            path.write_text(text, encoding="utf-8")

    return make


TOUCH = "open({canary!r}, 'w').close()\n"
MODULES = ["torch", "cv2", "numpy", "mmcv", "addict", "json", "modelscope_vitadapter", "_codecs"]


def _configuration(content):
    def make(directory):
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / "configuration.json").write_text(text, encoding="utf-8")

    return make


def _entries():
    blobs = Path("..", "blobs")
    for name in (CHECKPOINT, CONFIG):
        for relative in (True, False):
            kind = "relative" if relative else "absolute"
            yield Entry(
                f"{name} as a {kind} link into a cache",
                _moved(name, blobs / f"{name}-3f786850", relative=relative),
                needs="links",
            )
        make = _moved(name, Path("inner", name), relative=True)
        yield Entry(f"{name} as a link inside", make, needs="links")
    yield Entry("no configuration.json", _removed("configuration.json"))
    broken = {
        "broken": "{",
        "empty": "",
        "deep": "[" * 100_000,
        "a list": [],
        "a number": "3",
        "of wrong types": {"model": [1], "pipeline": 3, "task": None},
        "with plugins": {"plugins": ["canary_module"], "allow_remote": True},
        "with a long number": "9" * 10_000,
        "with names twice": '{"model": 1, "model": 2}',
        "of null bytes": "\0" * 100,
    }
    for name, content in broken.items():
        yield Entry(f"configuration.json {name}", _configuration(content))
    for name in MODULES:
        yield Entry(f"a module named {name}", _files({f"{name}.py": TOUCH}))
    yield Entry("a package", _files({"__init__.py": TOUCH, "ms_wrapper.py": TOUCH}))
    yield Entry("site customisation", _files({"sitecustomize.py": TOUCH, "x.pth": "import x"}))
    yield Entry("requirements", _files({"requirements.txt": "canary_module", "setup.py": TOUCH}))
    yield Entry("other weights", _files({"tf_model.h5": "x", "weights.pkl": "cos\nsystem\n."}))
    yield Entry("compiled files", _files({"__pycache__/mmcv_config.cpython-311.pyc": "x"}))

    def both(directory):
        (directory / "pytorch_model.bin").write_bytes(b"not looked at")

    yield Entry("two checkpoints", both, warns=r"several checkpoints.*pytorch_model\.pt is read")

    def other_name(directory):
        (directory / CHECKPOINT).rename(directory / "pytorch_model.bin")

    yield Entry("pytorch_model.bin", other_name)

    def dangling_beside(directory):
        other_name(directory)
        (directory / CHECKPOINT).symlink_to("gone")

    yield Entry("a link that leads nowhere beside it", dangling_beside, needs="links")

    def base_in_folder(directory):
        base_of(directory)
        (directory / "parts").mkdir()
        (directory / "base.py").rename(directory / "parts" / "base.py")
        (directory / CONFIG).write_text("_base_ = 'parts/base.py'", encoding="utf-8")

    yield Entry("base in a folder", base_in_folder)
    yield Entry("base as a link inside", _base_link("base.py"), needs="links")
    for name in ("base", "tta", *(f"variants/{folder.name}" for folder in VARIANTS)):
        yield Entry(f"golden {name}", _golden(name), warns=ANYTHING, same=False)
    yield from _refused()


def _golden(name):
    """A `make` of a model that the built-in code made, in place of the tiny one."""

    def make(directory):
        for file in (CONFIG, CHECKPOINT):
            shutil.copyfile(GOLDEN / name / file, directory / file)

    return make


def _refused():
    yield Entry(
        "no checkpoint", _removed(CHECKPOINT), "CheckpointNotFoundError", "holds no checkpoint"
    )
    yield Entry("no configuration", _removed(CONFIG), "ConfigNotFoundError", "does not exist")
    yield Entry("a folder as checkpoint", _folder(CHECKPOINT), BAD_CHECKPOINT, "is a directory")
    yield Entry("a folder as configuration", _folder(CONFIG), BAD_CONFIG, "not a regular file")
    for name, error in ((CHECKPOINT, BAD_CHECKPOINT), (CONFIG, BAD_CONFIG)):
        words = "regular file|pipe or a device"
        yield Entry(f"{name}: pipe", _pipe(name), error, words, heavy=True, needs="pipes")
        for device in ("/dev/zero", "/dev/urandom", "/dev/stdin", "/dev/tty"):
            yield Entry(
                f"{name}: {device}",
                _linked(name, device),
                error,
                f"{words}|cannot be opened|is empty|does not exist|unknown format",
                heavy=True,
                needs="pipes",
            )
        make = _in_a_circle(name)
        yield Entry(f"{name}: links in a circle", make, error, "cannot be opened", needs="links")
        make = _locked(name)
        yield Entry(
            f"{name}: no permission", make, error, "cannot be (opened|read)", needs="permissions"
        )
    gone = "NotFoundError", "does not exist"
    yield Entry(
        "a checkpoint that leads nowhere",
        _linked(CHECKPOINT, "gone"),
        f"Checkpoint{gone[0]}",
        gone[1],
        needs="links",
    )
    yield Entry(
        "a configuration that leads nowhere",
        _linked(CONFIG, "gone"),
        f"Config{gone[0]}",
        gone[1],
        needs="links",
    )
    outside = _base_link("../outside.py", "CLASSES = ['stolen']")
    yield Entry("base as a link outside", outside, BAD_CONFIG, "outside", needs="links")
    yield Entry(
        "base as a link to itself", _base_link("link.py"), BAD_CONFIG, "link.py", needs="links"
    )

    def folder_outside(directory):
        (directory.parent / "elsewhere").mkdir(exist_ok=True)
        base_of(directory)
        (directory / "base.py").rename(directory.parent / "elsewhere" / "base.py")
        (directory / "parts").symlink_to(directory.parent / "elsewhere")
        (directory / CONFIG).write_text("_base_ = 'parts/base.py'", encoding="utf-8")

    yield Entry("base in a linked folder", folder_outside, BAD_CONFIG, "outside", needs="links")

    def saved_object(directory):
        (directory / CHECKPOINT).write_bytes(dumped({"model": "x"}))
        (directory / "model.safetensors").write_bytes(b"not looked at")

    yield Entry(
        "a checkpoint before a better one",
        saved_object,
        BAD_CHECKPOINT,
        "no tensors",
        warns="several checkpoints",
    )


ENTRIES = list(_entries())
