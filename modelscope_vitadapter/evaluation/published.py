"""What the model card reports, to be shown beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures of a model card, shares from 0 to 1.

    Attributes:
        model: the model's id.
        data: what they were measured on.
        aAcc, mIoU, mAcc: as of `figures.Figures`.
    """

    model: str
    data: str
    aAcc: float  # noqa: N815  # the field's names
    mIoU: float  # noqa: N815
    mAcc: float  # noqa: N815


CARD = Published(
    model="damo/cv_vitadapter_semantic-segmentation_cocostuff164k",
    data="COCO-Stuff-164k val, 5000 pictures",
    aAcc=0.6991,
    mIoU=0.4721,
    mAcc=0.5717,
)
"""The card of the hub's model."""

COCO_STUFF_LANDMARKS = {0: "person", 79: "toothbrush", 80: "banner", 170: "wood"}
"""First and last names of COCO-Stuff's 80 things and 91 stuff classes, by class id."""


def published_figures(model: object, classes: Sequence[str]) -> Published | None:
    """The card's figures where they are of this model.

    Args:
        model: Its id, where that is known.
        classes: Names of the classes by id.

    Returns:
        The card's figures for the hub's model by its id, and for a model of COCO-Stuff's 171
        classes; else None.
    """
    if str(model) == CARD.model:
        return CARD
    is_coco_stuff = len(classes) == 171 and all(
        classes[place] == name for place, name in COCO_STUFF_LANDMARKS.items()
    )
    return CARD if is_coco_stuff else None
