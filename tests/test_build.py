import json

import numpy as np
import pytest
import torch

from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN
from tests.support.networks import relative_error, tiny_network

CASES = [("base", name) for name in ("china", "flower", "gray", "pil", "tall", "tiny", "wide")] + [
    ("tta", name) for name in ("china", "flower")
]


@pytest.fixture(scope="module")
def golden_networks():
    networks = {}
    for folder in ("base", "tta"):
        settings = parse_model(read_config(GOLDEN / folder / "mmcv_config.py"))
        network = build_network(settings).eval()
        stored = torch.load(GOLDEN / folder / "pytorch_model.pt", weights_only=False)
        weights = stored.get("state_dict", stored)
        network.load_state_dict(
            {k: v for k, v in weights.items() if not k.endswith("relative_position_index")}
        )
        networks[folder] = network, settings.windows.crop_size
    return networks


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_features_and_logits_equal_the_builtin_models(golden_networks, folder, name):
    network, (height, width) = golden_networks[folder]
    with np.load(GOLDEN / folder / "expected.npz") as answers:
        expected = {
            key.split("/")[1]: torch.from_numpy(answers[key])
            for key in answers.files
            if key.startswith((f"{name}/input0", f"{name}/window0"))
        }
    window = expected["input0"][:, :, :height, :width]

    with torch.no_grad():
        features = network.backbone(window)
        class_logits, mask_logits = network.decode_head(features)

    for i, feature in enumerate(features, start=1):
        assert feature.shape == expected[f"window0_c{i}"].shape
        assert relative_error(feature, expected[f"window0_c{i}"]) < 1e-4
    assert relative_error(class_logits, expected["window0_cls"]) < 1e-4
    assert relative_error(mask_logits, expected["window0_mask"]) < 1e-4


def test_golden_cases_are_complete():
    found = set()
    for folder in ("base", "tta"):
        with np.load(GOLDEN / folder / "expected.npz") as answers:
            found |= {(folder, key.split("/")[0]) for key in answers.files}
    assert found == set(CASES)


def test_the_authors_form_answers_otherwise(golden_networks):
    network, (height, width) = golden_networks["base"]
    settings = parse_model(read_config(GOLDEN / "base" / "mmcv_config.py"))
    authors = build_network(settings, adapter_form=AdapterForm.AUTHORS).eval()
    authors.load_state_dict(network.state_dict())
    with np.load(GOLDEN / "base" / "expected.npz") as answers:
        window = torch.from_numpy(answers["china/input0"])[:, :, :height, :width]
        c1 = torch.from_numpy(answers["china/window0_c1"])
    with torch.no_grad():
        assert relative_error(authors.backbone(window)[0], c1) > 1e-2


def test_full_size_state_dict_is_the_published_one_without_memory():
    expected = {
        name: (dtype, tuple(shape))
        for name, (dtype, shape) in json.loads(
            (GOLDEN / "full_size_state_dict.json").read_text(encoding="utf-8")
        ).items()
        if not name.endswith("relative_position_index")
    }
    with torch.device("meta"):
        network = build_network(parse_model(read_config(GOLDEN / "full_size_mmcv_config.py")))

    assert {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    } == expected
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 571


def test_drop_path_rates_grow_linearly_and_extractors_have_the_highest():
    network = tiny_network({"model.backbone.drop_path_rate": 0.3})
    rates = [block.drop_path.probability for block in network.backbone.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
    last = network.backbone.interactions[-1]
    extractors = [last.extractor, *last.extra_extractors]
    assert [extractor.drop_path.probability for extractor in extractors] == [0.3] * 3


def test_only_the_last_stage_has_extra_extractors():
    interactions = tiny_network().backbone.interactions
    assert [stage.extra_extractors is not None for stage in interactions] == [
        False,
        False,
        False,
        True,
    ]


def test_levels_of_the_adapters_attention():
    stage = tiny_network().backbone.interactions[0]
    assert (stage.injector.attn.num_levels, stage.extractor.attn.num_levels) == (3, 1)
    assert stage.injector.attn.value_proj.out_features == 8  # deform_ratio 0.5 of 16
    assert stage.extractor.ffn.fc1.out_features == 8  # cffn_ratio 0.5 of 16


def test_equal_builds_give_equal_answers():
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert all(map(torch.equal, tiny_network()(image), tiny_network()(image)))


def test_every_part_takes_its_dropout():
    network = tiny_network(
        {"model.backbone.drop_rate": 0.25, "model.backbone.attn_drop_rate": 0.125}
    )
    backbone = network.backbone
    rates = {
        name: module.p
        for name, module in backbone.named_modules()
        if isinstance(module, torch.nn.Dropout)
    }
    assert (
        rates["pos_drop"] == rates["blocks.0.attn.proj_drop"] == rates["blocks.3.mlp.drop"] == 0.25
    )
    assert {block.attn.attn_drop for block in backbone.blocks} == {0.125}
    assert {p for name, p in rates.items() if name.startswith("interactions")} == {0.0}


@pytest.mark.parametrize("with_cp", [False, True])
def test_every_block_injector_and_extractor_is_checkpointed(with_cp):
    backbone = tiny_network({"model.backbone.with_cp": with_cp}).backbone.train()
    runs = {}
    for name, module in backbone.named_modules():
        if name.endswith(".attn"):
            runs[name] = 0

            def count(*_, name=name):
                runs[name] += 1

            module.register_forward_hook(count)
    sum(m.sum() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert len(runs) == 4 + 4 + 4 + 2
    assert set(runs.values()) == {2 if with_cp else 1}
