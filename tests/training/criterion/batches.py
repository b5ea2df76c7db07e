"""Small batches with predictions that can be differentiated."""

import torch
from torch import nn

from modelscope_vitadapter.config.criterion import (
    CriterionSettings,
    PartWeights,
    PointSettings,
)
from modelscope_vitadapter.training.criterion.criterion import Mask2FormerCriterion
from modelscope_vitadapter.training.criterion.points import SeededPoints
from modelscope_vitadapter.training.criterion.targets import targets_of

CLASSES, QUERIES, LAYERS, SIDE, STRIDE = 4, 6, 3, 8, 4
CLASS_WEIGHT = (1.0, 0.5, 2.0, 1.5, 0.1)


def settings_with(loss=None, cost=None, class_weight=CLASS_WEIGHT, points=None):
    return CriterionSettings(
        class_weight=class_weight,
        loss=loss or PartWeights(),
        cost=cost or PartWeights(),
        points=points or PointSettings(64, 3.0, 0.75),
    )


def label_maps(classes_of_images):
    """A label map for each image, striped with the given classes and an ignored border."""
    maps = []
    for number, classes in enumerate(classes_of_images):
        generator = torch.Generator().manual_seed(number)
        choice = torch.tensor([-1, *classes], dtype=torch.int16)
        cells = torch.randint(len(choice), (4, 4), generator=generator)
        for i in range(len(classes)):
            cells[i // 4, i % 4] = i + 1
        side = SIDE * STRIDE // 4
        maps.append(choice[cells].repeat_interleave(side, 0).repeat_interleave(side, 1))
    return torch.stack(maps)


class Head(nn.Module):
    """Predictions that depend on every one of a few parameters, image by image."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)

        def parameter(*shape):
            return nn.Parameter(torch.randn(shape, generator=generator))

        self.queries = parameter(LAYERS, QUERIES, 5)
        self.classes = parameter(5, CLASSES + 1)
        self.masks = parameter(5, 7)

    def forward(self, features):
        """Predictions for features `(B, 7, SIDE, SIDE)`."""
        shift = features.mean(dim=(2, 3))[:, None, :5]
        return [
            (
                (queries + shift) @ self.classes,
                torch.einsum("bqc,bchw->bqhw", (queries + shift) @ self.masks, features),
            )
            for queries in self.queries
        ]


def features_of(images):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(images, 7, SIDE, SIDE, generator=generator)


def losses_of(head, features, maps, seeds, settings=None, **options):
    criterion = Mask2FormerCriterion(settings or settings_with())
    targets = [targets_of(one) for one in maps]
    points = SeededPoints(seeds, features.device)
    return criterion(head(features), targets, points, **options)


def gradients(head):
    return {name: one.grad.clone() for name, one in head.named_parameters()}
