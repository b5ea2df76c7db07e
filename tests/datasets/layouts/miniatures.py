"""Miniature copies of public datasets and of what tools export, as they lie on disk.

Each maker writes two images for each of its parts. The true classes of every image are `TRUTH`:
class 0 above, class 1 below, on the left a strip that is not counted where the layout knows such
pixels, else of class 0. Images are larger than their parts so that a model can be trained on them.
"""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = HEIGHT, WIDTH = 40, 48
STRIP = 4
TRUTH = np.zeros(SIZE, np.int16)
TRUTH[HEIGHT // 2 :] = 1
TRUTH[:, :STRIP] = -1

COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), -1: (224, 224, 192)}


def ids(zero=0, one=1, ignored=255):
    """The label map with these ids for class 0, class 1 and what is not counted."""
    table = {0: zero, 1: one, -1: ignored}
    return np.vectorize(table.get)(TRUTH).astype(np.uint8)


def colours(zero=COLOURS[0], one=COLOURS[1], ignored=COLOURS[-1]):
    table = np.array([zero, one, ignored], np.uint8)
    return table[TRUTH]


def image(path: Path, number=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def label(path: Path, array, mode=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = Image.fromarray(array)
    (found.convert(mode) if mode else found).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def both(root, images, labels, array, parts=("train", "val"), names=("a", "b")):
    """Writes images and label maps by patterns with `{s}` for the part and `{n}` for the name."""
    for part in parts:
        for number, name in enumerate(names):
            image(root / images.format(s=part, n=name), number)
            label(root / labels.format(s=part, n=name), array)


def ade20k(root):
    parts, at = ("training", "validation"), "ADE_{s}_0000000{n}"
    both(root, f"images/{{s}}/{at}.jpg", f"annotations/{{s}}/{at}.png", ids(1, 2, 0), parts, "12")


def cityscapes(root):
    at = "{s}/ulm/ulm_00000{n}_000019_"
    both(
        root,
        f"leftImg8bit/{at}leftImg8bit.png",
        f"gtFine/{at}gtFine_labelTrainIds.png",
        ids(),
        names="12",
    )


def cityscapes_ids(root):
    cityscapes(root)
    for path in root.glob("gtFine/**/*_labelTrainIds.png"):
        path.unlink()
        label(Path(str(path).replace("TrainIds", "Ids")), ids(7, 8, 3))


def kitti(root):
    both(
        root,
        "{s}/image_2/00000{n}_10.png",
        "{s}/semantic/00000{n}_10.png",
        ids(7, 8, 3),
        ("training",),
        "01",
    )


def voc(root):
    root = root / "VOCdevkit" / "VOC2012"
    for part in ("train", "val"):
        names = [f"2007_0000{number}{len(part)}" for number in (1, 2)]
        text(root / "ImageSets" / "Segmentation" / f"{part}.txt", "\n".join(names))
        both(root, "JPEGImages/{n}.jpg", "SegmentationClass/{n}.png", ids(), (part,), names)


def pascal_context(root):
    for part in ("train", "val"):
        names = [f"2008_0000{number}{len(part)}" for number in (1, 2)]
        text(root / "ImageSets" / "SegmentationContext" / f"{part}.txt", "\n".join(names))
        both(root, "JPEGImages/{n}.jpg", "SegmentationClassContext/{n}.png", ids(), (part,), names)


def labelme2voc(root):
    text(root / "class_names.txt", "_background_\ncat")
    both(root, "JPEGImages/{n}.jpg", "SegmentationClassPNG/{n}.png", ids(), ("",))
    label(root / "SegmentationClassVisualization" / "a.jpg", colours())


def cvat_masks(root):
    red, black, odd = (",".join(map(str, COLOURS[one])) for one in (1, 0, -1))
    lines = f"# label:color_rgb:parts:actions\nbackground:{black}::\ncat:{red}::\nignore:{odd}::\n"
    text(root / "labelmap.txt", lines)
    text(root / "ImageSets" / "Segmentation" / "default.txt", "a\nb")
    both(root, "JPEGImages/{n}.jpg", "SegmentationClass/{n}.png", colours(), ("",))


def loveda(root):
    at = "{s}/Urban/{kind}_png/{n}.png"
    images, labels = (at.replace("{kind}", kind) for kind in ("images", "masks"))
    both(root, images, labels, ids(1, 2, 0), ("Train", "Val"), "12")


def camvid(root):
    both(root, "{s}/0001TP_00{n}.png", "{s}annot/0001TP_00{n}.png", ids(ignored=11), names="12")


def camvid_colours(root):
    text(root / "label_colors.txt", "0 0 0\tSky\n128 0 0\tBuilding\n224 224 192\tVoid\n")
    labels = "LabeledApproved_full/0001TP_{n}_L.png"
    both(root, "701_StillsRaw_full/0001TP_{n}.png", labels, colours(), ("",))


def camvid_kaggle(root):
    text(root / "class_dict.csv", "name,r,g,b\nSky,0,0,0\nBuilding,128,0,0\nVoid,224,224,192\n")
    both(root, "{s}/0001TP_{n}.png", "{s}_labels/0001TP_{n}_L.png", colours())


def camvid_fastai(root):
    text(root / "codes.txt", "Sky\nBuilding\nVoid")
    both(root, "images/0001TP_{n}.png", "labels/0001TP_{n}_P.png", ids(ignored=2), ("",))


def drive(root):
    for part, numbers in (("training", "12"), ("test", "34")):
        labels = "{s}/1st_manual/0{n}_manual1.gif"
        array = ids(one=255, ignored=0)
        both(root, f"{{s}}/images/0{{n}}_{part}.tif", labels, array, (part,), numbers)
        for number in numbers:
            label(root / part / "mask" / f"0{number}_{part}_mask.gif", array ^ 255)


def mapillary(root):
    entries = [{"readable": "Bird", "evaluate": True}, {"readable": "Road", "evaluate": True}]
    entries.append({"readable": "Unlabeled", "evaluate": False})
    text(root / "config_v1.2.json", json.dumps({"labels": entries}))
    parts = ("training", "validation")
    both(root, "{s}/images/{n}.jpg", "{s}/v1.2/labels/{n}.png", ids(ignored=2), parts)


def supervisely(root):
    classes = [{"title": "cat", "shape": "bitmap", "color": "#f00"}]
    text(root / "meta.json", json.dumps({"classes": classes}))
    stream = io.BytesIO()
    Image.fromarray(np.full((HEIGHT // 2, WIDTH), 255, np.uint8)).save(stream, "PNG")
    data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    cat = {"classTitle": "cat", "geometryType": "bitmap"}
    cat["bitmap"] = {"data": data, "origin": [0, HEIGHT // 2]}
    content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": [cat]}
    for part in ("train", "val"):
        for name in "ab":
            image(root / part / "img" / f"{name}.jpg")
            text(root / part / "ann" / f"{name}.jpg.json", json.dumps(content))


def mmsegmentation(root):
    both(root, "img_dir/{s}/{n}.jpg", "ann_dir/{s}/{n}.png", ids())


def coco_stuff(root):
    at = "{s}2017/00000000000{n}."
    both(root, f"images/{at}jpg", f"stuffthingmaps/{at}png", ids(), names="12")


def paddleseg(root):
    text(root / "labels.txt", "sky\nroad")
    for part in ("train", "val"):
        both(root, f"images/{part}{{n}}.jpg", f"annotations/{part}{{n}}.png", ids(), (part,))
        lines = [f"images/{part}{name}.jpg annotations/{part}{name}.png" for name in "ab"]
        text(root / f"{part}.txt", "\n".join(lines))


def carvana(root):
    both(root, "train/{n}.jpg", "train_masks/{n}_mask.gif", ids(ignored=0), ("train",))
    black_and_white = Image.fromarray(ids(ignored=0), "P")
    black_and_white.putpalette([0, 0, 0, 255, 255, 255])
    for path in root.glob("train_masks/*"):
        black_and_white.save(path)


def isaid(root):
    labels = "{s}/Semantic_masks/images/P000{n}_instance_color_RGB.png"
    both(root, "{s}/images/images/P000{n}.png", labels, colours(one=(0, 0, 63), ignored=(0, 0, 0)))


def isaid_ids(root):
    labels = "ann_dir/{s}/P0_{n}_instance_color_RGB.png"
    both(root, "img_dir/{s}/P0_{n}.png", labels, ids())


def roboflow(root):
    for part in ("train", "valid"):
        text(root / part / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n")
    both(root, "{s}/{n}_jpg.rf.1.jpg", "{s}/{n}_jpg.rf.1_mask.png", ids(), ("train", "valid"))


def potsdam(root):
    array = colours((255, 255, 255), (0, 0, 255), (0, 0, 0))
    at = "top_potsdam_{n}_"
    labels = f"5_Labels_all_noBoundary/{at}label_noBoundary.tif"
    names = ("2_10", "7_9", "2_13", "7_13")
    both(root, f"2_Ortho_RGB/{at}RGB.tif", labels, array, ("",), names)


SQUARE = [[0, HEIGHT // 2], [WIDTH, HEIGHT // 2], [WIDTH, HEIGHT], [0, HEIGHT]]


def labelme(root):
    shape = {"label": "cat", "points": SQUARE, "shape_type": "polygon"}
    sizes = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    for part in ("train", "val"):
        for name in "ab":
            image(root / part / f"{name}.jpg")
            content = {"shapes": [shape], "imagePath": f"{name}.jpg", **sizes}
            text(root / part / f"{name}.json", json.dumps(content))


def coco_json(root):
    flat = [number for corner in SQUARE for number in corner]
    for part in ("train2017", "val2017"):
        names = [f"00000000000{number}.jpg" for number in (1, 2)]
        sizes = {"height": HEIGHT, "width": WIDTH}
        images = [{"id": k, "file_name": name, **sizes} for k, name in enumerate(names)]
        objects = [
            {"id": k, "image_id": k, "category_id": 7, "segmentation": [flat], "iscrowd": 0}
            for k in range(2)
        ]
        content = {"images": images, "annotations": objects}
        content["categories"] = [{"id": 7, "name": "cat"}]
        text(root / "annotations" / f"instances_{part}.json", json.dumps(content))
        for name in names:
            image(root / part / name)


def yolo(root):
    text(root / "data.yaml", "names:\n  0: cat\n")
    corners = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in SQUARE)
    for part in ("train", "val"):
        for name in "ab":
            image(root / "images" / part / f"{name}.jpg")
            text(root / "labels" / part / f"{name}.txt", f"0 {corners}\n")


def cvat_xml(root):
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    polygon = f'<polygon label="cat" points="{points}" z_order="0"/>'
    lines = []
    for name in "ab":
        image(root / "images" / f"{name}.jpg")
        head = f'<image name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">'
        lines.append(f"{head}{polygon}</image>")
    text(root / "annotations.xml", f"<annotations>{''.join(lines)}</annotations>")


class Miniature:
    """A maker, and what is to be recognised: layout, names of parts, and number of classes."""

    def __init__(self, make, layout, parts, classes=None, strip=-1):
        self.make, self.layout, self.parts = make, layout, parts
        self.classes, self.strip = classes, strip

    @property
    def truth(self):
        """The classes of each image."""
        found = TRUTH.copy()
        if self.strip is None:  # whatever is drawn has no such strip
            found[:, :STRIP] = found[:, STRIP : STRIP + 1]
        else:
            found[found == -1] = self.strip
        return found


TWO, ONE = ["train", "val"], []
MINIATURES = {
    "ade20k": Miniature(ade20k, "ade20k", ["training", "validation"], 150),
    "cityscapes": Miniature(cityscapes, "cityscapes", TWO, 19),
    "cityscapes-ids": Miniature(cityscapes_ids, "cityscapes", TWO, 19),
    "kitti": Miniature(kitti, "kitti", ["training"], 19),
    "voc": Miniature(voc, "voc", TWO, 21),
    "pascal-context": Miniature(pascal_context, "pascal-context", TWO, 60),
    "labelme2voc": Miniature(labelme2voc, "labelme2voc", ONE, 2),
    "cvat-masks": Miniature(cvat_masks, "cvat-masks", ONE, 2),
    "loveda": Miniature(loveda, "loveda", ["Train", "Val"], 7),
    "camvid": Miniature(camvid, "camvid", TWO, 11),
    "camvid-colours": Miniature(camvid_colours, "camvid", ONE, 2),
    "camvid-fastai": Miniature(camvid_fastai, "camvid", ONE, 3),
    "drive": Miniature(drive, "drive", ["test", "training"], 2, 0),
    "camvid-kaggle": Miniature(camvid_kaggle, "folders", TWO, 2),
    "mapillary": Miniature(mapillary, "mapillary", ["training", "validation"], 3),
    "supervisely": Miniature(supervisely, "supervisely", TWO, 2, None),
    "mmsegmentation": Miniature(mmsegmentation, "folders", TWO),
    "coco-stuff": Miniature(coco_stuff, "folders", ["train2017", "val2017"]),
    "paddleseg": Miniature(paddleseg, "paddleseg", TWO, 2),
    "carvana": Miniature(carvana, "folders", ["train"], None, 0),
    "isaid": Miniature(isaid, "isaid", TWO, 16, 0),
    "isaid-ids": Miniature(isaid_ids, "isaid", TWO, 16),
    "roboflow": Miniature(roboflow, "roboflow", ["train", "valid"], 2),
    "potsdam": Miniature(potsdam, "potsdam", TWO, 6),
    "labelme": Miniature(labelme, "labelme", TWO, 2, None),
    "coco-json": Miniature(coco_json, "coco-json", ["train2017", "val2017"], 2, None),
    "yolo": Miniature(yolo, "yolo", TWO, 2, None),
    "cvat-xml": Miniature(cvat_xml, "cvat-xml", ONE, 2, None),
}
