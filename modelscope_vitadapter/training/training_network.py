"""The network with its criterion: what one training step computes, and what DDP wraps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelscope_vitadapter.distributed import process_count, summed
from modelscope_vitadapter.network.seeded_dropout import set_sample_seeds
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.training.criterion.criterion import Mask2FormerCriterion
from modelscope_vitadapter.training.criterion.points import SeededPoints
from modelscope_vitadapter.training.criterion.targets import batch_targets
from modelscope_vitadapter.training.freezing import Freeze, train_unfrozen


class TrainingNetwork(nn.Module):
    """Maps a labelled batch to its losses.

    Args:
        network: what is trained.
        criterion: compares its predictions with the targets.
        freeze: which parts stay in evaluation mode.
        dtype: what autocast computes products in; float32 for no autocast.
    """

    def __init__(
        self,
        network: EncoderDecoderMask2Former,
        criterion: Mask2FormerCriterion,
        *,
        freeze: Freeze = Freeze.NOTHING,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.freeze = freeze
        self.dtype = dtype

    def train(self, mode: bool = True) -> "TrainingNetwork":
        """Sets the mode of all but the frozen parts, which stay in evaluation mode."""
        super().train(mode)
        if mode:
            train_unfrozen(self.network, self.freeze)
        return self

    def forward(self, images: Tensor, classes: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            images: `(B, 3, H, W)` float32, normalised, on the network's device.
            classes: `(B, H, W)` class ids, negative where ignored; on any device.
            seeds: one for each sample: what is dropped and where masks are compared follow from it.

        Returns:
            `loss` and its parts, see `Mask2FormerCriterion.forward`: their mean over processes is
            the loss of the joined batch.
        """
        set_sample_seeds(self.network, seeds)
        device = images.device
        reduced = self.dtype is not torch.float32
        with torch.autocast(device.type, self.dtype if reduced else None, enabled=reduced):
            predictions = list(self.network.predictions(images))
        losses = self.criterion(
            predictions,
            batch_targets(classes, device),
            SeededPoints(seeds, device),
            sum_over_processes=summed,
            processes=process_count(),
        )
        return dict(losses)
