"""Each format as other programs read it: their libraries, or what their documents say."""

import json
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from modelscope_vitadapter.datasets.layouts import cvat_xml as cvat_layout
from modelscope_vitadapter.datasets.layouts import labelme as labelme_layout
from modelscope_vitadapter.datasets.layouts import yolo as yolo_layout
from modelscope_vitadapter.formats import (
    coco_panoptic,
    coco_rle,
    cvat_xml,
    fiftyone,
    id_png,
    label_studio,
    labelme,
    npz,
    yolo,
)
from tests.formats.makers import CLASSES, PALETTE, assert_same, examples, labelled, many_classes
from tests.formats.makers import nested as nested_map


def by_dataset(found, classes=CLASSES):
    """Class maps as a dataset has them, with our ids again; its background stands for no class."""
    meant = np.array([classes.index(one) if one in classes else -1 for one in found.classes])
    return [meant[labels.ids()] for _, labels in found.pairs]


def write_images(folder, many):
    for one in many:
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", one.size[::-1]).save(path)


def test_pillow_reads_ids_and_palette(tmp_path):
    path = tmp_path / "1.png"
    for one in examples():
        id_png.write(path, one)
        with Image.open(path) as image:
            assert image.mode == "P"
            ids, colours = np.asarray(image).astype(int), np.asarray(image.convert("RGB"))
        assert (np.where(ids == 255, -1, ids) == one.class_map).all()
        known = ids != 255
        assert (colours[known] == np.array(PALETTE)[ids[known]]).all()
        found = id_png.read(path, CLASSES)
        assert (found.class_map == one.class_map).all() and found.palette == PALETTE
    one = many_classes()
    id_png.write(path, one)
    with Image.open(path) as image:
        ids = np.asarray(image).astype(int)
    assert (np.where(ids == 65535, -1, ids) == one.class_map).all()
    assert (id_png.read(path, one.classes).class_map == one.class_map).all()


def test_255_classes_are_the_most_of_8_bits(tmp_path):
    path = tmp_path / "1.png"
    for count, modes in ((255, {"L"}), (256, {"I", "I;16"})):
        names = tuple(map(str, range(count)))
        id_png.write(path, labelled([[count - 1, -1]], classes=names, palette=None))
        with Image.open(path) as image:
            assert image.mode in modes
        assert id_png.read(path).class_map.tolist() == [[count - 1, -1]]


@pytest.mark.parametrize("compressed", [True, False])
def test_pycocotools_reads_run_lengths(compressed, tmp_path, monkeypatch):
    path, many = tmp_path / "instances.json", examples()
    with monkeypatch.context() as patch:
        if not compressed:
            patch.setitem(sys.modules, "pycocotools", None)
        coco_rle.write(path, many)
        if not compressed:
            for one, other in zip(coco_rle.read(path), many, strict=True):
                assert_same(one, other)
    coco = COCO(path)
    assert [coco.cats[one]["name"] for one in coco.getCatIds()] == list(CLASSES)
    for image_id, one in zip(coco.getImgIds(), many, strict=True):
        class_map = np.full(one.size, -1)
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            pixels = coco.annToMask(annotation).astype(bool)
            assert isinstance(annotation["segmentation"]["counts"], str) == compressed
            assert annotation["area"] == np.count_nonzero(pixels)
            y, x = np.nonzero(pixels)
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert annotation["bbox"] == box
            class_map[pixels] = annotation["category_id"] - 1
        assert (class_map == one.class_map).all()


def test_compressed_run_lengths_need_pycocotools(tmp_path, monkeypatch):
    coco_rle.write(tmp_path / "1.json", [labelled(nested_map())])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(Exception, match=r"modelscope-vitadapter\[coco\]"):
        list(coco_rle.read(tmp_path / "1.json"))


def test_panoptic_segments_are_as_the_format_says(tmp_path):
    many = [*examples()[:5]]
    coco_panoptic.write(tmp_path / "panoptic.json", many)
    content = json.loads((tmp_path / "panoptic.json").read_text("utf-8"))
    assert {one["isthing"] for one in content["categories"]} == {0}
    assert [tuple(one["color"]) for one in content["categories"]] == list(PALETTE)
    for one, annotation in zip(many, content["annotations"], strict=True):
        rgb = np.asarray(Image.open(tmp_path / "panoptic" / annotation["file_name"])).astype(int)
        segments = rgb[..., 0] + 256 * rgb[..., 1] + 256**2 * rgb[..., 2]
        assert (segments[one.class_map == -1] == 0).all()
        for segment in annotation["segments_info"]:
            pixels = segments == segment["id"]
            assert (pixels == (one.class_map == segment["category_id"] - 1)).all()
            assert segment["area"] == np.count_nonzero(pixels)
        numbers = {segment["id"] for segment in annotation["segments_info"]}
        assert set(np.unique(segments)) - {0} == numbers


def test_labelme_files_are_a_dataset_of_ours(tmp_path):
    many = [labelled(one.class_map, f"{number}.jpg") for number, one in enumerate(examples())]
    write_images(tmp_path, many)
    for one in many:
        labelme.write(tmp_path / one.name.replace("jpg", "json"), one)
    found = by_dataset(labelme_layout.find(tmp_path, None))
    order = sorted(many, key=lambda one: one.name)
    assert all((one == other.class_map).all() for one, other in zip(found, order, strict=True))


def test_pillow_fills_polygons_up_to_their_border(tmp_path):
    """labelme draws shapes by Pillow, which adds the border, and so the cuts, to the inside."""
    class_map = np.kron(np.maximum(nested_map(), 0), np.ones((20, 20), int))
    labelme.write(tmp_path / "1.json", labelled(class_map))
    drawn = np.zeros((4, *class_map.shape), bool)
    for shape in json.loads((tmp_path / "1.json").read_text("utf-8"))["shapes"]:
        mask = Image.new("L", class_map.shape[::-1])
        points = [tuple(point) for point in shape["points"]]
        ImageDraw.Draw(mask).polygon(points, outline=1, fill=1)
        drawn[CLASSES.index(shape["label"])] |= np.asarray(mask, bool)
    for class_id, pixels in enumerate(drawn):
        assert pixels[class_map == class_id].all()
        assert np.count_nonzero(pixels & (class_map != class_id)) < 0.08 * class_map.size


def test_cvat_files_are_a_dataset_of_ours(tmp_path):
    many = examples()
    write_images(tmp_path / "images", many)
    cvat_xml.write(tmp_path / "annotations.xml", many)
    found = by_dataset(cvat_layout.find(tmp_path, None))
    assert all((one == other.class_map).all() for one, other in zip(found, many, strict=True))


def test_yolo_files_are_a_dataset_of_ours(tmp_path):
    many = [labelled(one.class_map, f"{number}.jpg") for number, one in enumerate(examples())]
    write_images(tmp_path / "images", many)
    yolo.write_classes(tmp_path / "data.yaml", CLASSES)
    for one in many:
        text = tmp_path / "labels" / one.name.replace("jpg", "txt")
        yolo.write(text, one)
        assert yolo.read(text, classes=CLASSES).name == one.name  # the size is the image's
    found = by_dataset(yolo_layout.find(tmp_path, None))
    order = sorted(many, key=lambda one: one.name)
    assert all((one == other.class_map).all() for one, other in zip(found, order, strict=True))


def rle_pack(content):
    """Decodes rle-pack's form, as its README describes it, bit by bit."""
    bits = "".join(f"{one:08b}" for one in content)
    place = 0

    def take(width):
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    total, width = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_run, count = take(1), take(sizes[take(2)]) + 1
        values += [take(width)] * count if is_run else [take(width) for _ in range(count)]
    return np.array(values)


def test_label_studio_brushes_decode_as_its_code_says(tmp_path):
    wide = labelled(np.repeat([[0, 1, 2, -1, 1]], [70000, 1, 3, 20, 16384], axis=1))
    for one in (wide, *examples()):
        label_studio.write(tmp_path / "1.json", [one], address="s3://bucket/")
        (task,) = json.loads((tmp_path / "1.json").read_text("utf-8"))
        assert task["data"] == {"image": f"s3://bucket/{one.name}"}
        class_map = np.full(one.size, -1)
        for result in task["predictions"][0]["result"]:
            size = result["original_height"], result["original_width"], 4
            rgba = rle_pack(result["value"]["rle"]).reshape(size)
            (label,) = result["value"]["brushlabels"]
            class_map[rgba[..., 3] == 255] = CLASSES.index(label)
        assert (class_map == one.class_map).all()
        assert_same(next(label_studio.read(tmp_path / "1.json")), one)


def test_a_brush_of_an_annotator_is_read(tmp_path):
    """Label Studio's own code has pieces of values that are not repeated, and soft edges."""
    path = tmp_path / "1.json"
    label_studio.write(path, [labelled([[0, 0, 0]])])
    (task,) = json.loads(path.read_text("utf-8"))
    opacity = [0, 7, 255]
    bits = f"{12:032b}{7:05b}" + "".join(f"{one:04b}" for one in (2, 3, 7, 15))
    bits += "0" + "01" + f"{11:04b}" + "".join(f"{0:024b}{one:08b}" for one in opacity)
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    value = {"format": "rle", "rle": code, "brushlabels": ["tree"]}
    task["annotations"] = [{"result": [{"value": value}]}]
    path.write_text(json.dumps([task]))
    assert next(label_studio.read(path)).class_map.tolist() == [[-1, 3, 3]]


def test_fiftyone_finds_masks_by_the_images_path(tmp_path):
    many = examples()
    fiftyone.write(tmp_path, many)
    targets = json.loads((tmp_path / "mask_targets.json").read_text("utf-8"))
    assert targets == {str(one + 1): name for one, name in enumerate(CLASSES)}
    places = json.loads((tmp_path / "data.json").read_text("utf-8"))
    masks = sorted(one.relative_to(tmp_path / "labels") for one in tmp_path.rglob("*.png"))
    assert [one.with_suffix(".jpg").as_posix() for one in masks] == sorted(places)
    for one in many:
        mask = np.asarray(Image.open((tmp_path / "labels" / one.name).with_suffix(".png")))
        assert mask.dtype == np.uint8 and (mask.astype(int) - 1 == one.class_map).all()


def test_numpy_reads_arrays(tmp_path):
    npz.write(tmp_path / "1.npz", labelled(nested_map()))
    with np.load(tmp_path / "1.npz", allow_pickle=False) as arrays:
        assert (arrays["class_map"] == nested_map()).all()
        assert arrays["classes"].tolist() == list(CLASSES)
        assert arrays["palette"].tolist() == [list(one) for one in PALETTE]
