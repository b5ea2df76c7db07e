import json
from pathlib import Path

import pytest
import torch
from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.errors import CheckpointError, ConfigError, TrainingError
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.training.initialisation import initialise
from modelscope_vitadapter.training.start.directory import StartPoint, prepare_start

MODEL = Path(__file__).parents[2] / "golden" / "base"


def state_of(folder):
    network = build_network(load_model_config(folder).settings)
    load_into(network, find_checkpoint(folder))
    return network.state_dict()


def test_a_model_with_its_own_classes_is_taken_as_it_is(tmp_path):
    target = tmp_path / "start"
    assert prepare_start(StartPoint(MODEL), target) == MODEL
    own = load_model_config(MODEL).classes
    assert prepare_start(StartPoint(MODEL, classes=own), target) == MODEL
    assert not target.exists()


def test_other_classes_start_a_fresh_classifier_and_keep_everything_else(tmp_path, caplog):
    caplog.set_level("INFO")
    target = prepare_start(StartPoint(MODEL, classes=["猫", "dog"]), tmp_path / "start")
    config = load_model_config(target)
    assert config.classes == ["猫", "dog"]
    assert len(config.palette) == 2
    before, after = state_of(MODEL), state_of(target)
    assert before.keys() == after.keys()
    fresh = {
        name
        for name in after
        if before[name].shape != after[name].shape or not torch.equal(before[name], after[name])
    }
    assert fresh == {"decode_head.cls_embed.weight", "decode_head.cls_embed.bias"}
    assert "Start fresh: decode_head.cls_embed.weight, decode_head.cls_embed.bias" in caplog.text
    weights = config.config.model.decode_head.loss_cls.class_weight
    assert list(weights) == [1.0, 1.0, 0.1]


def test_the_directory_works_in_the_pipeline(tmp_path):
    target = prepare_start(StartPoint(MODEL, classes=["a", "b", "c"]), tmp_path / "start")
    segmentor = pipeline(Tasks.image_segmentation, model=str(target), device="cpu")
    result = segmentor(str(MODEL / "tiny.png"))
    assert set(result["labels"]) <= {"a", "b", "c"}
    description = json.loads((target / "configuration.json").read_text(encoding="utf-8"))
    assert description["model"]["type"] == "vitadapter-semantic-segmentation"


def test_from_scratch_nothing_of_the_checkpoint_is_needed(tmp_path):
    folder = tmp_path / "config only"
    folder.mkdir()
    (folder / "mmcv_config.py").write_bytes((MODEL / "mmcv_config.py").read_bytes())
    point = StartPoint(folder, use_weights=False)
    torch.manual_seed(0)
    first = state_of(prepare_start(point, tmp_path / "first"))
    torch.manual_seed(0)
    second = state_of(prepare_start(point, tmp_path / "second"))
    assert all(torch.equal(first[name], value) for name, value in second.items())
    trained = state_of(MODEL)
    assert not torch.equal(
        first["backbone.blocks.0.attn.qkv.weight"], trained["backbone.blocks.0.attn.qkv.weight"]
    )


def beit_checkpoint(path, *, side=3, shared=False, wrap="model"):
    """A checkpoint with BEiT's names for the golden model, windows of `side` patches."""
    network = build_network(load_model_config(MODEL).settings)
    torch.manual_seed(5)
    initialise(network)
    state = {}
    for name, value in network.backbone.state_dict().items():
        if name.startswith(("blocks.", "patch_embed.", "cls_token")):
            state[name] = torch.randn_like(value)
    tables = [name for name in state if name.endswith("relative_position_bias_table")]
    heads = state[tables[0]].shape[1]
    for name in tables:
        state[name] = torch.randn((2 * side - 1) ** 2 + 3, heads)
    if shared:
        table = state[tables[0]]
        for name in tables:
            del state[name]
        state["rel_pos_bias.relative_position_bias_table"] = table
    state["mask_token"] = torch.zeros(1, 1, 48)
    state["lm_head.weight"] = torch.zeros(3, 48)
    torch.save({wrap: state} if wrap else state, path)
    return state


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("side", [3, 4, 6])
def test_a_beit_backbone_with_its_position_bias_resized(tmp_path, side, shared):
    path = tmp_path / "beit.pth"
    beit = beit_checkpoint(path, side=side, shared=shared)
    point = StartPoint(MODEL, use_weights=False, beit=path)
    found = state_of(prepare_start(point, tmp_path / "start"))
    for name in ("blocks.2.attn.qkv.weight", "cls_token", "patch_embed.proj.bias"):
        assert torch.equal(found[f"backbone.{name}"], beit[name]), name
    for block in range(4):
        own = f"blocks.{block}.attn.relative_position_bias_table"
        table = found[f"backbone.{own}"]
        given = beit["rel_pos_bias.relative_position_bias_table" if shared else own]
        assert table.shape == (7 * 7 + 3, 4)
        assert torch.equal(table[-3:], given[-3:])  # class token
        middle = given[: (2 * side - 1) ** 2].view(2 * side - 1, 2 * side - 1, -1)
        centre = table[:-3].view(7, 7, -1)[3, 3]
        assert torch.allclose(centre, middle[side - 1, side - 1], atol=1e-5)
        if side == 4:
            assert torch.equal(table, given)


def test_beit_goes_before_the_models_own_backbone(tmp_path):
    path = tmp_path / "beit.pth"
    beit = beit_checkpoint(path, side=4, wrap="")
    found = state_of(prepare_start(StartPoint(MODEL, beit=path), tmp_path / "start"))
    own = state_of(MODEL)
    name = "blocks.0.mlp.fc1.weight"
    assert torch.equal(found[f"backbone.{name}"], beit[name])
    for name in ("backbone.spm.fc1.weight", "decode_head.cls_embed.weight"):
        assert torch.equal(found[name], own[name])


def test_a_checkpoint_of_another_width_is_refused(tmp_path):
    path = tmp_path / "beit.pth"
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(96, 32)}, path)
    with pytest.raises(CheckpointError, match="no BEiT checkpoint for this backbone"):
        prepare_start(StartPoint(MODEL, beit=path), tmp_path / "start")
    assert not (tmp_path / "start").exists()


def test_a_models_checkpoint_of_another_architecture_is_refused(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "mmcv_config.py").write_bytes((MODEL / "mmcv_config.py").read_bytes())
    torch.save({"backbone.cls_token": torch.zeros(1, 1, 48)}, folder / "pytorch_model.pt")
    with pytest.raises(CheckpointError, match="belongs to another architecture"):
        prepare_start(StartPoint(folder, classes=["a"]), tmp_path / "start")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": []}, TrainingError, "no class is given"),
        ({"classes": ["a", "a"]}, TrainingError, "'a' is given 2 times"),
        ({"classes": ["a", "b"], "palette": [[0, 0, 0]]}, ConfigError, "1 colours for 2 classes"),
    ],
)
def test_classes_that_cannot_be_are_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        prepare_start(StartPoint(MODEL, **options), tmp_path / "start")
