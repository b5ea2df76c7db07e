"""Images and label maps in two folders beside each other, or in one: what people make themselves.

Also what fine-tuning tools and mmsegmentation's converters write (`img_dir` beside `ann_dir`).
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from modelscope_vitadapter.datasets.files import (
    LABEL_SUFFIXES,
    Pair,
    files_below,
    holds_images,
    is_split_name,
    is_whole,
    key_of,
    subfolders,
)
from modelscope_vitadapter.datasets.label_ids import COCO_STUFF_182, LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import either, option
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

NAME = "folders"
LOOK = (
    "images/SPLIT/x.jpg beside labels/SPLIT/x.png, SPLIT/images beside SPLIT/labels, SPLIT beside "
    "SPLIT_masks, without splits, or both in one folder; x.png or x_mask.png"
)

IMAGE_FOLDERS = (
    *("images", "image", "imgs", "img", "img_dir", "JPEGImages", "input"),
    *("\u539f\u56fe", "\u56fe\u50cf", "\u56fe\u7247"),  # Chinese for images
)
LABEL_FOLDERS = (
    *("labels", "label", "annotations", "masks", "mask", "stuffthingmaps", "ann_dir", "gt"),
    *("ann", "annotation", "segmentation", "SegmentationClass", "groundtruth", "target"),
    *("\u6807\u7b7e", "\u6807\u6ce8", "\u63a9\u7801", "\u63a9\u819c"),  # labels, masks
)
"""What the folders beside each other may be called, in the order in which they are looked for."""

BESIDE = ("{}annot", "{}_labels", "{}_label", "{}_masks", "{}_mask", "{}_gt", "{}_annotations")
"""What the folder of a split's label maps may be called, beside that of its images."""

ENDINGS_OF_IMAGES = ("", "_images", "_image", "_imgs", "_img")
"""What may follow the split's name in the folder of its images then."""

TRAIN_IDS = "_labelTrainIds"
ENDINGS = (
    *("", TRAIN_IDS, "_labels", "_label", "_mask", "_masks", "_seg", "_gt", "_L", "_P"),
    *("_instance_color_RGB", "_segmentation", "_labelIds", "_annotation"),
)
"""What may follow an image's name in its label map's: one of them in a whole folder, the first that
is there; of mmsegmentation's converters, CamVid, Carvana, iSAID and tools."""

COCO_FOLDERS, COCO_SPLITS = ("annotations", "stuffthingmaps"), ("train2017", "val2017")
COCO_NAME = re.compile(r"\d{12}")

logger = get_logger()


def splits(root: Path) -> list[str] | None:
    """The parts that folders of a folder show; None where there are no images in their places."""
    images = named(root, IMAGE_FOLDERS)
    if images:
        return [] if holds_images(images[0]) else subfolders(images[0])
    there = subfolders(root)
    beside = {
        split
        for name in there
        for ending in ENDINGS_OF_IMAGES
        if name.endswith(ending)
        and any(form.format(split := name.removesuffix(ending)) in there for form in BESIDE)
    }
    below = {name for labels in named(root, LABEL_FOLDERS) for name in subfolders(labels)}
    found = beside | {
        name
        for name in there
        if name in below
        or any(not is_whole(root / name, one) for one in named(root / name, IMAGE_FOLDERS))
        or (is_split_name(name) and holds_images(root / name))
    }
    return sorted(found) if found or holds_images(root) else None


def find(root: Path, split: str | None) -> Found:
    """Pairs of the first of the places that there are.

    Raises:
        DataSetError: there is no folder of label maps, or there are no images.
    """
    for images, labels in _places(root, split):
        if images.is_dir() and next(files_below(labels, LABEL_SUFFIXES), None) is not None:
            pairs = pair_up(images, labels)
            return Found(pairs, label_ids=usual_label_ids(pairs, labels))
    _refuse_other_labels(list(_places(root, split)))
    folder = root if split is None else root / split
    expected = ", ".join(f"{name}/{split}" if split else name for name in LABEL_FOLDERS[:4])
    raise DataSetError(
        f"{str(folder)!r} has no folder of label maps beside its images: expected one of "
        f"{expected} in {str(root)!r}; {either('two folders (images, labels)', '--labels FOLDER')} "
        "names another"
    )


def has_label_maps(root: Path) -> bool:
    """Whether any image of any part has a label map."""
    parts = splits(root)
    places: list[str | None] = [None, *(parts or [])]
    for split in () if parts is None else places:
        with contextlib.suppress(DataSetError):
            if any(label is not None for _, label in find(root, split).pairs):
                return True
    return False


def _refuse_other_labels(places: list[tuple[Path, Path]]) -> None:
    """Says what there is in place of label maps, where there is something."""
    for images, labels in places:
        if images == labels:
            continue
        others = sorted({one.suffix.lower() for one in files_below(labels, IMAGE_SUFFIXES)})
        others += [one.name for one in labels.glob("*.txt")][:1] if labels.is_dir() else []
        if others:
            raise DataSetError(
                f"{str(labels)!r} holds files such as {others[0]}, no label maps: expected a class "
                f"id for each pixel in {', '.join(sorted(LABEL_SUFFIXES))}. JPEG changes ids when "
                "it is saved; boxes in text files say nothing of pixels"
            )


def _places(root: Path, split: str | None) -> Iterator[tuple[Path, Path]]:
    """Where images and label maps may be, in the order in which they are looked for."""
    folder, labels_of_root = root, named(root, LABEL_FOLDERS)
    if split is not None:
        folder = root / split
        images = [one / split for one in named(root, IMAGE_FOLDERS)]
        yield from product(images, [one / split for one in labels_of_root])
    images = named(folder, IMAGE_FOLDERS)
    yield from product(images, named(folder, LABEL_FOLDERS))
    if split is not None:
        yield from ((folder, one / split) for one in labels_of_root)
        beside = [root / form.format(split) for form in BESIDE]
        yield from product([root / f"{split}{one}" for one in ENDINGS_OF_IMAGES], beside)
    if not images:
        yield from ((folder, labels) for labels in named(folder, LABEL_FOLDERS))
        yield folder, folder


def named(folder: Path, names: Sequence[str]) -> list[Path]:
    """The folders in a folder that have some of these names, in any case."""
    there = {name.lower(): name for name in subfolders(folder)}
    return [folder / there[name.lower()] for name in names if name.lower() in there]


def pair_up(images: Path, labels: Path) -> list[Pair]:
    """Pairs the files below two folders, or below one that holds both, in order of images' names.

    A label map is called as its image but for its suffix, which is one of a format without loss;
    where no image has such a map, one of `ENDINGS` stands before it, the same in the whole folder.
    Folders below the two must be alike. In one folder `x_mask.png` beside `x.png` or `x.jpg` is a
    label map, and so is `x.png` beside `x.jpg`.

    Raises:
        DataSetNotFoundError: a folder does not exist.
        DataSetError: there are no images, or it can't be told what belongs together.
    """
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataSetNotFoundError(f"folder {str(folder)!r} does not exist, or is no folder")
    images, labels = _unpacked(images), _unpacked(labels)
    without = labels if labels != images else None
    found = files_below(images, IMAGE_SUFFIXES, without=without)
    pictures = {path: key_of(images, path) for path in found}
    if not pictures:
        raise DataSetError(
            f"folder {str(images)!r} holds no images: expected files such as .jpg or .png"
        )
    maps: dict[str, list[Path]] = {}
    for path in files_below(labels, LABEL_SUFFIXES):
        maps.setdefault(key_of(labels, path), []).append(path)
    best: dict[Path, Path] = {}
    for ending in ENDINGS:
        chosen = {}
        for path, key in pictures.items():
            label = next((one for one in maps.get(key + ending, ()) if one != path), None)
            if label is not None:
                chosen[path] = label
        if len(chosen) > len(best):
            best = chosen
        if best and ending == "":
            break
    _check_single(best, maps)
    label_maps = set(best.values())  # in one folder, what is another file's label map is no image
    return [(path, best.get(path)) for path in pictures if path not in label_maps]


def _check_single(chosen: dict[Path, Path], maps: dict[str, list[Path]]) -> None:
    """Refuses two images that share a label map, and an image that has two, by their names."""
    images: dict[Path, Path] = {}
    several = {path: found for found in maps.values() if len(found) > 1 for path in found}
    for image, label in chosen.items():
        others = [one for one in several.get(label, ()) if one not in (label, image)]
        if label in images or others:
            first, second = (label, others[0]) if others else (images[label], image)
            raise DataSetError(
                f"{str(first)!r} and {str(second)!r} have the same name but for their suffixes, so "
                "that it can't be told which belongs to which: rename or remove one of them"
            )
        images[label] = image


def _unpacked(folder: Path) -> Path:
    """The folder in a folder that has the same name, as an archive is unpacked to."""
    inside = folder / folder.name
    return inside if inside.is_dir() and not holds_images(folder) else folder


def usual_label_ids(pairs: list[Pair], labels: Path) -> LabelIds | None:
    """COCO-Stuff's original ids, where label maps are told to have them; else None.

    These are all in a folder `stuffthingmaps`, and those that are called as COCO's images, without
    `_labelTrainIds`, in `annotations/train2017` or `annotations/val2017`.
    """
    original = [label for _, label in pairs if label and not label.stem.endswith(TRAIN_IDS)]
    is_coco = "stuffthingmaps" in (labels.name, labels.parent.name) or (
        labels.name in COCO_SPLITS
        and labels.parent.name in COCO_FOLDERS
        and all(COCO_NAME.fullmatch(label.stem) for label in original)
    )
    if not original or not is_coco:
        return None
    logger.info("%s: ids of COCO-Stuff's original 182 classes are mapped to its 171", labels)
    return COCO_STUFF_182


def missing_label_maps(pairs: list[Pair]) -> str:
    """Says which images have no label map."""
    missing = [str(image) for image, label in pairs if label is None]
    nested = sorted({Path(one).parent.name for one in missing} & set(LABEL_FOLDERS))
    hint = (
        f" Some lie in a folder {nested[0]!r}, so they may be label maps themselves: "
        f"{option('pairs', ('{}/images/{}.jpg', '{}/masks/{}.png'))} says what belongs together."
        if nested
        else ""
    )
    return (
        f"{len(missing)} of {len(pairs)} images have no label map, expected one of the same name "
        f"with the suffix .png for each; add them, remove the images, or leave them out with "
        f"{option('skip_missing', True)}.{hint}\n  " + listing(missing, "\n  ")
    )
