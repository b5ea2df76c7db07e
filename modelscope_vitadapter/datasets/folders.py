"""Where in a folder the images and the label maps of a split are, and which belong together."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from modelscope_vitadapter.datasets.label_ids import COCO_STUFF_182, LabelIds
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
LABEL_FOLDERS = ("labels", "label", "annotations", "masks", "stuffthingmaps")
"""What the folders beside each other may be called, in the order in which they are looked for."""

LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".pgm", ".tga"})

TRAIN_IDS = "_labelTrainIds"
ENDINGS = (TRAIN_IDS, "_labels", "_label", "_mask", "_seg", "_gt", "")
"""What may follow an image's name in its label map's, the first found counts; above all what
mmsegmentation's converter adds when it writes COCO-Stuff's 171 class ids."""

COCO_FOLDERS, COCO_SPLITS = ("annotations", "stuffthingmaps"), ("train2017", "val2017")
COCO_NAME = re.compile(r"\d{12}")

_NAMES = [(one, other) for one in IMAGE_FOLDERS for other in LABEL_FOLDERS]

logger = get_logger()


def folders_of_split(root: Path, split: str | None) -> tuple[Path, Path, str | None]:
    """Finds the folder of the images, that of the label maps (it may be the same), and the split.

    Looked for are, with `images` and `labels` or another name of `IMAGE_FOLDERS` and
    `LABEL_FOLDERS`: `ROOT/images/SPLIT` beside `ROOT/labels/SPLIT`, `ROOT/SPLIT/images` beside
    `ROOT/SPLIT/labels`, `ROOT/SPLIT` beside `ROOT/labels/SPLIT`; and `ROOT/SPLIT` or `ROOT` alone,
    with images and label maps in one folder. A dataset with a single split needs no name of it.

    Raises:
        DataSetNotFoundError: there is no such folder or split.
        DataSetError: there are several splits and none was chosen, or a folder is missing.
    """
    _check_folder(root)
    there = _splits(root)
    if split is None and len(there) > 1:
        raise DataSetError(
            f"{str(root)!r} has the splits {', '.join(there)}: choose one, split={there[0]!r}"
        )
    if split is None and there:
        split = there[0]
    found = [(images, labels) for images, labels in _places(root, split) if images.is_dir()]
    for images, labels in found:
        if images == labels or next(files_below(labels, LABEL_SUFFIXES), None) is not None:
            return images, labels, split
    if found:
        expected = ", ".join(f"{name}/{split}" if split else name for name in LABEL_FOLDERS)
        raise DataSetError(
            f"{str(found[0][0])!r} has no folder of label maps beside it: expected one of "
            f"{expected} in {str(root)!r}"
        )
    known = f"there are {', '.join(there)}" if there else "no splits were found in it"
    raise DataSetNotFoundError(f"{str(root)!r} has no split {split!r}; {known}")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataSetNotFoundError(
            f"dataset folder {str(folder)!r} does not exist, or is no folder; expected images/ "
            "beside labels/"
        )


def files_below(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """The files below a folder with one of some suffixes, in the order of their names.

    Hidden files and folders are passed over, among them what macOS leaves beside files.
    """
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(current, name)


def _places(root: Path, split: str | None) -> Iterator[tuple[Path, Path]]:
    """Where images and label maps may be, in the order in which they are looked for."""
    folder = root if split is None else root / split
    if split is not None:
        yield from ((root / one / split, root / other / split) for one, other in _NAMES)
    yield from ((folder / one, folder / other) for one, other in _NAMES)
    if split is not None:
        beside = [root / name / split for name in LABEL_FOLDERS]
        yield from ((folder, labels) for labels in beside if labels.is_dir())
    if not _image_folders(folder):
        yield folder, folder


def _splits(root: Path) -> list[str]:
    """Names of the splits that a dataset's folders show."""
    images = _image_folders(root)
    if not images:
        return [name for name in _subfolders(root) if _image_folders(root / name)]
    if any(one.suffix.lower() in IMAGE_SUFFIXES for one in images[0].iterdir()):
        return []
    return [
        split
        for split in _subfolders(images[0])
        if any((root / name / split).is_dir() for name in LABEL_FOLDERS)
    ]


def _image_folders(root: Path) -> list[Path]:
    return [root / name for name in IMAGE_FOLDERS if (root / name).is_dir()]


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")
    )


def pair_up(images: Path, labels: Path, *, skip_missing: bool) -> list[tuple[Path, Path]]:
    """Pairs the files below two folders, or below one that holds both, in order of images' names.

    A label map is called as its image but for its suffix, which is one of a format without loss;
    one of `ENDINGS` may stand before it. Folders below the two must be alike. In one folder
    `x_mask.png` beside `x.png` or `x.jpg` is a label map, and so is `x.png` beside `x.jpg`. With
    `skip_missing` images without a label map are left out, with a note in the log.

    Raises:
        DataSetNotFoundError: a folder does not exist.
        DataSetError: there are no images, or images have no label map.
    """
    _check_folder(images)
    _check_folder(labels)
    maps, found = defaultdict[str, list[Path]](list), dict[Path, list[Path]]()
    for path in files_below(labels, LABEL_SUFFIXES):
        maps[_key(labels, path)].append(path)
    for path in files_below(images, IMAGE_SUFFIXES):
        keys = [_key(images, path) + ending for ending in ENDINGS]
        found[path] = [one for key in keys for one in maps.get(key, ()) if one != path]
    if images == labels:  # what can be another file's label map is no image
        label_maps = {one for candidates in found.values() for one in candidates}
        found = {path: candidates for path, candidates in found.items() if path not in label_maps}
    if not found:
        raise DataSetError(
            f"folder {str(images)!r} holds no images: expected files such as .jpg or .png"
        )
    pairs = [(path, candidates[0]) for path, candidates in found.items() if candidates]
    missing = [str(path) for path, candidates in found.items() if not candidates]
    if missing:
        text = (
            f"{len(missing)} of {len(found)} images have no label map in {str(labels)!r}, expected "
            "one of the same name with the suffix .png for each; add them, remove the images, or "
            "set skip_missing:\n  " + listing(missing, "\n  ")
        )
        if not skip_missing or not pairs:
            raise DataSetError(text)
        logger.warning("left out: %s", text)
    return pairs


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def usual_label_ids(pairs: list[tuple[Path, Path]], labels: Path) -> LabelIds:
    """What ids stand for where nothing was said: class ids, but in COCO-Stuff's own label maps.

    These are all in a folder `stuffthingmaps`, and those that are called as COCO's images, without
    `_labelTrainIds`, in `annotations/train2017` or `annotations/val2017`.

    Raises:
        DataSetError: some of COCO-Stuff's label maps were converted and others were not.
    """
    original = [pair for pair in pairs if not pair[1].stem.endswith(TRAIN_IDS)]
    is_coco = "stuffthingmaps" in (labels.name, labels.parent.name) or (
        labels.name in COCO_SPLITS
        and labels.parent.name in COCO_FOLDERS
        and all(COCO_NAME.fullmatch(label.stem) for _, label in original)
    )
    if not original or not is_coco:
        return LabelIds()
    if len(original) < len(pairs):
        raise DataSetError(
            f"{str(labels)!r} holds COCO-Stuff's label maps in both forms, and "
            f"{len(original)} of {len(pairs)} images have no {TRAIN_IDS}.png, such as "
            f"{original[0][0].name}: convert all of them, or keep one form"
        )
    logger.info("%s: ids of COCO-Stuff's original 182 classes are mapped to its 171", labels)
    return COCO_STUFF_182
