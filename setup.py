"""Builds wheels that carry the start-up hook; everything else stands in `pyproject.toml`.

Python runs the `import` lines of `*.pth` files in site-packages at start, so that is where
`modelscope_vitadapter_boot.pth` has to lie: beside the package, not inside it. Its name sorts
after `__editable__*.pth`, which makes an editable package importable.
"""

from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

BOOT_FILE = "modelscope_vitadapter_boot.pth"


class BuildPyWithBootFile(build_py):
    """Copies the start-up file to the root of the built tree."""

    def run(self) -> None:
        """Build the package, then copy the file beside it."""
        super().run()
        self.copy_file(BOOT_FILE, str(Path(self.build_lib, BOOT_FILE)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what `run` writes."""
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib, BOOT_FILE))]


class StrategyWithBootFile:
    """Does what another strategy of `editable_wheel` does and adds the start-up file."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __enter__(self) -> "StrategyWithBootFile":
        self._strategy.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._strategy.__exit__(*error)

    def __call__(self, wheel: Any, *details: Any) -> None:
        """Write the editable wheel's contents."""
        self._strategy(wheel, *details)
        wheel.write(BOOT_FILE, arcname=BOOT_FILE)


class EditableWheelWithBootFile(editable_wheel):
    """Puts the start-up file into editable installs.

    `_select_strategy` is private to setuptools. Where a later version has it no more, an editable
    install works without the start-up file, and scripts need `import modelscope_vitadapter`.
    """

    def _select_strategy(self, *details: Any, **options: Any) -> StrategyWithBootFile:
        return StrategyWithBootFile(super()._select_strategy(*details, **options))


setup(cmdclass={"build_py": BuildPyWithBootFile, "editable_wheel": EditableWheelWithBootFile})
