import subprocess
import sys
from types import ModuleType

import pytest

from modelscope_vitadapter.command import main as command
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.version import __version__


def subcommand(monkeypatch, run):
    """A subcommand `try` that calls `run`."""
    module = ModuleType("modelscope_vitadapter.command.try")
    module.HELP = "tries"
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=1)
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(command, "SUBCOMMANDS", ("try",))


def raising(error):
    def run(arguments):
        raise error

    return run


def test_a_subcommand_gets_its_arguments_and_gives_the_exit_code(monkeypatch):
    subcommand(monkeypatch, lambda arguments: arguments.number)
    assert command.main(["try", "--number", "5"]) == 5


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DataSetError("folder 'x' is empty"), "folder 'x' is empty"),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'"),
        (RuntimeError("of another library"), "RuntimeError: of another library"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError: "),
    ],
)
def test_an_error_is_a_line_and_exit_code_2(monkeypatch, capsys, error, says):
    subcommand(monkeypatch, raising(error))
    assert command.main(["try"]) == 2
    found = capsys.readouterr()
    assert found.err == f"vitadapter try: {says}\n"
    assert found.out == ""


def test_the_traceback_is_there_where_asked_for(monkeypatch):
    subcommand(monkeypatch, raising(DataSetError("x")))
    with pytest.raises(DataSetError):
        command.main(["try", "--traceback"])


def test_an_interrupt_is_no_error(monkeypatch, capsys):
    subcommand(monkeypatch, raising(KeyboardInterrupt()))
    assert command.main(["try"]) == 130
    assert capsys.readouterr().err == "vitadapter try: stopped\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["evaluate"], ["evaluate", "a"]])
def test_wrong_arguments_are_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "usage: vitadapter" in capsys.readouterr().err


def test_every_subcommand_has_help(capsys):
    for arguments in (["--help"], *([name, "--help"] for name in command.SUBCOMMANDS)):
        with pytest.raises(SystemExit) as caught:
            command.main(arguments)
        assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "evaluate" in command.SUBCOMMANDS
    for name in command.SUBCOMMANDS:
        assert f"usage: vitadapter {name}" in shown


def test_help_and_version_are_there_without_heavy_imports():
    code = (
        "import sys\n"
        "from modelscope_vitadapter.command.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'modelscope', 'matplotlib', 'datasets'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [f"vitadapter {__version__}", "[]"]
