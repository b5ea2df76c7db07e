"""What the wheel and the source distribution hold."""

import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.hub.environment import REPOSITORY
from tests.packaging.environments import BOOT_FILE, copy_source


def build(kind, source, folder):
    command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", folder, source]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    return build("--sdist", copy_source(folder / "source"), folder / "dist")


@pytest.fixture(scope="module")
def wheel(source_distribution, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(source_distribution) as archive:
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    return build("--wheel", unpacked, folder / "dist")


def test_wheel_is_for_any_python_3_and_platform(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")


def test_wheel_holds_the_package_and_the_start_up_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = REPOSITORY / "modelscope_vitadapter"
    modules = {path.relative_to(REPOSITORY).as_posix() for path in package.rglob("*.py")}
    model = {one.name for one in (REPOSITORY / "examples" / "tiny_model").iterdir()}
    data = {"py.typed", "command/zh.json", *(f"tiny_model/{name}" for name in model)}
    expected = modules | {BOOT_FILE, *(f"modelscope_vitadapter/{one}" for one in data)}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_wheel_has_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [one for one in archive.namelist() if one.endswith("/entry_points.txt")]
    expected = "vitadapter = modelscope_vitadapter.command.main:main"
    assert expected in archive.read(name).decode().splitlines()


def test_start_up_file_sorts_after_the_editable_ones():
    assert BOOT_FILE > "__editable__.modelscope_vitadapter-0.1.0.pth"


def test_source_distribution_holds_what_the_build_needs(source_distribution):
    with tarfile.open(source_distribution) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", BOOT_FILE} <= names
    assert not [name for name in names if name.endswith((".pyc", ".so"))]
