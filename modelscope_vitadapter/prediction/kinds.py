"""The kinds of outputs by name. Imports nothing heavy, since the command line lists them."""

KINDS: dict[str, str] = {
    "overlay": "picture with colours, names and a legend on top (.jpg)",
    "labels": "class ids in one channel, 8 or 16 bits, with the palette (.png)",
    "color": "colours of classes (.png)",
    "json": "COCO's run lengths of each class (.json)",
    "polygons": "labelme's polygons (.json)",
    "confidence": "confidence of each pixel, 0 to 65535 (.png)",
    "probabilities": "of all classes, (K, H, W) float16 (.npy)",
    "masks": "a picture of each class that is there (a folder of .png)",
    "npz": "class map, names and palette as arrays of numpy (.npz)",
    "yolo": "YOLO's polygons (.txt)",
}
"""What `--save` takes, with a line for people."""

DEFAULT_KINDS = ("overlay", "labels")
