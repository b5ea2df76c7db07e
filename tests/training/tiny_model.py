"""A tiny model's directory to train from: drop path is on, and activations are computed twice."""

import pprint

import torch

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.model_config import parse_model_config
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.training.initialize import set_fresh_weights
from tests.support.configs import tiny_config

NORMALIZE = {"type": "Normalize", "mean": [120.0] * 3, "std": [60.0] * 3, "to_rgb": True}
STEPS = [{"type": "Resize", "keep_ratio": True}, {"type": "RandomFlip"}, NORMALIZE]
PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "MultiScaleFlipAug", "img_scale": (256, 64), "flip": False, "transforms": STEPS},
]
FEW_POINTS = {"num_points": 100, "oversample_ratio": 3.0, "importance_sample_ratio": 0.75}


def trained_config(changes=None):
    """`tiny_config`, with what training and a test pipeline need."""
    config = tiny_config(
        {
            "model.backbone.drop_path_rate": 0.3,
            "model.backbone.with_cp": True,
            "model.train_cfg": FEW_POINTS,
            **(changes or {}),
        }
    )
    return {**config, "data": {"test": {"pipeline": PIPELINE}}}


def write_model(folder, changes=None, *, seed=1):
    """A model directory in the hub's layout, without `configuration.json`."""
    folder.mkdir(parents=True)
    config = trained_config(changes)
    text = "".join(f"{name} = {pprint.pformat(value)}\n" for name, value in config.items())
    (folder / "mmcv_config.py").write_text(text, encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(parse_model_config(ConfigDict(config)).settings)
        set_fresh_weights(network)
    torch.save(network.state_dict(), folder / "pytorch_model.pt")
    return folder
