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


TINY_MODEL = Path("examples", "tiny_model")
"""The embedded model, which a wheel has inside the package; an editable package finds it there."""


class BuildPyWithBootFile(build_py):
    """Copies the start-up file to the root of the built tree, and the embedded model into it."""

    def run(self) -> None:
        """Build the package, then copy the files."""
        super().run()
        for source, target in self._copied().items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what `run` writes."""
        return [*super().get_outputs(include_bytecode), *self._copied().values()]

    def _copied(self) -> dict[str, str]:
        model = Path(self.build_lib, "modelscope_vitadapter", "tiny_model")
        files = {str(one): str(model / one.name) for one in TINY_MODEL.iterdir() if one.is_file()}
        return {BOOT_FILE: str(Path(self.build_lib, BOOT_FILE)), **files}


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
