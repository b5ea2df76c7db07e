"""What two processes share, and one alone computes as well; imported by the processes of tests."""

import torch
from torch import distributed, nn

from modelscope_vitadapter.config.criterion import CriterionSettings, PointSettings
from modelscope_vitadapter.training.batch_norm import share_batch_norms
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, targets_of
from modelscope_vitadapter.training.losses import SeededPoints

CLASSES, QUERIES, LAYERS, SIDE, STRIDE = 4, 6, 3, 8, 4
CLASS_WEIGHT = (1.0, 0.5, 2.0, 1.5, 0.1)
SETTINGS = CriterionSettings(CLASS_WEIGHT, points=PointSettings(64, 3.0, 0.75))
PROCESSES, SEEDS = 2, [11, 12, 13, 14]


def label_maps(classes_of_images):
    """A label map for each image, in blocks of the given classes and of ignored pixels."""
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
    return torch.randn(images, 7, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def losses_of(head, features, maps, seeds, settings=SETTINGS):
    points = SeededPoints(seeds, features.device)
    return Mask2FormerCriterion(settings)(head(features), targets_of(maps, "cpu"), points)


def gradients(module):
    return {name: one.grad.clone() for name, one in module.named_parameters()}


def criterion_answer(rows=slice(None)):
    """Losses and gradients of some of four images; the third has no target."""
    head, maps = Head(), label_maps([[0, 1, 2, 3], [1, 2, 3], [], [2]])
    losses = losses_of(head, features_of(4)[rows], maps[rows], SEEDS[rows])
    losses["loss"].backward()
    return {name: value.detach().clone() for name, value in losses.items()} | gradients(head)


def norms():
    """Two norms, one of them without scale, behind a convolution."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)
        return nn.Sequential(layers[0], layers[1], nn.ReLU(), layers[2]).train()


def norms_input():
    """Four images whose halves have different statistics."""
    x = torch.randn(4, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    return x * torch.tensor([1.0, 2.0, 0.5, 3.0])[:, None, None, None] + 0.3


def norms_answer(module, rows=slice(None)):
    """Two forward passes over some of the images, the second one backward."""
    x = norms_input()[rows].requires_grad_()
    module(x.detach())
    output = module(x)
    (output * torch.linspace(-1, 1, output[0].numel()).view(output[0].shape)).sum().backward()
    return {
        "rows": torch.cat([output.detach().flatten(1), x.grad.flatten(1)], dim=1),
        "gradients": gradients(module),
        "state": {name: value.clone() for name, value in module.state_dict().items()},
    }


def work(process, folder):
    """Saves what this process's half of the images gives."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=(folder / "store").as_uri(), rank=process, world_size=PROCESSES
    )
    rows = slice(2 * process, 2 * process + 2)
    module = norms()
    share_batch_norms(module)
    answer = {"criterion": criterion_answer(rows), "norms": norms_answer(module, rows)}
    torch.save(answer, folder / f"{process}.pt")
    distributed.destroy_process_group()
