"""The model object: what it shows, how it is saved and loaded again."""

import json

import numpy as np
import pytest
import torch
from modelscope.models import Model
from modelscope.pipelines import pipeline
from modelscope.trainers.hooks.checkpoint.checkpoint_processor import CheckpointProcessor
from modelscope.utils.config import Config

from tests.pipeline.cases import case_input

IMAGE = case_input("base", "flower")


@pytest.fixture
def model(base_dir):
    return Model.from_pretrained(base_dir)


def class_map(model_or_dir):
    segmentor = pipeline("image-segmentation", model=model_or_dir, device="cpu")
    return segmentor(IMAGE, output="class_map")["class_map"]


def test_attributes(model):
    assert model.num_classes == 17
    assert model.CLASSES[:2] == ["thing-0", "thing-1"]
    assert model.PALETTE[0] == [175, 196, 25]
    assert model.cfg.model.backbone.embed_dim == 48
    assert model.cfg["CLASSES"] == model.CLASSES
    assert model.cfg.data.test.pipeline[0].type == "LoadImageFromFile"
    assert not model.model.training


def test_inference_and_postprocess_as_in_the_built_in_model(model, segmentor):
    class_maps = model.inference(segmentor.preprocess(IMAGE))
    assert class_maps[0].dtype == np.int64
    result = model.postprocess(class_maps)
    assert all(map(np.array_equal, result["masks"], segmentor(IMAGE)["masks"]))


@pytest.mark.parametrize("name", [None, "pytorch_model.pt", "pytorch_model.bin"])
def test_save_and_load(model, base_dir, tmp_path, name):
    target = tmp_path / "saved model 模型"
    model.save_pretrained(target, name)
    assert (target / (name or "model.safetensors")).is_file()
    saved = json.loads((target / "configuration.json").read_text(encoding="utf-8"))
    assert saved["model"]["type"] == "vitadapter-semantic-segmentation"
    assert np.array_equal(class_map(str(target)), class_map(base_dir))
    weights = Model.from_pretrained(str(target)).state_dict()
    for key, tensor in model.state_dict().items():
        assert torch.equal(weights[key], tensor)


def test_checkpoint_hook_of_the_trainer(model, base_dir, tmp_path):
    class Trainer:
        cfg = Config.from_file(f"{base_dir}/configuration.json")
        train_preprocessor = None
        eval_preprocessor = None

        def unwrap_module(self, module):
            return module

    trainer = Trainer()
    trainer.model = model
    output = tmp_path / "output"
    output.mkdir()
    processor = CheckpointProcessor()
    processor.prepare_output(trainer, str(output))
    assert (output / "mmcv_config.py").is_file()
    assert not list(output.glob("*.bin"))
    processor.save_model_state(model, str(tmp_path / "epoch_1.pth"))
    processor.link(model, str(tmp_path / "epoch_1.pth"), str(output))
    assert np.array_equal(class_map(str(output)), class_map(base_dir))
