"""The whole network for windows on a processor; chosen by `EncoderDecoderMask2Former.forward`."""

import torch
from torch import Tensor

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.cpu.backbone import run_backbone
from modelscope_vitadapter.network.cpu.bands import return_freed_memory
from modelscope_vitadapter.network.cpu.decoder import run_decoder
from modelscope_vitadapter.network.cpu.pixel_decoder import run_pixel_decoder
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead


def run_windows(
    backbone: BEiTAdapter, head: Mask2FormerHead, windows: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Runs the network over windows, one after the other, so no window's answer depends on others.

    Args:
        backbone: in evaluation.
        head: in evaluation.
        windows: `(B, 3, H, W)` float32, H and W multiples of 32.
        dtype: what products are computed in, float32 or bfloat16.

    Returns:
        Class logits `(B, Q, K + 1)` and mask logits `(B, Q, H / 4, W / 4)`, float32.
    """
    height, width = windows.shape[-2] // 4, windows.shape[-1] // 4
    classes, masks = [], []
    for window in windows:
        features = run_backbone(backbone, window[None], dtype)
        return_freed_memory()
        pixels = run_pixel_decoder(head.pixel_decoder, backbone, features, dtype)
        del features
        class_logits, mask_logits = run_decoder(head, pixels, dtype)
        classes.append(class_logits)
        masks.append(mask_logits.view(-1, height, width))
        del pixels
        return_freed_memory()
    if len(masks) == 1:  # a view: a copy of 40 MB would be at the peak
        return classes[0][None], masks[0][None]
    return torch.stack(classes), torch.stack(masks)
