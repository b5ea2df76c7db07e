"""Label maps: the ids as stored, and the classes that they stand for."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.datasets.label_ids import (
    COCO_STUFF_182,
    COCO_STUFF_ABSENT,
    IGNORED,
    LabelIds,
    parse_label_ids,
)
from modelscope_vitadapter.datasets.label_maps import ids_to_classes, read_label_map
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError

IDS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)
COLOURED = np.stack([IDS, IDS, IDS + np.uint8(1)], axis=2)
WIDE = IDS.astype(np.uint16) * 257


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_palette():
    """Every index has the same colour."""
    image = Image.fromarray(IDS, "L").convert("P")
    image.putdata(IDS.ravel().tolist())
    image.putpalette([7] * 768)
    return image


def turned_by_exif(kind="PNG"):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(IDS), kind, exif=exif)


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        *((encoded(Image.fromarray(IDS), kind), IDS) for kind in ("PNG", "TIFF", "BMP")),
        *((encoded(Image.fromarray(WIDE), kind), WIDE) for kind in ("PNG", "TIFF")),
        (encoded(with_palette()), IDS),
        (turned_by_exif(), IDS),
        (turned_by_exif("TIFF"), IDS),
        (IDS[:, :, None], IDS),
        (torch.from_numpy(IDS)[None], IDS),
        *((encoded(Image.fromarray(IDS).convert(mode)), IDS) for mode in ("RGB", "RGBA", "LA")),
        ({"bytes": encoded(Image.fromarray(IDS)), "path": "inside/archive.png"}, IDS),
        *((one, IDS > 2) for one in (IDS > 2, Image.fromarray(IDS > 2))),
        (encoded(Image.fromarray(IDS > 2)), IDS > 2),
    ],
)
def test_ids_come_as_they_were_stored(source, ids):
    found = read_label_map(source, "x")
    assert found.dtype.kind in "ui"
    np.testing.assert_array_equal(found, ids)


def test_files(tmp_path):
    path = tmp_path / "标签 1.png"
    Image.fromarray(IDS).save(path)
    for source in (path, str(path), Image.open(path), {"bytes": None, "path": str(path)}):
        np.testing.assert_array_equal(read_label_map(source, "x"), IDS)
    with pytest.raises(DataSetNotFoundError, match="the map of x does not exist"):
        read_label_map(tmp_path / "x.png", "the map of x")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (encoded(Image.fromarray(COLOURED)), "colours"),
        (encoded(Image.fromarray(IDS), "JPEG"), "JPEG"),
        (encoded(Image.fromarray(IDS).convert("RGB"), "WEBP"), "WEBP"),
        (b"", "empty"),
        (b"no picture", "can't be read"),
        (encoded(Image.fromarray(IDS))[:50], "can't be read"),
        (IDS.astype(float), "float64"),
        (np.zeros((2, 3, 5), np.uint8), "(2, 3, 5)"),
        (None, "object"),
    ],
)
def test_refusals_name_the_map_and_what_was_expected(source, says):
    with pytest.raises(DataSetError, match=r"label map 'x\.png'.*expected") as caught:
        read_label_map(source, "label map 'x.png'")
    assert says in str(caught.value)


AS_IS, REDUCED = LabelIds(), LabelIds(reduce_zero_label=True)
MAPPED = LabelIds(mapping=(IGNORED, 0, 0, 1))


def translate(label_ids, ids, num_classes, dtype=np.uint8):
    classes = ids_to_classes(np.array([ids], dtype), label_ids, num_classes, "map 'x'")
    assert classes.dtype == np.int16
    return classes[0].tolist()


def refusal(label_ids, ids, num_classes, dtype=np.uint8):
    with pytest.raises(DataSetError, match="map 'x' holds ids that belong to no class") as caught:
        translate(label_ids, ids, num_classes, dtype)
    return str(caught.value)


@pytest.mark.parametrize(
    ("label_ids", "ids", "num_classes", "dtype", "classes"),
    [
        (AS_IS, [0, 2, 255], 3, np.uint8, [0, 2, -1]),
        (AS_IS, [1, -1, 255], 3, np.int64, [1, -1, -1]),
        (AS_IS, [299, 255, 65535], 300, np.uint16, [299, 255, -1]),
        (REDUCED, [0, 1, 3, 255], 3, np.uint8, [-1, 0, 2, -1]),
        (REDUCED, [0, 255], 255, np.uint8, [-1, 254]),
        (LabelIds(ignored=(7,)), [0, 7], 3, np.uint8, [0, -1]),
        (MAPPED, [0, 1, 2, 3, 255], 2, np.uint8, [-1, 0, 0, 1, -1]),
    ],
)
def test_ids_become_classes(label_ids, ids, num_classes, dtype, classes):
    assert translate(label_ids, ids, num_classes, dtype) == classes


@pytest.mark.parametrize(
    ("label_ids", "ids", "dtype", "says"),
    [
        (AS_IS, [0, 3, 3], np.uint8, ["3 (2 pixels)", "0 to 2 for the 3 classes", "255"]),
        (AS_IS, [-2], np.int16, ["-2 (1 pixels)"]),
        (AS_IS, [70000], np.int32, ["70000 (1 pixels)"]),
        (AS_IS, range(3, 40), np.uint8, ["21, 22, ... and 17 more", "'coco-stuff-182'"]),
        (LabelIds(ignored=(7,)), [255], np.uint8, ["255 (1", "7 for pixels"]),
        (MAPPED, [4], np.uint8, ["4 (1", "ids below 4"]),
        (REDUCED, [4], np.uint8, ["1 to 3", "0 or 255 or 65535 for pixels"]),
    ],
)
def test_ids_of_no_class_are_named_and_counted(label_ids, ids, dtype, says):
    message = refusal(label_ids, list(ids), 3, dtype)
    assert [text for text in says if text not in message] == []


def test_coco_stuff_has_171_of_182_ids_that_lead_to_the_classes_of_the_hub_model():
    present = [one for one in range(182) if one not in COCO_STUFF_ABSENT]
    assert translate(COCO_STUFF_182, [*present, 255], 171) == [*range(171), IGNORED]
    for one in COCO_STUFF_ABSENT:
        assert str(one) in refusal(COCO_STUFF_182, [one], 171)
    # Facts of the dataset's labels.md, less one.
    names = {0: "person", 12: "stop sign", 89: "toothbrush", 91: "banner", 181: "wood"}
    golden = Path(__file__).parents[1] / "golden" / "full_size_mmcv_config.py"
    classes = read_config(golden)["CLASSES"]
    found = translate(COCO_STUFF_182, list(names), 171)
    assert [classes[one] for one in found] == list(names.values())


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(DataSetError, match=r"class 170.*7 classes"):
        translate(COCO_STUFF_182, [0], 7)
    assert parse_label_ids("coco-stuff-182") is COCO_STUFF_182
    with pytest.raises(DataSetError, match="as-is, reduce-zero, coco-stuff-182"):
        parse_label_ids("coco")
