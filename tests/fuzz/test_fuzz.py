"""The short run: the same inputs every time, in a process of its own."""

import pytest

from tests.fuzz.campaign import Tally, run_worker
from tests.fuzz.kinds import KINDS
from tests.fuzz.lines import LOADER, share
from tests.fuzz.report import tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tally(tmp_path_factory):
    tally = Tally()
    run_worker(tally, list(KINDS), tmp_path_factory.mktemp("failures"), traced=True)
    return tally


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_loads_or_is_refused(tally, kind):
    assert [each for each in tally.failures if each["kind"] == kind] == []
    counts = tally.counts[kind]
    assert counts["loaded"] + counts["refused"] == counts["tried"] >= KINDS[kind].examples


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_get_past_the_parser(tally, kind):
    counts = tally.counts[kind]
    assert counts["loaded"] >= 0.02 * counts["tried"]
    assert counts["refused"] >= 0.02 * counts["tried"] or kind == "checkpoint, valid"


def test_inputs_reach_the_lines(tally):
    assert share(tally.lines, LOADER) >= 80, tables(tally)
