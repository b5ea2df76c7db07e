import pytest

from modelscope_vitadapter.training.recipe import Recipe


def test_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.max_iters, recipe.batch_size, recipe.learning_rate) == (80_000, 16, 2e-5)
    assert (recipe.layer_decay, recipe.weight_decay) == (0.9, 0.05)
    assert recipe.warmup(recipe.max_iters) == 1500
    assert (recipe.ratio_range, recipe.cat_max_ratio, recipe.flip) == ((0.5, 2.0), 0.75, 0.5)


def test_options_change_fields_and_lists_become_tuples():
    recipe = Recipe().changed({"max_iters": 5, "ratio_range": [1.0, 1.5]})
    assert (recipe.max_iters, recipe.ratio_range) == (5, (1.0, 1.5))


def test_a_short_run_has_a_short_warm_up_unless_told_otherwise():
    assert Recipe().warmup(2000) == 200
    assert Recipe(warmup_iters=700).warmup(1000) == 700


def test_an_unknown_option_is_named():
    with pytest.raises(ValueError, match=r"no option 'learning_rat'.*learning_rate"):
        Recipe().changed({"learning_rat": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iters": 0}, "max_iters is 0: expected a whole number from 1 up"),
        ({"batch_size": True}, "batch_size is True"),
        ({"accumulation": 1.5}, "accumulation is 1.5"),
        ({"max_epochs": -1}, "max_epochs is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0: expected a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"flip": 1.5}, "flip is 1.5: expected a number from 0 to 1"),
        ({"ratio_range": (2.0, 1.0)}, "ratio_range"),
        ({"ratio_range": (1.0,)}, "ratio_range"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"seed": -1}, "seed is -1"),
        ({"warmup_iters": -5}, "warmup_iters is -5"),
        ({"dtype": "float64"}, "dtype is 'float64': expected one of float32, bfloat16, float16"),
    ],
)
def test_values_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe().changed(options)
