import json

import numpy as np
import pytest
import torch

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.config.settings import AdapterForm, parse_adapter_form
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN
from tests.support.networks import random_image, relative_error, tiny_network


def test_the_authors_form_leaves_out_the_normalised_query():
    settings = parse_model(read_config(GOLDEN / "base" / "mmcv_config.py"))
    authors = build_network(settings, adapter_form=AdapterForm.AUTHORS).eval()
    load_into(authors, GOLDEN / "base" / "pytorch_model.pt")
    with np.load(GOLDEN / "base" / "expected.npz") as answers:
        window = torch.from_numpy(answers["china/input0"])[:, :, :64, :64]
        c1 = torch.from_numpy(answers["china/window0_c1"])
    with torch.no_grad():
        assert relative_error(authors.backbone(window)[0], c1) > 1e-2
        # what the built-in form adds to the attended values, added by hand
        for stage in authors.backbone.interactions:
            for part in (stage.injector, stage.extractor, *(stage.extra_extractors or ())):
                part.attn.register_forward_hook(lambda _, given, attended: attended + given[0])
        assert relative_error(authors.backbone(window)[0], c1) < 1e-4


def test_adapter_forms():
    assert parse_adapter_form(None) is parse_adapter_form("builtin") is AdapterForm.BUILTIN
    assert parse_adapter_form("authors") is AdapterForm.AUTHORS
    with pytest.raises(ValueError, match="adapter_form='mine': expected 'builtin'"):
        parse_adapter_form("mine")


def test_full_size_state_dict_is_the_published_one_without_memory():
    text = (GOLDEN / "full_size_state_dict.json").read_text(encoding="utf-8")
    expected = {
        name: (dtype, tuple(shape))
        for name, (dtype, shape) in json.loads(text).items()
        if not name.endswith("relative_position_index")
    }
    with torch.device("meta"):
        network = build_network(parse_model(read_config(GOLDEN / "full_size_mmcv_config.py")))
    assert {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    } == expected
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))


def test_drop_path_rates_grow_linearly_and_extractors_have_the_highest():
    backbone = tiny_network({"model.backbone.drop_path_rate": 0.3}).backbone
    rates = [block.drop_path.probability for block in backbone.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
    last = backbone.interactions[-1]
    extractors = [last.extractor, *last.extra_extractors]
    assert [extractor.drop_path.probability for extractor in extractors] == [0.3] * 3


def test_recomputed_activations_are_of_every_block_and_give_the_same_gradients():
    gradients = []
    for with_cp in (False, True):
        changes = {"model.backbone.with_cp": with_cp, "model.backbone.drop_path_rate": 0.5}
        backbone, runs = tiny_network(changes).backbone.train(), {}
        for name, module in backbone.named_modules():
            if name.endswith(".attn"):
                runs[name] = []
                module.register_forward_hook(lambda *_, name=name, runs=runs: runs[name].append(1))
        torch.manual_seed(0)  # of drop paths
        sum(part.square().sum() for part in backbone(random_image(2, 3, 64, 64))).backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters()})
        assert {len(run) for run in runs.values()} == {2 if with_cp else 1}
        assert len(runs) == 4 + 4 + 4 + 2  # blocks, injectors, extractors, extra extractors
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, rtol=1e-4, atol=1e-4)
