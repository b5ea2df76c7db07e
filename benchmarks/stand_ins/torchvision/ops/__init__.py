"""Operators that mmcv imports and that the built-in model never runs."""


def deform_conv2d(*args, **kwargs):
    """Not there."""
    raise NotImplementedError("torchvision's deform_conv2d is not part of this environment")


def roi_align(*args, **kwargs):
    """Not there."""
    raise NotImplementedError("torchvision's roi_align is not part of this environment")
