import pytest

from modelscope_vitadapter.config.test_pipeline import parse_test_pipeline
from modelscope_vitadapter.training.augmentation.recipe import paper_recipe

RESIZE = {"type": "Resize", "keep_ratio": True}


def pipeline(*transforms, **changes):
    view = {"type": "MultiScaleFlipAug", "img_scale": (256, 64), "flip": False, **changes}
    return parse_test_pipeline(
        [{"type": "LoadImageFromFile"}, {**view, "transforms": [*transforms]}]
    )


def test_scale_and_normalisation_are_the_models():
    norm = {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6], "to_rgb": False}
    settings = paper_recipe(pipeline(RESIZE, norm), (64, 48))
    assert sorted(settings.scale) == [64, 256]
    assert settings.crop_size == (64, 48)
    assert settings.mean == (1, 2, 3)
    assert settings.std == (4, 5, 6)
    assert not settings.to_rgb
    assert settings.ratio_range == (0.5, 2.0)


def test_the_first_of_several_views_counts():
    flip = {"type": "RandomFlip"}
    transform = pipeline(RESIZE, flip, img_scale=[(256, 64), (384, 96)], flip=True)
    assert sorted(paper_recipe(transform, (64, 64)).scale) == [64, 256]


def test_without_steps_of_its_own():
    settings = paper_recipe(pipeline(), (96, 64))
    assert sorted(settings.scale) == [64, 256]
    assert (settings.mean, settings.std, settings.to_rgb) == ((0, 0, 0), (1, 1, 1), False)


def test_changes_come_first():
    settings = paper_recipe(pipeline(RESIZE), (64, 64), flip=0.0, scale=(100, 50))
    assert settings.flip == 0.0
    assert settings.scale == (100, 50)
    with pytest.raises(ValueError, match=r"^flip=2"):
        paper_recipe(pipeline(RESIZE), (64, 64), flip=2)
    with pytest.raises(TypeError, match="flop"):
        paper_recipe(pipeline(RESIZE), (64, 64), flop=0.0)
