import pytest
import torch

from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.position_bias import table_for_window
from modelscope_vitadapter.training.config_changes import changed_config
from modelscope_vitadapter.training.initialize import initialize, set_fresh_weights
from tests.support.networks import tiny_network
from tests.training.tiny_model import write_model

TABLE = "relative_position_bias_table"
QKV = "backbone.blocks.0.attn.qkv.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("initialize") / "model")


def weights_of(folder):
    return torch.load(folder / "pytorch_model.pt", weights_only=True)


def started(folder, *, from_scratch=False, beit=None, seed=0, **changes):
    """The weights that training starts from."""
    source = load_model_config(folder)
    config = changed_config(source, **changes)
    found = initialize(folder, source, config, from_scratch=from_scratch, beit=beit, seed=seed)
    assert found.config is config
    assert not found.network.training
    return found.network.state_dict()


def differing(found, expected):
    assert found.keys() == expected.keys()
    return {
        name
        for name, value in expected.items()
        if found[name].shape != value.shape or not torch.equal(found[name], value)
    }


def test_other_classes_start_a_fresh_classifier_and_keep_everything_else(model, caplog):
    caplog.set_level("INFO")
    found = started(model, classes=["猫", "dog"])
    fresh = {"decode_head.cls_embed.weight", "decode_head.cls_embed.bias"}
    assert differing(found, weights_of(model)) == fresh
    assert "Start fresh: decode_head.cls_embed.weight, decode_head.cls_embed.bias" in caplog.text
    for classes in (None, list("edcba")):  # as many classes: all weights stay
        assert differing(started(model, classes=classes), weights_of(model)) == set()


@pytest.mark.parametrize("crop", [32, 96])
def test_position_biases_are_resized_to_the_crop_and_all_else_is_kept(model, crop):
    before, after = weights_of(model), started(model, crop=crop)
    cells = crop // 16
    tables = {name for name in before if name.endswith(TABLE)}
    assert len(tables) == 4
    assert differing(after, before) == tables
    for name in tables:
        assert torch.equal(after[name], table_for_window(before[name], (4, 4), (cells, cells)))


def test_biases_of_oblong_windows_are_kept(tmp_path):
    windows = {"mode": "slide", "crop_size": (64, 96), "stride": (32, 48)}
    changes = {"model.backbone.img_size": (64, 96), "model.test_cfg": windows}
    folder = write_model(tmp_path / "oblong", changes)
    found = differing(started(folder, classes=["a"]), weights_of(folder))
    assert found == {"decode_head.cls_embed.weight", "decode_head.cls_embed.bias"}


def test_from_scratch_the_seed_decides_and_no_checkpoint_is_needed(model, tmp_path):
    (tmp_path / "mmcv_config.py").write_bytes((model / "mmcv_config.py").read_bytes())
    torch.manual_seed(0)
    first = started(tmp_path, from_scratch=True, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)  # the global generator is left alone
    assert differing(started(tmp_path, from_scratch=True, seed=3), first) == set()
    assert QKV in differing(started(tmp_path, from_scratch=True, seed=4), first)
    assert QKV in differing(first, weights_of(model))


def beit_checkpoint(model, path, *, side=4, shared=False, wrap="model"):
    """A checkpoint with BEiT's names for the tiny model, windows of `side` patches."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for name, value in weights_of(model).items():
        bare = name.removeprefix("backbone.")
        if bare.startswith(("blocks.", "patch_embed.", "cls_token")):
            rows = (2 * side - 1) ** 2 + 3 if name.endswith(TABLE) else value.shape[0]
            state[bare] = torch.randn(rows, *value.shape[1:], generator=generator)
    tables = [name for name in state if name.endswith(TABLE)]
    if shared:
        state[f"rel_pos_bias.{TABLE}"] = state[tables[0]]
        for name in tables:
            del state[name]
    state["lm_head.weight"] = torch.zeros(3, 48)
    torch.save({wrap: state} if wrap else state, path)
    return state


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("side", "crop"), [(3, None), (4, None), (6, None), (6, 96)])
def test_a_beit_backbone_with_its_position_bias_resized(model, tmp_path, side, crop, shared):
    beit = beit_checkpoint(model, tmp_path / "beit.pth", side=side, shared=shared)
    found = started(model, from_scratch=True, beit=tmp_path / "beit.pth", crop=crop)
    for name in ("blocks.2.attn.qkv.weight", "cls_token", "patch_embed.proj.bias"):
        assert torch.equal(found[f"backbone.{name}"], beit[name]), name
    cells = 4 if crop is None else crop // 16
    for block in range(4):
        own = f"blocks.{block}.attn.{TABLE}"
        given = beit[f"rel_pos_bias.{TABLE}" if shared else own]
        expected = table_for_window(given, (side, side), (cells, cells))
        assert torch.equal(found[f"backbone.{own}"], expected)


def test_beit_goes_before_the_models_own_backbone(model, tmp_path):
    beit = beit_checkpoint(model, tmp_path / "beit.pth", wrap="")
    found, own = started(model, beit=tmp_path / "beit.pth"), weights_of(model)
    assert torch.equal(found[QKV], beit[QKV.removeprefix("backbone.")])
    for name in ("backbone.spm.fc1.weight", "decode_head.cls_embed.weight"):
        assert torch.equal(found[name], own[name])


def test_checkpoints_of_other_networks_are_refused(model, tmp_path):
    path = tmp_path / "beit.pth"
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(96, 32)}, path)
    with pytest.raises(CheckpointError, match=r"beit\.pth' is no BEiT checkpoint for this back"):
        started(model, beit=path)
    (tmp_path / "mmcv_config.py").write_bytes((model / "mmcv_config.py").read_bytes())
    torch.save({"backbone.cls_token": torch.zeros(1, 1, 16)}, tmp_path / "pytorch_model.pt")
    with pytest.raises(CheckpointError, match="belongs to another architecture"):
        started(tmp_path, classes=["a"])
    with pytest.raises(CheckpointError, match="does not fit the network"):
        started(tmp_path)


def test_fresh_weights_are_alive_and_queries_lean_to_their_classes():
    network = tiny_network()
    torch.manual_seed(0)
    set_fresh_weights(network)
    with torch.no_grad():
        predictions = list(network.predictions(torch.randn(2, 3, 64, 64)))
    for class_logits, mask_logits in predictions:
        assert 0.05 < float(class_logits.std()) < 20
        assert 0.005 < float(mask_logits.std()) < 20
    classes = network.decode_head.cls_embed.out_features - 1
    for of_image in predictions[0][0]:
        assert of_image[:classes].argmax(-1).tolist() == list(range(classes))
    modules = [m for m in network.modules() if isinstance(m, MultiScaleDeformableAttention)]
    assert modules
    for module in modules:  # which look around
        assert not module.sampling_offsets.weight.any()
        assert float(module.sampling_offsets.bias.detach().abs().max()) >= 1
