"""What must hold of every input, whatever it is.

It loads, or it is refused by an exception of this package, whose one string names a file of the
model directory; nothing of it runs; it takes little time and memory; a good directory loads after.
"""

import contextlib
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import modelscope_vitadapter
from modelscope_vitadapter.errors import VitAdapterError
from modelscope_vitadapter.logs import get_logger
from tests.fuzz.watch import watch
from tests.support.peak import peak, reset_peak

MAX_SECONDS = 5.0
MAX_BYTES = 500 * 2**20
MAX_MESSAGE = 20_000
"""Characters; more is no message to a person."""

_PACKAGE = Path(modelscope_vitadapter.__file__).parent


class DefectError(AssertionError):
    """Something that must hold does not.

    Attributes:
        signature: which defect it is; failures of one signature count as one.
        costly: found by time or memory, so trying it again and again takes long.
    """

    def __init__(self, signature, detail="", *, costly=False):
        super().__init__(f"{signature}\n{detail}")
        self.signature = signature
        self.detail = detail
        self.costly = costly


@dataclass(frozen=True)
class Verdict:
    """What became of an input: `loaded` or `refused`, in which time, with how much memory."""

    outcome: str
    seconds: float
    grown: int


def write_files(directory, files):
    """Make a directory hold these files only; a name that ends in '/' is a directory."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for name, content in files.items():
        path = directory / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def judge(kind, files, root, *, slowness=1.0):
    """Try one input.

    Args:
        kind: a `Kind`: how it is loaded, and what is known of the result.
        files: content by name.
        root: where the model directory `case` is made; files beside it are out of bounds.
        slowness: how much longer than usual everything may take.

    Raises:
        DefectError: something that must hold does not.
    """
    directory = Path(root) / "case"
    write_files(directory, files)
    result = error = None
    before = reset_peak()
    begin = time.process_time()
    with _logged() as log:
        watch().start(directory)
        try:
            result = kind.load(directory)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:
            error = raised
        finally:
            seen = watch().stop()
    seconds = time.process_time() - begin
    after = peak()
    grown = 0 if before is None or after is None else max(0, after - before)
    if seen or (Path(root) / "canary").exists():
        (Path(root) / "canary").unlink(missing_ok=True)
        raise DefectError(f"code ran: {(seen or ['the canary'])[0].split(' ')[0]}", "\n".join(seen))
    if error is not None:
        _check_error(error, [*files, *kind.names])
    for text in log:
        _check_text(text, " in the log")
    if seconds > MAX_SECONDS * slowness:
        raise DefectError(f"slow: {kind.name}", f"{seconds:.1f} s of processor time", costly=True)
    if grown > MAX_BYTES:
        raise DefectError(f"memory: {kind.name}", f"{grown / 2**20:.0f} MiB more", costly=True)
    try:
        kind.check(directory, result if error is None else error)
    except DefectError:
        raise
    except Exception as wrong:
        raise DefectError(f"check: {type(wrong).__name__}{_place(wrong)}", str(wrong)) from wrong
    _check_afterwards(kind, root)
    return Verdict("loaded" if error is None else "refused", seconds, grown)


def _check_afterwards(kind, root):
    """A good directory loads right after, whatever came before."""
    if not kind.good:
        return
    directory = Path(root) / "good" / kind.name
    if not directory.exists():
        write_files(directory, kind.good)
    try:
        kind.load(directory)
    except Exception as error:
        raise DefectError(f"a good directory no longer loads{_place(error)}", str(error)) from error


def _check_error(error, names):
    if not isinstance(error, VitAdapterError):
        raise DefectError(f"escaped: {type(error).__name__}{_place(error)}", repr(error)) from error
    where = _place(error)
    if len(error.args) != 1 or type(error.args[0]) is not str:
        raise DefectError(f"not one string{where}", repr(error.args)) from error
    message = error.args[0]
    if str(error) != message or str(type(error)(message)) != message:
        raise DefectError(f"not raised again as it was{where}", message) from error
    if not any(Path(name).name in message for name in names):
        raise DefectError(f"names no file{where}", message[:500]) from error
    _check_text(message, where)


def _check_text(message, where):
    if len(message) > MAX_MESSAGE:
        raise DefectError(f"long message{where}", f"{len(message)} characters: {message[:500]!r}")
    try:
        message.encode()
    except UnicodeEncodeError:
        raise DefectError(f"message that can't be written{where}", repr(message[:500])) from None


@contextlib.contextmanager
def _logged():
    """What this package logs meanwhile, as a list of texts."""
    texts = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())
    logger = get_logger()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _place(error):
    """The last function of this package that an exception came through."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        if _PACKAGE in path.parents:
            place = f" in {path.parent.name}/{path.name} {code.co_name}"
        trace = trace.tb_next
    return place
