"""Virtual environments that install from this source tree and download nothing."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.hub.environment import REPOSITORY, isolated_environment

BOOT_FILE = "modelscope_vitadapter_boot.pth"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "golden")


def copy_source(folder):
    """A copy of what a distribution is built from, so that building leaves nothing behind."""
    shutil.copytree(REPOSITORY, folder, ignore=LEFT_OUT)
    return folder


class Environment:
    """A virtual environment that sees the packages of the running one, but not its `.pth` files."""

    def __init__(self, folder):
        self.folder = Path(folder)
        venv.create(self.folder, with_pip=False, symlinks=os.name != "nt")
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = self.folder / scripts / Path(sys.executable).name
        self.site_packages = Path(
            sysconfig.get_path("purelib", vars={"base": str(self.folder)}, scheme="venv")
            if "venv" in sysconfig.get_scheme_names()
            else sysconfig.get_path("purelib", vars={"base": str(self.folder)})
        )
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.site_packages / "aa_parent.pth").write_text("\n".join(sorted(paths)), "utf-8")

    def pip(self, *arguments, cwd=None):
        command = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        environment = dict(os.environ, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
        environment.pop("PYTHONPATH", None)
        result = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def install(self, *what):
        self.pip("install", "--no-deps", "--no-build-isolation", *map(str, what))

    def uninstall(self):
        self.pip("uninstall", "--yes", "modelscope-vitadapter")

    def listing(self):
        """What lies in site-packages, without compiled files."""
        return sorted(
            path.relative_to(self.site_packages).as_posix()
            for path in self.site_packages.rglob("*")
            if "__pycache__" not in path.parts
        )

    def variables(self, home, **extra):
        return isolated_environment(home, plugin_path=None, **extra)
