import pytest
import torch

from modelscope_vitadapter.training.schedule import build_schedule, rate_factor


def factors(steps, **options):
    given = {"max_iters": 100, "warmup_iters": 10, "warmup_ratio": 0.1, "power": 1.0, **options}
    return [rate_factor(step, **given) for step in steps]


def test_falls_along_the_polynomial_to_zero():
    assert factors([10, 50, 100]) == pytest.approx([0.9, 0.5, 0.0])
    assert factors([50], power=2.0) == pytest.approx([0.25])
    assert factors([100, 101]) == [0.0, 0.0]


def test_the_warm_up_multiplies_the_decayed_rate():
    # As in mmcv, where the warm-up takes a share off the regular rate.
    assert factors([0, 5]) == pytest.approx([0.1, 0.95 * (1 - 0.5 * 0.9)])
    assert factors([0], warmup_iters=0) == [1.0]


def test_scheduler_scales_each_groups_own_rate():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.AdamW(
        [{"params": [parameters[0]], "lr": 1.0}, {"params": [parameters[1]], "lr": 0.5}]
    )
    schedule = build_schedule(optimizer, max_iters=4, warmup_iters=0, warmup_ratio=1e-6, power=1.0)
    seen = []
    for _ in range(4):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert seen == [[1.0, 0.5], [0.75, 0.375], [0.5, 0.25], [0.25, 0.125]]
