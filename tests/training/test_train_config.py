import pytest

from modelscope_vitadapter.network.segmentor import SIZE_DIVISOR
from modelscope_vitadapter.training.train_config import (
    CROP,
    CROP_DIVISOR,
    FREEZE,
    TrainConfig,
    check,
)


def test_defaults_are_the_papers():
    config = TrainConfig()
    assert (config.max_iters, config.batch_size, config.learning_rate) == (80_000, 16, 2e-5)
    assert (config.layer_decay, config.weight_decay, config.clip_norm) == (0.9, 0.05, 0.01)
    assert config.warmup(config.max_iters) == 1500
    assert (config.ratio_range, config.cat_max_ratio, config.flip) == ((0.5, 2.0), 0.75, 0.5)


def test_options_change_fields_of_their_part_and_lists_become_tuples():
    config = TrainConfig().changed("recipe", {"max_iters": 5, "ratio_range": [1.0, 1.5]})
    config = config.changed("run", {"workers": 0})
    assert (config.max_iters, config.ratio_range, config.workers) == (5, (1.0, 1.5), 0)
    for part, name, other in (
        ("recipe", "learning_rat", "learning_rate"),
        ("recipe", "workers", "seed"),
        ("run", "max_iters", "workers"),
    ):
        with pytest.raises(ValueError, match=f"^{part} has no option '{name}': .*{other}"):
            config.changed(part, {name: 1})


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("max_iters", [0, True, 1.5, None, "5"], "a whole number from 1 up"),
        ("batch_size", [0], "a whole number from 1 up"),
        ("accumulation", [1.5], "a whole number from 1 up"),
        ("max_epochs", [-1], "a whole number from 1 up"),
        ("learning_rate", [0.0, "fast", float("nan")], "a number above 0"),
        ("weight_decay", [-0.1], "a number from 0 up"),
        ("flip", [1.5, -0.1], "a number from 0 to 1"),
        ("ratio_range", [(2.0, 1.0), (1.0,), (0.0, 1.0), 1.0], "two factors"),
        ("clip_norm", [0.0], "a number above 0, or None"),
        ("drop_path", [1.0], "1 excluded"),
        ("betas", [(0.9, 1.0), (0.9,)], "two numbers"),
        ("seed", [-1, None], "a whole number from 0 up"),
        ("warmup_iters", [-5], "a whole number from 0 up"),
        ("photometric", ["no"], "True or False"),
        ("dtype", ["float64"], "one of float32, bfloat16, float16"),
        ("log_interval", [0], "a whole number from 1 up"),
        ("evaluation_interval", [-1], "a whole number from 0 up"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, values, expected):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name} is .*: expected .*{expected}"):
            TrainConfig(**{name: value})


def test_intervals_fit_the_run():
    config = TrainConfig()
    assert (config.warmup(2000), config.evaluates_every(2000), config.saves_every(2000)) == (
        200,
    ) * 3
    assert (config.warmup(5), config.evaluates_every(5), config.saves_every(5)) == (0, 1, 1)
    given = TrainConfig(warmup_iters=700, evaluation_interval=300, checkpoint_interval=50)
    assert (given.warmup(1000), given.evaluates_every(1000), given.saves_every(1000)) == (
        700,
        300,
        50,
    )
    assert (given.warmup(20), given.evaluates_every(20), given.saves_every(20)) == (20, 20, 20)
    none = TrainConfig(evaluation_interval=0)
    assert (none.evaluates_every(1000), none.saves_every(1000)) == (0, 100)


def test_what_a_run_may_not_change():
    fixed = TrainConfig().fixed()
    assert {"learning_rate", "batch_size", "seed", "flip", "betas"} <= set(fixed)
    assert not {"max_iters", "accumulation", "dtype", "workers", "log_interval"} & set(fixed)


def test_what_is_frozen_and_the_crop_are_checked():
    assert CROP_DIVISOR == SIZE_DIVISOR
    check("crop", 64, CROP)
    check("freeze", "beit", FREEZE)
    with pytest.raises(ValueError, match="freeze is 'head': expected one of nothing, beit, back"):
        check("freeze", "head", FREEZE)
    for crop in (0, -32, 100, 64.0, True, "64"):
        with pytest.raises(ValueError, match="expected a multiple of 32 pixels"):
            check("crop", crop, CROP)
