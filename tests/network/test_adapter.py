import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network import adapter
from modelscope_vitadapter.network.adapter import interpolate_position_embedding
from tests.support.configs import WIDTH
from tests.support.networks import random_image, tiny_network

BACKBONE = "model.backbone"


def backbone(changes=None):
    changes = {f"{BACKBONE}.{key}": value for key, value in (changes or {}).items()}
    return tiny_network(changes).backbone


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (96, 32), (64, 160), (160, 96)])
def test_four_maps_of_any_window(size):
    maps = backbone()(random_image(2, 3, *size))
    assert [tuple(m.shape) for m in maps] == [
        (2, WIDTH, size[0] // s, size[1] // s) for s in (4, 8, 16, 32)
    ]
    assert all(torch.isfinite(m).all() for m in maps)


def test_a_narrower_window_reads_the_sub_window_of_the_table():
    module = backbone()
    attention = module.blocks[0].attn
    seen = []
    attention.register_forward_pre_hook(lambda _m, given: seen.append(given))
    module(random_image(1, 3, 32, 64))
    x, grid, _ = seen[0]
    assert grid == (2, 4)
    assert x.shape == (1, 9, WIDTH)
    offsets = attention.relative_position_bias_table[:-3].view(7, 7, 2)
    bias = attention.position_bias_of_reversed_keys(grid, torch.float32)[0].flip(-1)
    # token 8 is the cell (1, 3), token 1 the cell (0, 0); the table's centre is (3, 3)
    torch.testing.assert_close(bias[:, 8, 1], offsets[3 + 1, 3 + 3])
    torch.testing.assert_close(bias[:, 1, 8], offsets[3 - 1, 3 - 3])


def test_vit_features_are_added_before_the_last_norms():
    plain, added = backbone({"add_vit_feature": False}), backbone()
    image = random_image(1, 3, 64, 64)
    vit_maps = []
    for stage in added.interactions:
        stage.register_forward_hook(
            lambda _m, _i, output: vit_maps.append(
                output[0].transpose(1, 2).reshape(1, WIDTH, 4, 4)
            )
        )
    found = added(image)
    norms = (added.norm1, added.norm2, added.norm3, added.norm4)
    without = plain(image)
    for norm, scale, vit, whole, part in zip(
        norms, (4, 2, 1, 0.5), vit_maps, found, without, strict=True
    ):
        resized = F.interpolate(vit, scale_factor=scale, mode="bilinear", align_corners=False)
        slope = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(1, -1, 1, 1)
        torch.testing.assert_close(whole, part + slope * resized, rtol=1e-3, atol=1e-4)


def test_stages_run_their_blocks_both_ends_included():
    module = backbone({"interaction_indexes": [[0, 1], [1, 1], [2, 3], [0, 3]]})
    order = []
    for i, block in enumerate(module.blocks):
        block.register_forward_pre_hook(lambda _m, _g, i=i: order.append(i))
    module(random_image(1, 3, 32, 32))
    assert order == [0, 1, 1, 2, 3, 0, 1, 2, 3]


def test_positions_are_interpolated_bicubically():
    embedding = random_image(1, 2 * 3, 5)
    found = interpolate_position_embedding(embedding, (2, 3), (4, 5))
    maps = embedding.transpose(1, 2).reshape(1, 5, 2, 3)
    expected = F.interpolate(maps, (4, 5), mode="bicubic", align_corners=False)
    torch.testing.assert_close(found, expected.flatten(2).transpose(1, 2))
    same = interpolate_position_embedding(embedding, (2, 3), (2, 3))
    torch.testing.assert_close(same, embedding, rtol=0, atol=1e-6)


def test_absolute_positions_go_to_patches_not_to_the_class_token():
    module = backbone({"use_abs_pos_emb": True, "pretrain_size": 64})
    image = random_image(1, 3, 64, 64)
    x, cls = module.embed(image)
    patches, _ = module.patch_embed(image)
    torch.testing.assert_close(x, patches + module.pos_embed[:, 1:], rtol=1e-5, atol=1e-5)
    assert torch.equal(cls, module.cls_token)


def test_absolute_positions_that_are_a_square_number_are_all_laid_out():
    module = backbone({"img_size": (16, 48), "use_abs_pos_emb": True, "pretrain_size": 32})
    assert module.pos_embed.shape == (1, 4, WIDTH)
    image = random_image(1, 3, 32, 32)
    x, _ = module.embed(image)
    patches, _ = module.patch_embed(image)
    torch.testing.assert_close(x, patches + module.pos_embed, rtol=1e-5, atol=1e-5)


def test_training_after_inference_reaches_every_parameter():
    module = backbone()
    image = random_image(2, 3, 64, 64)
    with torch.inference_mode():
        module(image)
    module.train()
    sum(m.square().sum() for m in module(image)).backward()
    without = [name for name, p in module.named_parameters() if p.grad is None]
    assert without == []


def test_tokens_become_maps_without_a_copy():
    tokens = random_image(2, 6, WIDTH)
    maps = adapter._to_map(tokens, (2, 3))
    assert maps.data_ptr() == tokens.data_ptr()
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(maps, tokens.transpose(1, 2).reshape(2, WIDTH, 2, 3))
