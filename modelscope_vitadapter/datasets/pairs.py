"""Which label map belongs to which picture, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelscope_vitadapter.datasets.folders import LABEL_SUFFIXES, PICTURE_SUFFIXES, files_below
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.logs import get_logger

TRAIN_IDS = "_labelTrainIds"
"""What mmsegmentation's converter adds to a name when it writes COCO-Stuff's 171 class ids."""

ENDINGS = (TRAIN_IDS, "_labels", "_label", "_mask", "_seg", "_gt")
"""What may follow a picture's name in its label map's, the first found counts."""

LISTED = 20

logger = get_logger()


@dataclass(frozen=True)
class Pair:
    """The files of a picture and its label map."""

    image: Path
    label: Path


def pair_up(images: Path, labels: Path, *, skip_missing: bool = False) -> list[Pair]:
    """Pair the files below two folders, or below one that holds both.

    A label map is called as its picture but for its suffix, which is one of a format without loss;
    one of `ENDINGS` may stand before it. Of `x.png` and `x_labelTrainIds.png` the latter counts.
    Folders below the two must be alike.

    Args:
        images: Folder of the pictures.
        labels: Folder of the label maps, perhaps the same.
        skip_missing: Leave pictures without a label map out, with a note in the log.

    Returns:
        The pairs, in the order of the pictures' names.

    Raises:
        DataSetError: There are no pictures, pictures have no label map, or two have the same.
    """
    maps = _by_key(labels, files_below(labels, LABEL_SUFFIXES))
    pictures = list(files_below(images, PICTURE_SUFFIXES))
    if images == labels:
        pictures = _without_label_maps(images, pictures)
    pairs, missing = [], []
    for picture in pictures:
        label = _label_of(_key(images, picture), picture, maps)
        if label is None:
            missing.append(picture)
        else:
            pairs.append(Pair(picture, label))
    if not pictures:
        raise DataSetError(
            f"folder {str(images)!r} holds no pictures: expected files such as .jpg or .png"
        )
    if missing:
        text = _missing(missing, len(pictures), labels)
        if not skip_missing or not pairs:
            raise DataSetError(text)
        logger.warning("left out: %s", text)
    _check_distinct(pairs)
    return pairs


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _by_key(root: Path, paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_key(root, path), []).append(path)
    return found


def _label_of(key: str, picture: Path, maps: dict[str, list[Path]]) -> Path | None:
    for ending in (*ENDINGS, ""):
        others = [path for path in maps.get(key + ending, ()) if path != picture]
        if others:
            return others[0]
    return None


def _without_label_maps(root: Path, files: list[Path]) -> list[Path]:
    """Of pictures and label maps in one folder, the pictures.

    `x_mask.png` beside `x.png` or `x.jpg` is a label map, and so is `x.png` beside `x.jpg`.
    """
    by_key = _by_key(root, files)

    def is_label_map(path: Path) -> bool:
        if path.suffix.lower() not in LABEL_SUFFIXES:
            return False
        key = _key(root, path)
        stems = [key.removesuffix(ending) for ending in ENDINGS if key.endswith(ending)]
        if any(stem in by_key for stem in stems):
            return True
        return any(one.suffix.lower() not in LABEL_SUFFIXES for one in by_key[key])

    return [path for path in files if not is_label_map(path)]


def _missing(missing: list[Path], total: int, labels: Path) -> str:
    shown = "".join(f"\n  {path}" for path in missing[:LISTED])
    rest = f"\n  and {len(missing) - LISTED} others" if len(missing) > LISTED else ""
    return (
        f"{len(missing)} of {total} pictures have no label map in {str(labels)!r}, expected one of "
        f"the same name with the suffix .png for each; add them, remove the pictures, or set "
        f"skip_missing:{shown}{rest}"
    )


def _check_distinct(pairs: list[Pair]) -> None:
    seen: dict[Path, Path] = {}
    for pair in pairs:
        other = seen.setdefault(pair.label, pair.image)
        if other != pair.image:
            raise DataSetError(
                f"label map {str(pair.label)!r} belongs to two pictures, {str(other)!r} and "
                f"{str(pair.image)!r}: keep one of them"
            )
