"""All entries of the corpus, by name."""

from tests.hostile import (
    checkpoints_read,
    checkpoints_refused,
    layouts,
    safetensors_files,
    sizes,
    slow_files,
)

TABLES = (
    sizes,
    slow_files,
    checkpoints_read,
    checkpoints_refused,
    safetensors_files,
    layouts,
)

ALL = [entry for table in TABLES for entry in table.ENTRIES]
CORPUS = {entry.name: entry for entry in ALL}
LOADS = [entry for entry in ALL if entry.error is None]
REFUSED = [entry for entry in ALL if entry.error is not None]
