"""The whole network: a window of an image to a class and a mask for each query."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.cpu.dispatch import compute_dtype, serves_call, structure
from modelscope_vitadapter.network.cpu.segmentor import run_windows
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.precision import full_precision

SIZE_DIVISOR = 32
"""The coarsest stride: the network works on heights and widths that are multiples of it."""


class EncoderDecoderMask2Former(nn.Module):
    """ViT-Adapter backbone with a Mask2Former head."""

    def __init__(self, *, backbone: BEiTAdapter, decode_head: Mask2FormerHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        self._built = structure(self)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts a class and a mask for each query.

        Args:
            window: `(B, 3, H, W)` float32, normalised; any size from 1 pixel up. Sizes that are no
                multiples of 32 are padded with zeros (the mean colour) at the bottom and the right.

        Returns:
            Class logits `(B, Q, K + 1)`, "no object" last, and mask logits `(B, Q, H' / 4, W' / 4)`
            of the padded window `(H', W')`, both float32. Class scores are made of them in
            `inference.class_scores`.
        """
        window = _padded(window)
        if serves_call(self, self._built, window):
            dtype = compute_dtype()
            with full_precision(window):
                return run_windows(self.backbone, self.decode_head, window, dtype)
        class_logits, mask_logits = self.decode_head(self.backbone(window))
        return class_logits, mask_logits

    def predictions(self, window: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What `forward` gives, before the decoder's first layer and after each: for training.

        Args:
            window: as for `forward`.

        Yields:
            Class logits `(B, Q, K + 1)` and mask logits `(B, Q, H' / 4, W' / 4)`, the last layer's
            last.
        """
        yield from self.decode_head.predictions(self.backbone(_padded(window)))


def _padded(window: Tensor) -> Tensor:
    """A window whose height and width are multiples of 32."""
    height, width = window.shape[-2:]
    padding = (0, -width % SIZE_DIVISOR, 0, -height % SIZE_DIVISOR)
    return F.pad(window, padding) if any(padding) else window
