"""Mapillary Vistas: names, and what is not evaluated, stand in its config file."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts.annotations import member, read_json
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "mapillary"
LOOK = "training/images/x.jpg, training/v1.2/labels/x.png with config_v1.2.json, or else v2.0"

VERSIONS = (
    ("v1.2/labels", "config_v1.2.json"),
    ("v2.0/labels", "config_v2.0.json"),
    ("labels", "config.json"),
)
"""Where label maps are, and the file that names their classes."""


def splits(root: Path) -> list[str] | None:
    """Parts that have labels."""
    if not any((root / config).is_file() for _, config in VERSIONS):
        return None
    found = [
        name
        for name in subfolders(root)
        if (root / name / "images").is_dir()
        and any((root / name / labels).is_dir() for labels, _ in VERSIONS)
    ]
    return found or None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs; classes that the config does not evaluate are not counted."""
    folder = root / str(split)
    labels, config = next(one for one in VERSIONS if (folder / one[0]).is_dir())
    if not (root / config).is_file():
        config = next(one for _, one in VERSIONS if (root / one).is_file())
    names, ignored = _classes(root / config)
    pairs = pairs_by_pattern(root, f"{split}/images/{{}}.*", f"{split}/{labels}/{{}}.*")
    return Found(pairs, names, LabelIds(excluded=ignored))


def _classes(path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names of the classes, and the ids of those that are not evaluated."""
    what = f"{str(path)!r}"
    entries = member(read_json(path), "labels", list, what)
    names = tuple(member(one, "readable", str, f"a label of {what}") for one in entries)
    return names, tuple(k for k, one in enumerate(entries) if one.get("evaluate") is False)
