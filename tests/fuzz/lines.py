"""Which lines of the config reader and the checkpoint loader the inputs reach.

Lines that importing a file runs (imports, definitions, tables) are left out of all counts.
"""

from pathlib import Path

import coverage

PACKAGE = Path(__file__).parents[2] / "modelscope_vitadapter"
READER, LOADER = "config", "checkpoint"
_NOT_FOR_LOADING = ("save.py", "directory.py", "criterion.py")
"""Files that write, and the settings of the training."""


def files():
    """The files that are counted, by name relative to the package."""
    found = [path for part in (READER, LOADER) for path in sorted((PACKAGE / part).glob("*.py"))]
    return {
        path.relative_to(PACKAGE).as_posix(): path
        for path in found
        if path.name not in ("__init__.py", *_NOT_FOR_LOADING)
    }


class Lines:
    """Traces this process; made before the package is imported."""

    def __init__(self):
        self._coverage = coverage.Coverage(
            data_file=None,
            config_file=False,
            include=[str(path) for path in files().values()],
            messages=False,
        )
        self._coverage.exclude("if TYPE_CHECKING:")
        self._coverage.start()
        self._imported = {}

    def after_import(self):
        """Note the lines that were run up to here."""
        self._imported = self._executed()

    def reached(self):
        """Numbers of the counted lines and of those that were run, by name of the file."""
        executed = self._executed()
        result = {}
        for name, path in files().items():
            statements = set(self._coverage.analysis2(str(path))[1]) - self._imported[name]
            result[name] = (sorted(statements), sorted(statements & executed[name]))
        return result

    def _executed(self):
        self._coverage.stop()
        data = self._coverage.get_data()
        executed = {name: set(data.lines(str(path)) or ()) for name, path in files().items()}
        self._coverage.start()
        return executed


def merged(reports):
    """Several processes' results of `Lines.reached` as one."""
    result = {}
    for report in reports:
        for name, (statements, reached) in report.items():
            counted, before = result.get(name, (statements, set()))
            result[name] = (counted, before | set(reached))
    return {name: (len(counted), len(reached)) for name, (counted, reached) in result.items()}


def share(counts, part):
    """Per cent of the lines of `config` or `checkpoint` that were reached."""
    chosen = [count for name, count in counts.items() if name.startswith(f"{part}/")]
    return 100 * sum(reached for _, reached in chosen) / max(1, sum(lines for lines, _ in chosen))
