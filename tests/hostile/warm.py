"""Imported by the process that others are forked from, so that each begins with all it needs."""

import tempfile
from pathlib import Path

from tests.hostile import child, corpus
from tests.hostile.entries import write_whole
from tests.hostile.loading import load

assert child
assert corpus

# What is imported and allocated at the first load is no part of what an entry takes.
with tempfile.TemporaryDirectory() as folder:
    write_whole(Path(folder) / "model")
    load(Path(folder) / "model")
