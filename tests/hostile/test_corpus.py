"""Every entry of the corpus: what comes of it, what it costs, that nothing of it runs."""

import contextlib
import multiprocessing
import pickle
import re
import runpy
import sys

import pytest

from tests.hostile import child
from tests.hostile.corpus import ALL, CORPUS, LOADS, REFUSED
from tests.hostile.entries import CANARY, CANARY_MODULE, CHECKPOINT, CONFIG, Entry, make_directory
from tests.hostile.loading import load
from tests.hostile.pickles import CALLS, plain_pickle

SECONDS = 5
"""A refusal takes less; so does loading a directory of this size."""

MEMORY = 500 * 10**6
"""Bytes by which a refusal makes the process grow at most."""

PATIENCE = 60
"""Seconds after which a process is taken to hang."""

SAMPLE = 6
"""Of the light entries, every so many-th is run in this process in the quick suite."""

TOGETHER = 60
"""Light entries that two processes share, each taking one after the other."""

FORKS = sys.platform.startswith("linux")
LIGHT = [entry for entry in ALL if not entry.heavy]
SAMPLED = LIGHT[::SAMPLE]
GROUPS = [[entry] for entry in ALL if entry.heavy]
GROUPS += [LIGHT[first : first + TOGETHER] for first in range(0, len(LIGHT), TOGETHER)]
if not FORKS:
    GROUPS = [ALL]


def short(text):
    return re.sub(r"[^\w.,+-]+", " ", text)[:60]


def deviation(entry: Entry, outcome, whole_answer):
    """Where what came of an entry differs from what its table says; None where it does not."""
    if outcome.ran:
        return "code of the directory ran"
    if outcome.check:
        return outcome.check
    expected = [None] if entry.error is None else entry.error.split("|")
    if outcome.error not in expected:
        return f"{outcome.error}: {outcome.message or 'it loaded'}"
    if entry.warns is None and outcome.log:
        return f"logged {outcome.log}"
    if entry.warns is not None and not re.search(entry.warns, outcome.log, re.DOTALL):
        return f"logged {outcome.log!r}, expected {entry.warns}"
    if entry.error is None:
        return "another answer" if entry.same and outcome.answer != whole_answer else None
    if not re.search(entry.words, outcome.message, re.DOTALL):
        return f"{outcome.message}: expected {entry.words}"
    if not re.search(rf"{CONFIG}|{CHECKPOINT}|model\.safetensors|\.py", outcome.message):
        return f"{outcome.message}: names no file"
    if outcome.parts != 1 or len(outcome.message) > 50_000:
        return f"{outcome.parts} arguments, {len(outcome.message)} characters"
    return None


def test_entries_that_load_are_as_many_as_those_refused():
    assert len(LOADS) > 100
    assert len(REFUSED) > 200
    assert len(CORPUS) == len(ALL), "two entries have one name"


@pytest.fixture(scope="module")
def whole_answer(whole):
    outcome = load(whole)
    assert outcome.error is None
    assert not outcome.ran
    return outcome.answer


@pytest.mark.parametrize("entry", SAMPLED, ids=[short(entry.name) for entry in SAMPLED])
def test_entry(made, monkeypatch, whole_answer, entry):
    directory = made(entry)
    monkeypatch.syspath_prepend(directory)
    assert deviation(entry, load(directory, entry.check), whole_answer) is None


@pytest.fixture(scope="module")
def context():
    """Processes that are forked from one that has everything imported, where there are forks."""
    if not FORKS:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["tests.hostile.warm"])
    return forking


def results_of(context, jobs, whole):
    """What `run_entries` sends from two processes, which are killed when they hang."""
    with contextlib.ExitStack() as ending:
        running = [
            (half, *started(context, half, whole, ending)) for half in (jobs[::2], jobs[1::2])
        ]
        for half, process, receiver in running:
            for name, _ in half:
                assert receiver.poll(PATIENCE), f"{name}: hangs"
                try:
                    yield name, *receiver.recv()
                except EOFError:
                    process.join(PATIENCE)
                    pytest.fail(f"{name}: the process ended with {process.exitcode}")


def started(context, jobs, whole, ending):
    """A process with these jobs, and where its results come from."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child.run_entries, args=(jobs, str(whole), sender))
    process.start()
    ending.callback(process.join)
    ending.callback(process.kill)
    sender.close()
    return process, receiver


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS, ids=[short(group[0].name) for group in GROUPS])
def test_measured(context, tmp_path, whole, whole_answer, group, record_property):
    jobs = []
    for number, entry in enumerate(group):
        directory = tmp_path / str(number) / "model"
        if make_directory(entry, directory) is None:
            jobs.append((entry.name, str(directory)))
    problems = []
    for name, hostile, after in results_of(context, jobs, whole):
        record_property(name, f"{CORPUS[name].error} {hostile.seconds:.3f} {hostile.growth}")
        problem = excess(CORPUS[name], hostile) or deviation(CORPUS[name], hostile, whole_answer)
        problem = problem or after.error or after.check or None
        if after.answer != whole_answer or after.ran:
            problem = problem or "the well-formed directory did not load right after"
        problems += [] if problem is None else [f"{name}: {problem}"]
    assert "\n".join(problems) == ""


def excess(entry, outcome):
    """What an entry takes too much of."""
    if outcome.seconds >= SECONDS:
        return f"took {outcome.seconds} s"
    if entry.error is not None and (outcome.growth or 0) >= MEMORY:
        return f"took {outcome.growth} bytes"
    return None


def test_the_bait_of_a_configuration_would_be_noticed(made, monkeypatch):
    directory = made(LOADS[0])
    monkeypatch.syspath_prepend(directory)
    with contextlib.suppress(Exception):
        runpy.run_path(str(directory / CONFIG))
    assert (directory / CANARY).exists()
    sys.modules.pop(CANARY_MODULE, None)


@pytest.mark.parametrize("name", ["open", "eval", "a module of the directory", "a name only"])
def test_the_bait_of_a_checkpoint_would_be_noticed(made, monkeypatch, name):
    directory = made(LOADS[0])
    monkeypatch.syspath_prepend(directory)
    pickle.loads(plain_pickle(CALLS[name](directory)))
    assert (directory / CANARY).exists()
    sys.modules.pop(CANARY_MODULE, None)
