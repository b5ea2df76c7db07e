"""The whole network: a window of an image to class scores."""

from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead, semantic_scores

SIZE_DIVISOR = 32
"""The coarsest stride: the network works on heights and widths that are multiples of it."""


class EncoderDecoderMask2Former(nn.Module):
    """ViT-Adapter backbone with a Mask2Former head."""

    def __init__(
        self,
        *,
        backbone: BEiTAdapter,
        decode_head: Mask2FormerHead,
        num_classes: int,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        self.num_classes = num_classes
        self.align_corners = align_corners

    def forward(self, window: Tensor) -> Tensor:
        """Scores every class at every pixel of a window.

        Args:
            window: `(B, 3, H, W)` float32, normalised; any size from 1 pixel up. Sizes that are no
                multiples of 32 are padded with zeros (the mean colour) at the bottom and the right.

        Returns:
            `(B, K, H, W)` float32, at least 0.
        """
        height, width = window.shape[-2:]
        padding = (-width % SIZE_DIVISOR, -height % SIZE_DIVISOR)
        if any(padding):
            window = F.pad(window, (0, padding[0], 0, padding[1]))
        scores = semantic_scores(*self.decode_head(self.backbone(window)))
        scores = F.interpolate(
            scores, window.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )
        return scores[..., :height, :width] if any(padding) else scores
