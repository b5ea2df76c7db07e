import pytest

from modelscope_vitadapter.training.augmentation.settings import (
    AugmentationSettings,
    PhotometricSettings,
)


def test_the_defaults_are_the_papers():
    settings = AugmentationSettings(crop_size=(896, 896), scale=(3584, 896))
    assert settings.ratio_range == (0.5, 2.0)
    assert settings.cat_max_ratio == 0.75
    assert settings.crop_tries == 10
    assert settings.flip == 0.5
    assert settings.distortion == PhotometricSettings(
        brightness=32, contrast=(0.5, 1.5), saturation=(0.5, 1.5), hue=18, probability=0.5
    )


def test_photometric_distortion_is_switched_by_true_and_false_or_set():
    own = PhotometricSettings(hue=3)
    chosen = [
        AugmentationSettings((8, 8), (8, 8), photometric=value).distortion
        for value in (True, False, own)
    ]
    assert chosen == [PhotometricSettings(), None, own]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_size", (0, 8)),
        ("crop_size", (8.0, 8)),
        ("crop_size", (8,)),
        ("scale", (8, 0)),
        ("scale", (float("inf"), 8)),
        ("ratio_range", (2.0, 0.5)),
        ("ratio_range", (0.0, 0.5)),
        ("ratio_range", (0.5, float("nan"))),
        ("cat_max_ratio", 1.5),
        ("crop_tries", 0),
        ("flip", -0.1),
        ("mean", (1.0, 2.0)),
        ("mean", (1.0, 2.0, float("nan"))),
        ("std", (1.0, 0.0, 1.0)),
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.*expected"):
        AugmentationSettings(**{"crop_size": (8, 8), "scale": (32, 8), name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("brightness", -1),
        ("contrast", (1.5, 0.5)),
        ("saturation", (-0.5, 1.0)),
        ("hue", 91),
        ("probability", 2),
    ],
)
def test_photometric_values_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.*expected"):
        PhotometricSettings(**{name: value})
