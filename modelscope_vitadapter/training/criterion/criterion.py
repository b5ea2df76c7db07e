"""Mask2Former's loss over all predictions of a batch (arXiv 2112.01527, sections 3.2 and 3.3)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple

import torch
from torch import Tensor, nn

from modelscope_vitadapter.config.criterion import CriterionSettings
from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.training.criterion.costs import matching_costs
from modelscope_vitadapter.training.criterion.losses import class_loss, dice_loss, mask_loss
from modelscope_vitadapter.training.criterion.matching import Matches, match
from modelscope_vitadapter.training.criterion.points import Points
from modelscope_vitadapter.training.criterion.sampling import sample_maps, sample_masks
from modelscope_vitadapter.training.criterion.targets import Targets

Predictions = Sequence[tuple[Tensor, Tensor]]
"""Class logits `(B, Q, K + 1)` and mask logits `(B, Q, h, w)` of each prediction, last the last."""

PARTS = ("loss_cls", "loss_mask", "loss_dice")


def identity(x: Tensor) -> Tensor:
    """The sum over one process."""
    return x


class Mask2FormerCriterion(nn.Module):
    """Matches the queries of every prediction with the targets, then adds up three losses.

    Class loss: cross entropy of all queries, those without target being "no object". Mask and dice
    loss: of the matched queries, at points most of which lie where the mask is uncertain. Equal to
    mmdet 2.28's `Mask2FormerHead` (`tests/golden/criterion`). As there, an ignored pixel is in no
    target's mask, so a point on it counts as outside of all of them.

    Computed in float32 whatever autocast says. An image without targets teaches its queries
    "no object"; with none in the batch, mask and dice loss are 0 and every gradient still exists.

    Args:
        settings: weights and points.
    """

    class_weight: Tensor
    part_weight: Tensor

    def __init__(self, settings: CriterionSettings) -> None:
        super().__init__()
        self.settings = settings
        parts = astuple(settings.loss)
        for name, weights in (("class_weight", settings.class_weight), ("part_weight", parts)):
            self.register_buffer(name, torch.tensor(weights, dtype=torch.float32), persistent=False)

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        points: Points,
        *,
        sum_over_processes: Callable[[Tensor], Tensor] = identity,
        processes: int = 1,
    ) -> dict[str, Tensor]:
        """The loss of a batch and its parts.

        Each part is the local sum times `processes`, divided by a count over all processes: the
        class weights of all queries' classes for the class loss, the matched masks (at least 1)
        for the others. So the mean over processes is the loss of the global batch, and the mean of
        the gradients its gradient.

        Args:
            predictions: class logits `(B, Q, K + 1)`, "no object" last, and mask logits
                `(B, Q, h, w)` of every prediction, the last decoder layer's last.
            targets: one for each image, on the device of the predictions.
            points: where masks are compared.
            sum_over_processes: adds a tensor up over the processes; called once, by every process,
                with `(2, L)` float32. It may change its argument.
            processes: how many there are.

        Returns:
            `loss`, the sum of all parts, to be differentiated; and the parts, weighted and
            detached, by mmdet's names: `loss_cls`, `loss_mask`, `loss_dice` of the last
            prediction, and `d0.loss_cls` ... of the others.

        Raises:
            TrainingError: if shapes don't fit each other, or scipy is not installed.
        """
        self._check(predictions, targets)
        with _no_autocast(predictions[0][0].device):
            matches = match(self._costs(predictions, targets, points))
            classes = self._classes(predictions, targets, matches)
            sums = [
                self._sums(layer, prediction, classes[layer], matches, targets, points)
                for layer, prediction in enumerate(predictions)
            ]
            class_weights, masks = sum_over_processes(self._counts(classes))
            class_weights = class_weights.clamp(min=torch.finfo(torch.float32).tiny)
            masks = masks.clamp(min=1.0)
            divisors = torch.stack([class_weights, masks, masks], dim=1)
            losses = torch.stack(sums) * self.part_weight * processes / divisors
        return _named(losses)

    def _check(self, predictions: Predictions, targets: Sequence[Targets]) -> None:
        if not predictions:
            raise TrainingError("the criterion was given no predictions: expected one or more")
        expected = (len(targets), len(self.class_weight))
        for class_logits, mask_logits in predictions:
            shape = tuple(class_logits.shape)
            if class_logits.dim() != 3 or shape[::2] != expected:
                raise TrainingError(
                    f"class logits of shape {shape} don't fit {expected[0]} images' targets and "
                    f"{expected[1] - 1} classes: expected ({expected[0]}, Q, {expected[1]}). Build "
                    "the criterion with the model's number of classes."
                )
            if mask_logits.dim() != 4 or mask_logits.shape[:2] != class_logits.shape[:2]:
                raise TrainingError(
                    f"mask logits of shape {tuple(mask_logits.shape)} don't fit class logits of "
                    f"shape {shape}: expected {(*shape[:2], 'h', 'w')}"
                )

    @torch.no_grad()
    def _costs(
        self, predictions: Predictions, targets: Sequence[Targets], points: Points
    ) -> list[list[Tensor]]:
        """Matching costs `[L][B]` of `(Q, N)`."""
        return [
            [
                self._cost(class_logits[image], mask_logits[image], target, points, layer, image)
                for image, target in enumerate(targets)
            ]
            for layer, (class_logits, mask_logits) in enumerate(predictions)
        ]

    def _cost(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        target: Targets,
        points: Points,
        layer: int,
        image: int,
    ) -> Tensor:
        """Matching costs `(Q, N)` of one image in one prediction."""
        if not target.labels.shape[0]:
            return class_logits.new_zeros(class_logits.shape[0], 0, dtype=torch.float32)
        own = points.for_matching(layer, image, self.settings.points.num_points)
        return matching_costs(
            class_logits.float(),
            sample_maps(mask_logits.float(), own),
            target.labels,
            sample_masks(target.masks, own),
            self.settings,
        )

    def _classes(
        self, predictions: Predictions, targets: Sequence[Targets], matches: Matches
    ) -> Tensor:
        """The class that each query is to have, `(L, B, Q)` int64; K is "no object"."""
        labels = torch.cat([target.labels for target in targets])
        shape = (len(predictions), *predictions[0][0].shape[:2])
        classes = labels.new_full(shape, self.settings.num_classes)
        classes[matches.layers, matches.images, matches.queries] = labels[matches.places]
        return classes

    def _counts(self, classes: Tensor) -> Tensor:
        """What the losses are divided by, `(2, L)`: sums of class weights, numbers of masks."""
        matched = classes != self.settings.num_classes
        return torch.stack([self.class_weight[classes], matched.float()]).sum(dim=(2, 3))

    def _sums(
        self,
        layer: int,
        prediction: tuple[Tensor, Tensor],
        classes: Tensor,
        matches: Matches,
        targets: Sequence[Targets],
        points: Points,
    ) -> Tensor:
        """Class, mask and dice loss of one prediction, added up over this process, `(3,)`."""
        class_logits, mask_logits = prediction
        of_classes = class_loss(class_logits.float(), classes, self.class_weight)
        pairs = matches.of_layer(layer)
        matched = mask_logits[pairs.images, pairs.queries].float()
        if not matched.shape[0]:
            nothing = matched.sum()  # 0, with a gradient of zeros
            return torch.stack([of_classes, nothing, nothing])
        where, truths = [], []
        counts = matches.counts[layer]
        for image, logits in enumerate(matched.detach().split_with_sizes(counts)):
            if counts[image]:
                own = points.for_loss(layer, image, logits, self.settings.points)
                where.append(own)
                truths.append(sample_masks(targets[image].masks[pairs.targets[image]], own))
        at_points, truth = sample_maps(matched, torch.cat(where)), torch.cat(truths)
        of_dice = dice_loss(at_points, truth, self.settings.loss_dice_eps)
        return torch.stack([of_classes, mask_loss(at_points, truth), of_dice])


def _named(losses: Tensor) -> dict[str, Tensor]:
    """Weighted losses `(L, 3)` by mmdet's names, the last prediction's first, and their sum."""
    named = {"loss": losses.sum()}
    last = losses.shape[0] - 1
    for layer in (last, *range(last)):
        prefix = "" if layer == last else f"d{layer}."
        for part, value in zip(PARTS, losses[layer].detach(), strict=True):
            named[prefix + part] = value
    return named


def _no_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are not rounded to autocast's dtype."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
