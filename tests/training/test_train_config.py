import pytest

from modelscope_vitadapter.errors import CheckpointNotFoundError
from modelscope_vitadapter.network.segmentor import SIZE_DIVISOR
from modelscope_vitadapter.training.train_config import (
    BEST,
    CROP,
    CROP_DIVISOR,
    FREEZE,
    PERIODIC,
    TrainConfig,
    check,
    checkpoint_files,
    chosen_checkpoint,
    latest_checkpoint,
    saved_checkpoints,
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
        ("max_epochs", [-1], "a whole number from 1 up"),
        ("learning_rate", [0.0, "fast", float("nan")], "a number above 0"),
        ("weight_decay", [-0.1], "a number from 0 up"),
        ("flip", [1.5, -0.1], "a number from 0 to 1"),
        ("ratio_range", [(2.0, 1.0), (1.0,), (0.0, 1.0), 1.0], "two factors"),
        ("clip_norm", [0.0], "a number above 0, or None"),
        ("drop_path", [1.0], "1 excluded"),
        ("betas", [(0.9, 1.0), (0.9,)], "two numbers"),
        ("seed", [-1, None], "a whole number from 0 up"),
        ("photometric", ["no"], "True or False"),
        ("dtype", ["float64"], "one of float32, bfloat16, float16"),
        ("evaluation_interval", [-1], "a whole number from 0 up"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, values, expected):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name} is .*: expected .*{expected}"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize(
    ("options", "steps", "expected"),
    [
        ({}, 2000, (200, 200, 200)),
        ({}, 5, (0, 1, 1)),
        ({"warmup_iters": 700, "evaluation_interval": 300}, 1000, (700, 300, 300)),
        ({"evaluation_interval": 300, "checkpoint_interval": 50}, 1000, (100, 300, 50)),
        ({"warmup_iters": 700, "evaluation_interval": 300}, 20, (20, 20, 20)),
        ({"evaluation_interval": 0}, 1000, (100, 0, 100)),
    ],
)
def test_intervals_fit_the_run(options, steps, expected):
    config = TrainConfig(**options)
    found = config.warmup(steps), config.evaluates_every(steps), config.saves_every(steps)
    assert found == expected


def test_what_a_run_may_not_change():
    fixed = TrainConfig().fixed()
    assert {"learning_rate", "batch_size", "seed", "flip", "betas"} <= set(fixed)
    assert not {"max_iters", "accumulation", "dtype", "workers", "log_interval"} & set(fixed)


@pytest.mark.parametrize("crop", [0, -32, 100, 64.0, True, "64"])
def test_what_is_frozen_and_the_crop_are_checked(crop):
    assert CROP_DIVISOR == SIZE_DIVISOR
    check("crop", 64, CROP)
    check("freeze", "beit", FREEZE)
    with pytest.raises(ValueError, match="freeze is 'head': expected one of nothing, beit, back"):
        check("freeze", "head", FREEZE)
    with pytest.raises(ValueError, match="expected a multiple of 32 pixels"):
        check("crop", crop, CROP)


def test_whole_checkpoints_of_a_run_in_order_of_their_steps(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nothing") is None
    best = ["best_iter9_mIoU0.1000", "best_iter10_mIoU0.0900"]
    for name in ["iter_9", "iter_10", *best, "iter_900_backup", "my_iter_900"]:
        for path in checkpoint_files(tmp_path / name):
            path.touch()
    (tmp_path / "iter_11_trainer_state.pth").touch()
    (tmp_path / "iter_12.pth").touch()
    found = {names: saved_checkpoints(tmp_path, names) for names in (PERIODIC, BEST)}
    assert found[PERIODIC] == [tmp_path / "iter_9", tmp_path / "iter_10"]
    assert found[BEST] == [tmp_path / name for name in best]
    assert latest_checkpoint(tmp_path) == tmp_path / "iter_10"


def test_a_checkpoint_may_be_named_by_its_weights(tmp_path):
    for name in ("iter_9", "best_iter9_mIoU0.1000"):
        files = checkpoint_files(tmp_path / name)
        assert [path.name for path in files] == [f"{name}.pth", f"{name}_trainer_state.pth"]
        assert checkpoint_files(files[0]) == checkpoint_files(files[1]) == files


def test_a_chosen_checkpoint_is_one_or_a_runs_last(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"no checkpoint iter_N in .*resume"):
        chosen_checkpoint(tmp_path)
    for name in ("iter_9", "iter_10", "best_iter9_mIoU0.1000"):
        files = checkpoint_files(tmp_path / name)
        for path in files:
            path.touch()
        for path in (tmp_path / name, *files):
            assert chosen_checkpoint(path) == tmp_path / name
    assert chosen_checkpoint(tmp_path) == tmp_path / "iter_10"
    (tmp_path / "iter_9.pth").unlink()
    for name, missing in (("iter_7", "iter_7.pth"), ("iter_9", "iter_9.pth")):
        message = (
            rf"{missing}' is missing.*run's folder.*there are: iter_10, best_iter9_mIoU0.1000$"
        )
        with pytest.raises(FileNotFoundError, match=message):
            chosen_checkpoint(tmp_path / name)
