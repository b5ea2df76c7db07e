"""`docs/configuration.md` names every key that is read, and no other."""

import itertools
import re
from pathlib import Path

import pytest

from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.model_config import parse_model
from tests.support.configs import tiny_config

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
LAYERS = (
    "model.decode_head.transformer_decoder.transformerlayers",
    "model.decode_head.pixel_decoder.encoder.transformerlayers",
)
PARTS = (f"{LAYERS[0]}.attn_cfgs", *(f"{layer}.ffn_cfgs" for layer in LAYERS))
CHANGES = {f"{part}.dropout_layer": {"type": "Dropout", "drop_prob": 0.0} for part in PARTS}


def expanded(key):
    """`a.{b, c}` as `a.b` and `a.c`."""
    parts = re.split(r"\{([^}]*)\}", key)
    choices = [part.split(", ") if i % 2 else [part] for i, part in enumerate(parts)]
    return {f"model.{''.join(choice)}" for choice in itertools.product(*choices)}


def documented():
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 90
    return set().union(*map(expanded, rows))


@pytest.fixture
def read(monkeypatch):
    """The keys that are taken or passed over."""
    keys = set()
    take, skip = Fields.take, Fields.skip

    def taking(self, key, *default):
        value = take(self, key, *default)
        if not isinstance(value, dict):
            keys.add(f"{self.path}.{key}")
        return value

    def skipping(self, *skipped):
        keys.update(f"{self.path}.{key}" for key in skipped)
        return skip(self, *skipped)

    monkeypatch.setattr(Fields, "take", taking)
    monkeypatch.setattr(Fields, "skip", skipping)
    return keys


def test_the_page_names_what_is_read(read):
    config = tiny_config(CHANGES)
    settings = parse_model(config)
    parts = {"sampler": {}, "assigner": {"cls_cost": {}, "mask_cost": {}, "dice_cost": {}}}
    losses = {"loss_cls": {}, "loss_mask": {}, "loss_dice": {}}
    head = {"decode_head": losses, "train_cfg": parts}
    parse_criterion({"model": head}, settings.head.num_classes)
    # Their entries are named one by one.
    read.difference_update({"model.train_cfg", *(f"model.decode_head.{loss}" for loss in losses)})
    assert {key for key in read if key.startswith("model.")} == documented()
