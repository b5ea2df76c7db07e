"""Fits the tiny model on drawn scenes and writes its checkpoint.

    python examples/fit_tiny_model.py

takes about a quarter of an hour of CPU time. The supervision is simpler than Mask2Former's:
query k is told to be class k, so nothing has to be matched.
"""

import argparse
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from drawn_scenes import CLASSES, draw_scene
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.build import build_network
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.config.model_settings import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.inference.scores import window_scores
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former

MODEL_DIR = Path(__file__).parent / "tiny_model"
SIDE = 128
"""Height and width of the windows, in pixels, as in the model's `crop_size`."""

DRAWN_SIDES = (96, 192)
"""Scenes are drawn at sizes in this range and scaled to `SIDE`, as pictures are when tested."""

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""RGB, as in the model's `img_norm_cfg`."""

FITTING, VALIDATION = 1, 2
"""First number of the seeds; each stream of scenes is independent of the others."""

logger = logging.getLogger("fit_tiny_model")


@dataclass(frozen=True)
class FitSettings:
    """How the model is fitted.

    Attributes:
        steps: optimiser steps; each sees new scenes.
        batch_size: scenes in a step.
        learning_rate: AdamW's, at its highest.
        weight_decay: AdamW's, on matrices and kernels only.
        warm_up: steps in which the learning rate rises; then it falls along a cosine to 0.
        max_gradient: the gradient's norm is clipped to this.
        seed: of the weights and the scenes.
    """

    steps: int = 2400
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    warm_up: int = 150
    max_gradient: float = 1.0
    seed: int = 0


def main() -> None:
    """Reads the arguments, fits and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=FitSettings.steps)
    parser.add_argument("--seed", type=int, default=FitSettings.seed)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of PyTorch")
    parser.add_argument("--output", type=Path, default=MODEL_DIR / "pytorch_model.pt")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    network = build_network(parse_model(read_config(MODEL_DIR / "mmcv_config.py")))
    initialise(network)
    settings = FitSettings(steps=arguments.steps, seed=arguments.seed)
    fit(network, settings)
    settle_batch_norms(network, settings)
    logger.info("mIoU on unseen scenes: %.3f", validate(network, scenes=64))
    save_state_dict(network.state_dict(), arguments.output)
    logger.info("%s: %d bytes", arguments.output, arguments.output.stat().st_size)


def initialise(network: EncoderDecoderMask2Former) -> None:
    """Sets what PyTorch's defaults leave unsuited to fitting from scratch."""
    for module in network.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            module.reset_parameters()
            module.dropout.p = 0.0  # every step sees new scenes, so there is nothing to overfit
    nn.init.normal_(network.backbone.cls_token, std=0.02)
    nn.init.normal_(network.backbone.level_embed)


def fit(network: EncoderDecoderMask2Former, settings: FitSettings) -> None:
    """Fits the network in place."""
    network.train()
    optimizer = torch.optim.AdamW(
        parameter_groups(network, settings.weight_decay), lr=settings.learning_rate
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, settings)
    )
    started, mean_loss = time.monotonic(), math.nan
    for step in range(1, settings.steps + 1):
        rng = np.random.default_rng((FITTING, settings.seed, step))
        images, labels = draw_batch(rng, settings.batch_size)
        loss = segmentation_loss(network, images, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient)
        optimizer.step()
        schedule.step()
        mean_loss = loss.item() if step == 1 else 0.98 * mean_loss + 0.02 * loss.item()
        if step % 100 == 0:
            seconds = time.monotonic() - started
            logger.info(
                "step %d of %d, loss %.3f, %.0f s", step, settings.steps, mean_loss, seconds
            )
        if step % 500 == 0:
            logger.info("mIoU on unseen scenes: %.3f", validate(network, scenes=16))


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters with and without weight decay: biases, norms and scales have none."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate_factor(step: int, settings: FitSettings) -> float:
    """The learning rate of a step, relative to its highest."""
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    done = (step - settings.warm_up) / max(settings.steps - settings.warm_up, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def draw_batch(rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
    """New scenes as the network takes them.

    Returns:
        Images `(B, 3, H, W)` float32, normalised RGB, and class ids `(B, H, W)` int64.
    """
    images, labels = [], []
    for _ in range(size):
        side = int(rng.integers(DRAWN_SIDES[0], DRAWN_SIDES[1] + 1))
        image, classes = draw_scene(rng, side, side)
        images.append(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
        labels.append(cv2.resize(classes, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    rgb = torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (rgb - mean) / std, torch.from_numpy(np.stack(labels)).long()


def segmentation_loss(network: EncoderDecoderMask2Former, images: Tensor, labels: Tensor) -> Tensor:
    """The sum of the losses of all decoder layers, and that of the final class scores.

    Args:
        network: in training mode.
        images: `(B, 3, H, W)` float32, normalised RGB.
        labels: class ids `(B, H, W)` int64.
    """
    masks = F.one_hot(labels, len(CLASSES)).permute(0, 3, 1, 2).float()
    predictions = list(network.decode_head.predictions(network.backbone(images)))
    cells = F.adaptive_avg_pool2d(masks, predictions[-1][1].shape[-2:])
    loss = torch.stack([query_loss(*prediction, cells) for prediction in predictions]).sum()
    scores = window_scores(*predictions[-1], (SIDE, SIDE), align_corners=network.align_corners)
    probabilities = scores / scores.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return loss + 5 * F.nll_loss(probabilities.clamp(min=1e-6).log(), labels)


def query_loss(class_logits: Tensor, mask_logits: Tensor, masks: Tensor) -> Tensor:
    """How far query k is from class k: class, mask and dice loss with Mask2Former's weights.

    Args:
        class_logits: `(B, Q, K + 1)`, "no object" last.
        mask_logits: `(B, Q, h, w)`.
        masks: `(B, K, h, w)`, the part of each cell that is of the class, 0 to 1.
    """
    classes = masks.shape[1]
    present = masks.flatten(2).any(dim=2)
    targets = torch.full(class_logits.shape[:2], classes)
    targets[:, :classes] = torch.where(present, torch.arange(classes), classes)
    weights = torch.ones(classes + 1)
    weights[classes] = 0.1
    class_loss = F.cross_entropy(class_logits.flatten(0, 1), targets.flatten(), weights)

    logits = mask_logits[:, :classes]
    mask_loss = F.binary_cross_entropy_with_logits(logits, masks)
    chances = logits.sigmoid()
    overlap = 2 * (chances * masks).sum(dim=(2, 3)) + 1
    dice = 1 - overlap / (chances.sum(dim=(2, 3)) + masks.sum(dim=(2, 3)) + 1)
    return 2 * class_loss + 5 * mask_loss + 5 * dice[present].mean()


@torch.no_grad()
def settle_batch_norms(network: nn.Module, settings: FitSettings, batches: int = 50) -> None:
    """Replaces the running statistics by those of the final weights over many scenes."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    rng = np.random.default_rng((FITTING, settings.seed, 0))
    for _ in range(batches):
        network(draw_batch(rng, settings.batch_size)[0])


@torch.no_grad()
def validate(network: EncoderDecoderMask2Former, scenes: int) -> float:
    """The mean over classes of intersection over union, on scenes that are not fitted on."""
    network.eval()
    counts = torch.zeros(len(CLASSES), len(CLASSES))
    rng = np.random.default_rng(VALIDATION)
    for _ in range(scenes // 8):
        images, labels = draw_batch(rng, 8)
        predictions = network(images)
        scores = window_scores(*predictions, (SIDE, SIDE), align_corners=network.align_corners)
        pairs = labels * len(CLASSES) + scores.argmax(dim=1)
        counts += torch.bincount(pairs.flatten(), minlength=counts.numel()).view_as(counts)
    network.train()
    intersection = counts.diagonal()
    return float((intersection / (counts.sum(0) + counts.sum(1) - intersection)).nanmean())


if __name__ == "__main__":
    main()
