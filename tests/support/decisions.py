"""The decision of a picture with everything held at once, as the built-in model computes it."""

import torch
from torch.nn import functional as F

from modelscope_vitadapter.inference.scores import window_scores
from modelscope_vitadapter.inference.windows import windows_of

UNTURN = {None: (), "horizontal": (-1,), "vertical": (-2,)}


def input_scores(network, image, windows, align_corners):
    """Class scores `(K, h, w)` of one input: the mean of its windows' scores."""
    total, count = 0, torch.zeros(image.shape[-2:], dtype=image.dtype)
    crop = windows.crop_size if windows.mode == "slide" else None
    for window in windows_of(tuple(image.shape[-2:]), crop, windows.stride):
        scores = window_scores(
            *network(window.of(image)[None]),
            (window.height, window.width),
            align_corners=align_corners,
        )[0]
        if isinstance(total, int):
            total = scores.new_zeros(len(scores), *image.shape[-2:])
        window.of(total).add_(scores)
        window.of(count).add_(1)
    return total / count


def whole_probabilities(network, picture, windows, *, align_corners=False):
    """Probabilities `(K, H, W)`: the mean over augmentations of the softmax over classes."""
    parts = []
    for image, flip in zip(picture.views, picture.flips, strict=True):
        scores = input_scores(network, image, windows, align_corners)[None]
        scores = F.interpolate(
            scores, picture.image_size, mode="bilinear", align_corners=align_corners
        )
        parts.append(scores.softmax(dim=1)[0].flip(UNTURN[flip]))
    return torch.stack(parts).mean(dim=0)
