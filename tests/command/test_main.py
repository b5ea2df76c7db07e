import json
import subprocess
import sys
from types import ModuleType

import pytest

from modelscope_vitadapter.command import main as command
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.version import __version__


@pytest.fixture
def subcommand(monkeypatch):
    """Makes a subcommand `try` that calls a function, or raises an error."""

    def make(outcome):
        def run(arguments):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome(arguments)

        module = ModuleType("modelscope_vitadapter.command.try")
        module.HELP = "tries"
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=1)
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(command, "SUBCOMMANDS", ("try",))

    return make


def test_a_subcommand_gets_its_arguments_and_gives_the_exit_code(subcommand):
    subcommand(lambda arguments: arguments.number)
    assert command.main(["try", "--number", "5"]) == 5


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataSetError("folder 'x' is empty"), 1, "folder 'x' is empty"),
        (FileNotFoundError(2, "No such file", "x"), 1, "[Errno 2] No such file: 'x'"),
        (RuntimeError("of another library"), 1, "RuntimeError: of another library"),
        (KeyError("x"), 1, "KeyError: 'x'"),
        (ValueError(), 2, "ValueError: "),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(subcommand, capsys, error, code, says):
    subcommand(error)
    assert command.main(["try"]) == code
    found = capsys.readouterr()
    assert found.err == f"vitadapter try: {says}\n"
    assert found.out == ""


def test_the_traceback_is_there_where_asked_for(subcommand):
    subcommand(DataSetError("x"))
    with pytest.raises(DataSetError):
        command.main(["try", "--traceback"])


TOLD = """
import contextlib, io, json, sys
from modelscope_vitadapter.command.main import main
shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
    try:
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code
heavy = {"torch", "numpy", "modelscope", "cv2", "PIL", "tqdm", "matplotlib", "datasets"}
print(json.dumps([code, shown.getvalue(), sorted(heavy & set(sys.modules))]))
"""
EVALUATE, TRAIN = ["evaluate", "MODEL", "DATA"], ["train", "MODEL", "DATA", "--output", "nowhere"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--help"], 0, "usage: vitadapter "),
        (["--version"], 0, f"vitadapter {__version__}"),
        (["nothing"], 2, "invalid choice"),
        (["evaluate", "a"], 2, "usage: vitadapter evaluate"),
        (["evaluate", "--help"], 0, "--label-ids IDS"),
        (["data", "--help"], 0, "--preview FILE.png"),
        ([*EVALUATE, "--label-ids", "x"], 2, "'x': expected as-is, reduce-zero"),
        (["train", "--help"], 0, "--learning-rate"),
        ([*TRAIN, "--iters", "many"], 2, "invalid int value"),
        ([*TRAIN, "--freeze", "head"], 2, "invalid choice"),
        ([*TRAIN, "--learning-rate", "-1"], 2, "learning_rate is -1.0: expected a number above 0"),
        ([*TRAIN, "--crop", "100"], 2, "crop is 100: expected a multiple of 32"),
        ([*TRAIN, "--classes", "nowhere.txt"], 1, "no file 'nowhere.txt'"),
        ([*TRAIN, "--resume"], 1, "there is no checkpoint"),
    ],
)
def test_help_and_mistakes_in_arguments_are_told_before_anything_heavy_is_imported(
    arguments, code, says
):
    command_line = [sys.executable, "-c", TOLD, *arguments]
    done = subprocess.run(command_line, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[0] == code
    assert says in found[1]
    assert found[2] == []
