"""The prediction of an image with everything held at once, as the built-in model computes it."""

import torch
from torch.nn import functional as F

from modelscope_vitadapter.inference.sliding_window import window_origins

UNTURN = {None: (), "horizontal": (-1,), "vertical": (-2,)}


def window_scores(class_logits, mask_logits, size):
    """Class scores `(B, K, height, width)` of windows `(4 h, 4 w)` that were padded from `size`."""
    classes = class_logits.softmax(dim=-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, mask_logits.sigmoid())
    scores = F.interpolate(scores, scale_factor=4, mode="bilinear", align_corners=False)
    return scores[..., : size[0], : size[1]]


def view_scores(network, view, windows):
    """Class scores `(K, h, w)` of one view: the mean of its windows' scores."""
    whole = (*view.shape[-2:],)
    crop, stride = (
        (whole, whole) if windows.mode == "whole" else (windows.crop_size, windows.stride)
    )
    tops, lefts = map(window_origins, whole, crop, stride)
    total, count = 0, torch.zeros(whole)
    for top in tops:
        for left in lefts:
            place = (..., slice(top, top + crop[0]), slice(left, left + crop[1]))
            window = view[place]
            scores = window_scores(*network(window[None]), window.shape[-2:])[0]
            if isinstance(total, int):
                total = scores.new_zeros(len(scores), *whole)
            total[place] += scores
            count[place] += 1
    return total / count


def whole_probabilities(network, one, windows):
    """Probabilities `(K, H, W)`: the mean over views of the softmax over classes."""
    parts = []
    for view, flip in zip(one.views, one.flips, strict=True):
        scores = view_scores(network, view, windows)[None]
        scores = F.interpolate(scores, one.image_size, mode="bilinear", align_corners=False)
        parts.append(scores.softmax(dim=1)[0].flip(UNTURN[flip]))
    return torch.stack(parts).mean(dim=0)
