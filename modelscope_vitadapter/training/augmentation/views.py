"""From a labelled picture to what the network is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.config.test_pipeline import Size
from modelscope_vitadapter.datasets.dataset import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.images.transforms import apply_step
from modelscope_vitadapter.training.augmentation.cropping import crop_labelled, draw_crop
from modelscope_vitadapter.training.augmentation.photometric import distort, draw_distortion
from modelscope_vitadapter.training.augmentation.resizing import draw_resize, resize_labelled
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings


def random_view(
    picture: LabelledImage, settings: AugmentationSettings, rng: np.random.Generator
) -> LabelledImage:
    """Draw a view: resized, cropped, mirrored, with other colours, in this order.

    Args:
        picture: Any size from one pixel on; not modified.
        settings: What may be done.
        rng: The only source of what is random.

    Returns:
        At most `crop_size` large, smaller where the resized picture is.
    """
    picture = resize_labelled(picture, draw_resize(settings, rng))
    picture = crop_labelled(picture, draw_crop(picture.classes, settings, rng))
    if rng.random() < settings.flip:
        picture = replace(picture, image=picture.image[:, ::-1], classes=picture.classes[:, ::-1])
    if settings.distortion is not None:
        distortion = draw_distortion(settings.distortion, rng)
        picture = replace(picture, image=distort(picture.image, distortion))
    return picture


def augment(
    picture: LabelledImage, settings: AugmentationSettings, rng: np.random.Generator
) -> LabelledImage:
    """Draw a view and fill it up, as a picture to look at.

    Args:
        picture: Any size from one pixel on; not modified.
        settings: What may be done.
        rng: The only source of what is random; the same state gives the same view as
            `random_view`.

    Returns:
        Exactly `crop_size` large; what is added below and to the right is `IGNORED`, and of the
        mean colour, which `network_input` takes for 0.
    """
    view = random_view(picture, settings, rng)
    bgr = settings.mean[::-1] if settings.to_rgb else settings.mean
    image = np.empty((*settings.crop_size, 3), dtype=np.uint8)
    image[:] = np.clip(np.rint(bgr), 0, 255).astype(np.uint8)
    image[: view.image.shape[0], : view.image.shape[1]] = view.image
    return replace(view, image=image, classes=_padded_classes(view.classes, settings.crop_size))


def network_input(
    view: LabelledImage, settings: AugmentationSettings
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Normalise a view and fill it up to the size of the crop.

    Args:
        view: At most `crop_size` large, as `random_view` gives; not modified.
        settings: `crop_size`, `mean`, `std` and `to_rgb` are used.

    Returns:
        `(3, h, w)` float32 in the network's channel order, 0 where the view ends, and `(h, w)`
        class ids, `IGNORED` there; both C-contiguous.
    """
    height, width = view.classes.shape
    image = np.zeros((3, *settings.crop_size), dtype=np.float32)
    image[:, :height, :width] = apply_step(settings.normalize, view.image).transpose(2, 0, 1)
    return image, _padded_classes(view.classes, settings.crop_size)


def _padded_classes(classes: NDArray[Any], size: Size) -> NDArray[np.int16]:
    padded = np.full(size, IGNORED, dtype=np.int16)
    padded[: classes.shape[0], : classes.shape[1]] = classes
    return padded
