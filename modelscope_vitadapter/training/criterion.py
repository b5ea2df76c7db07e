"""Mask2Former's loss over all predictions of a batch (arXiv 2112.01527, sections 3.2 and 3.3).

Reading order: this, `matcher` (with the legend of shapes), `losses`.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import CriterionSettings
from modelscope_vitadapter.distributed import process_count, summed
from modelscope_vitadapter.training.losses import SeededPoints, dice_loss, mask_loss, sample_maps
from modelscope_vitadapter.training.matcher import match, matching_costs

Prediction = tuple[Tensor, Tensor]
"""Class logits `(B, Q, K + 1)`, "no object" last, and mask logits `(B, Q, h, w)`."""

PARTS = ("loss_cls", "loss_mask", "loss_dice")


@dataclass(frozen=True)
class Targets:
    """What the queries of an image are to find: one mask for each class that is there.

    `labels` are `(N,)` int64 class ids, ascending, and `masks` `(N, H, W)` bool.
    """

    labels: Tensor
    masks: Tensor


def targets_of(classes: Tensor, device: torch.device | str) -> list[Targets]:
    """The targets of label maps `(B, H, W)`, on `device`; ids below 0 (ignored) belong to none.

    Which classes are there is found where the label maps lie (on the host: nothing waits for an
    accelerator), and the maps cross over as they are, not as a mask for each class. Counting takes
    a tenth of the time of sorting.
    """
    present = [
        torch.bincount(ids[ids >= 0].long()).nonzero().flatten() for ids in classes.flatten(1)
    ]
    labels = torch.cat(present).to(device).split_with_sizes([len(ids) for ids in present])
    return [
        Targets(own, label_map == own.to(label_map.dtype)[:, None, None])
        for own, label_map in zip(labels, classes.to(device), strict=True)
    ]


class Mask2FormerCriterion(nn.Module):
    """Matches the queries of every prediction with the targets, then adds up three losses.

    Class loss: cross entropy of all queries, those without target being "no object". Mask and dice
    loss: of the matched queries, at points most of which lie where the mask is uncertain; 0, with
    gradients, where none is matched. Equal to mmdet 2.28's `Mask2FormerHead`
    (`tests/golden/criterion`). As there, an ignored pixel is in no target's mask, so a point on it
    counts as outside of all of them. Computed in float32 whatever autocast says.
    """

    class_weight: Tensor
    part_weight: Tensor

    def __init__(self, settings: CriterionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("class_weight", torch.tensor(settings.class_weight), persistent=False)
        self.register_buffer("part_weight", torch.tensor(astuple(settings.loss)), persistent=False)

    def forward(
        self, predictions: Sequence[Prediction], targets: Sequence[Targets], points: SeededPoints
    ) -> dict[str, Tensor]:
        """The loss of a batch and its parts; every process must call it.

        Each part is the local sum times the number of processes, divided by a count over all of
        them: the class weights of all queries' classes for the class loss, the matched masks for
        the others. So the mean over processes is the loss of the global batch, and the mean of the
        gradients its gradient.

        Args:
            predictions: in order of decoder layers.
            targets: one for each image, on the device of the predictions.
            points: where masks are compared.

        Returns:
            `loss`, the sum of all parts, to be differentiated; and the parts, weighted and
            detached, by mmdet's names: `loss_cls`, `loss_mask`, `loss_dice` of the last
            prediction, and `d0.loss_cls` ... of the others.
        """
        with torch.autocast(predictions[0][0].device.type, enabled=False):
            pairs = match(self._costs(predictions, targets, points))
            layers = [
                self._sums(layer, *prediction, pairs[layer], targets, points)
                for layer, prediction in enumerate(predictions)
            ]
            sums, counts = (torch.stack(each) for each in zip(*layers, strict=True))
            # where a count is 0, so is its sum
            divisors = summed(counts).clamp(min=torch.finfo(counts.dtype).eps)
            losses = sums * self.part_weight * process_count() / divisors
        prefixes = [*(f"d{layer}." for layer in range(len(losses) - 1)), ""]
        names = [prefix + part for prefix in prefixes for part in PARTS]
        parts = dict(zip(names, losses.detach().flatten(), strict=True))
        return {"loss": losses.sum(), **parts}

    @torch.no_grad()
    def _costs(
        self, predictions: Sequence[Prediction], targets: Sequence[Targets], points: SeededPoints
    ) -> list[list[Tensor]]:
        """Matching costs `[L][B]` of `(Q, N)`."""

        def cost(layer: int, image: int) -> Tensor:
            class_logits, mask_logits = (logits[image].float() for logits in predictions[layer])
            target = targets[image]
            if not len(target.labels):
                return class_logits.new_zeros(len(class_logits), 0)
            own = points.for_matching(layer, image, self.settings.points.num_points)
            logits, truth = sample_maps(mask_logits, own), sample_maps(target.masks, own)
            return matching_costs(class_logits, logits, target.labels, truth, self.settings)

        images = range(len(targets))
        return [[cost(layer, image) for image in images] for layer in range(len(predictions))]

    def _sums(
        self,
        layer: int,
        class_logits: Tensor,
        mask_logits: Tensor,
        pairs: Sequence[Tensor],
        targets: Sequence[Targets],
        points: SeededPoints,
    ) -> tuple[Tensor, Tensor]:
        """Losses of a prediction, added up over this process, and their counts, `(3,)` each."""
        settings = self.settings
        classes = targets[0].labels.new_full(class_logits.shape[:2], settings.num_classes)
        matched, where, truths = [mask_logits[0, :0].float()], [], []
        for image, (queries, chosen) in enumerate(pairs):
            classes[image, queries] = targets[image].labels[chosen]
            if len(queries):
                logits = mask_logits[image, queries].float()
                own = points.for_loss(layer, image, logits.detach(), settings.points)
                matched.append(logits)
                where.append(own)
                truths.append(sample_maps(targets[image].masks[chosen], own))
        masks = (classes != settings.num_classes).sum().float()
        counts = torch.stack([self.class_weight[classes].sum(), masks, masks])
        of_classes = F.cross_entropy(
            class_logits.float().flatten(0, 1),
            classes.flatten(),
            weight=self.class_weight,
            reduction="sum",
        )
        of_masks = of_dice = matched[0].sum()  # 0, with a gradient of zeros
        if truths:
            at_points = sample_maps(torch.cat(matched), torch.cat(where))
            of_masks = mask_loss(at_points, torch.cat(truths))
            of_dice = dice_loss(at_points, torch.cat(truths), settings.loss_dice_eps)
        return torch.stack([of_classes, of_masks, of_dice]), counts
