"""What runs in a process of its own: an entry, then the well-formed directory."""

import sys

from tests.hostile.loading import load


def run_entries(jobs, whole, connection):
    """Load directories one after the other, each followed by the well-formed one.

    Args:
        jobs: pairs of an entry's name and its directory.
        whole: the well-formed directory.
        connection: takes, for each job, what came of it and of the well-formed one.
    """
    from tests.hostile.corpus import CORPUS

    for name, directory in jobs:
        sys.path.insert(0, str(directory))  # as if the user had started Python in it
        hostile = load(directory, CORPUS[name].check)
        sys.path.remove(str(directory))
        connection.send((hostile, load(whole)))
    connection.close()
