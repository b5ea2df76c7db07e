import copy
import math

import pytest
import torch
from torch import nn

from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.errors import NotFiniteLossError
from modelscope_vitadapter.network.seeded_dropout import set_sample_seeds
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, targets_of
from modelscope_vitadapter.training.loader import Batch
from modelscope_vitadapter.training.losses import SeededPoints
from modelscope_vitadapter.training.train_config import TrainConfig
from modelscope_vitadapter.training.train_step import TrainStep, share_batch_norms
from tests.support.networks import network_of
from tests.training.tiny_model import trained_config

CONFIG = {"learning_rate": 1e-3, "clip_norm": None, "warmup_iters": 0}
NAMES = ["image a", "image b", "image c", "image d"]


@pytest.fixture(scope="module")
def network():
    return network_of(trained_config())


def batch_of(count=2):
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(-1, 5, (count, 4, 4), generator=generator, dtype=torch.int16)
    classes = classes.repeat_interleave(16, 1).repeat_interleave(16, 2)
    images = torch.randn(count, 3, 64, 64, generator=generator)
    return Batch(images, classes, list(range(count)), NAMES[:count])


def step_of(network, *, freeze="nothing", **options):
    """A step over a copy of the network, and the gradients that its optimiser was given last."""
    network, criterion = copy.deepcopy(network), parse_criterion(trained_config(), 5)
    config = TrainConfig(**{**CONFIG, **options})
    step, seen = TrainStep(network, criterion, config, max_iters=100, freeze=freeze), {}

    def remember(*_):
        named = network.named_parameters()
        seen.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    step.optimizer.register_step_pre_hook(remember)
    return step, network, seen


def test_a_steps_loss_is_the_criterions_and_its_gradient_reaches_every_parameter(network):
    step, trained, seen = step_of(network)
    batch = batch_of(4)  # so that no branch is dropped for all of them
    found = step(batch)

    other = copy.deepcopy(network).train()
    set_sample_seeds(other, batch.seeds)
    predictions = list(other.predictions(batch.images))
    criterion = Mask2FormerCriterion(parse_criterion(trained_config(), 5))
    points = SeededPoints(batch.seeds, "cpu")
    losses = criterion(predictions, targets_of(batch.classes, "cpu"), points)
    assert list(found) == [*losses, "grad_norm"]
    assert {name: found[name] for name in losses} == pytest.approx(
        {name: float(value.detach()) for name, value in losses.items()}, rel=1e-5
    )
    losses["loss"].backward()
    expected = {name: p.grad for name, p in other.named_parameters()}
    assert seen.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.any(), name
        assert torch.allclose(seen[name], gradient, atol=1e-5), name
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in expected.values()))
    assert found["grad_norm"] == pytest.approx(norm, rel=1e-4)
    before, after = network.state_dict(), trained.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in expected)
    assert all(p.grad is None for p in trained.parameters())


def test_accumulated_parts_give_the_mean_of_their_gradients(network):
    batch = batch_of()
    step, _, seen = step_of(network, accumulation=2)
    found = step(batch)
    singles = []
    for row in range(2):
        rows = slice(row, row + 1)
        one, _, gradients = step_of(network)
        part = Batch(batch.images[rows], batch.classes[rows], batch.seeds[rows], batch.names[rows])
        singles.append((one(part)["loss"], gradients))
    assert found["loss"] == pytest.approx(sum(loss for loss, _ in singles) / 2, rel=1e-5)
    for name, gradient in seen.items():
        expected = sum(gradients[name] for _, gradients in singles) / 2
        assert torch.allclose(gradient, expected, atol=1e-4 * gradient.abs().max()), name


def test_gradients_are_clipped_together(network):
    plain, clipped = step_of(network), step_of(network, clip_norm=0.5)
    norm = plain[0](batch_of())["grad_norm"]
    assert norm > 1
    assert clipped[0](batch_of())["grad_norm"] == pytest.approx(norm, rel=1e-6)
    for name, gradient in plain[2].items():
        expected = gradient * 0.5 / norm
        assert torch.allclose(clipped[2][name], expected, rtol=1e-3, atol=1e-9), name


@pytest.mark.parametrize(
    ("freeze", "parts"),
    [
        ("backbone", {"decode_head"}),
        ("beit", {"decode_head", "spm", "interactions", "level_embed", "up", "norm1", "norm4"}),
    ],
)
def test_frozen_parts_stay_to_the_last_bit(network, freeze, parts):
    step, trained, seen = step_of(network, freeze=freeze)
    step(batch_of())
    before, after = network.state_dict(), trained.state_dict()
    names = [name for name in before if not torch.equal(before[name], after[name])]
    moved = {name.split(".")[1] if name.startswith("backbone") else "decode_head" for name in names}
    assert parts <= moved
    assert not moved & {"blocks", "patch_embed", "cls_token"}
    assert freeze == "beit" or moved == parts
    assert set(seen) == {name for name, p in trained.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_trains_float32_weights(network, dtype):
    batch = batch_of()
    exact = step_of(network)[0](batch)
    step, trained, _ = step_of(network, dtype=dtype)
    found = step(batch)
    while not math.isfinite(found["grad_norm"]):  # float16's scale falls step by step
        found = step(batch)
    for name in ("loss", "grad_norm"):
        assert found[name] == pytest.approx(exact[name], rel=0.2)
        assert found[name] != exact[name]
    assert {p.dtype for p in trained.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_names_the_images_and_changes_nothing(network):
    step, trained, seen = step_of(network, accumulation=2)
    batch = batch_of()
    batch.images[1, 0, 0, 0] = math.nan
    with pytest.raises(NotFiniteLossError, match=r"loss \(loss, .* became nan .* images image b\."):
        step(batch)
    assert not seen
    expected = dict(network.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in trained.named_parameters())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradients_that_are_not_finite_stop_or_leave_out_the_step(network, dtype):
    """In float16 the scale is lowered, so that the next step may do."""
    step, trained, seen = step_of(network, dtype=dtype)
    trained.decode_head.cls_embed.bias.register_hook(lambda gradient: gradient * math.inf)
    scale = step.scaler.get_scale()
    if dtype == "float32":
        with pytest.raises(NotFiniteLossError, match=r"norm became .*image a, image b"):
            step(batch_of())
        assert not seen
    else:
        step(batch_of())
        assert step.scaler.get_scale() < scale
    expected = dict(network.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in trained.named_parameters())


def test_sharing_norms_keeps_names_and_tensors_and_the_answer_of_one_process():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    shared, images = copy.deepcopy(plain), torch.randn(2, 3, 6, 7)
    before = shared.state_dict(keep_vars=True)
    share_batch_norms(shared)
    after = shared.state_dict(keep_vars=True)
    assert list(before) == list(after)
    assert all(after[name] is value for name, value in before.items())
    assert type(shared[1]) is not nn.BatchNorm2d
    assert torch.equal(plain(images), shared(images))
    assert torch.equal(plain.eval()(images), shared.eval()(images))
