"""What is known of a source once it was looked at, before options are applied."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.label_ids import LabelIds


@dataclass(frozen=True)
class Opened:
    """Pairs and what they tell of themselves; see `dataset.PairedDataset`."""

    pairs: Any
    classes: tuple[str, ...] | None = None
    label_ids: LabelIds | None = None
    name: str = "pairs"
    element: str | None = "pair"
    root: Path | None = None
    fingerprint: str | None = None
    layout: str | None = None
