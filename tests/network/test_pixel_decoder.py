import pytest
import torch
from torch.nn import functional as F

from tests.support.configs import LEARNED, WIDTH
from tests.support.networks import random_image, tiny_network

DECODER = "model.decode_head.pixel_decoder"


def pixel_decoder(changes=None):
    return tiny_network(changes).decode_head.pixel_decoder


def features(height=64, width=96):
    return [random_image(2, WIDTH, height // s, width // s, seed=s) for s in (4, 8, 16, 32)]


def levels(count):
    return {
        "model.decode_head.num_transformer_feat_level": count,
        f"{DECODER}.encoder.transformerlayers.attn_cfgs.num_levels": count,
        f"{DECODER}.num_outs": max(count, 3),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_levels(count):
    decoder = pixel_decoder(levels(count))
    mask_features, maps = decoder(features())
    assert mask_features.shape == (2, 8, 16, 24)
    sizes = [(2, 3), (4, 6), (8, 12), (16, 24)][:count]
    assert [tuple(m.shape) for m in maps] == [(2, WIDTH, *size) for size in sizes]
    assert len(decoder.lateral_convs) == len(decoder.output_convs) == 4 - count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_finer_maps_are_joined_from_the_top_down(count):
    decoder, given = pixel_decoder(levels(count)), features()
    mask_features, maps = decoder(given)
    x = maps[-1]
    for i in reversed(range(4 - count)):
        lateral = decoder.lateral_convs[i](given[i])
        above = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = decoder.output_convs[i](lateral + above)
    torch.testing.assert_close(mask_features, decoder.mask_feature(x))


def test_encoder_takes_the_lowest_resolution_first():
    decoder, given = pixel_decoder(), features()
    seen = {}

    def keep(_module, arguments):
        seen["x"], seen["position"], seen["shapes"] = arguments

    decoder.encoder.register_forward_pre_hook(keep)
    decoder(given)
    assert list(seen["shapes"]) == [(2, 3), (4, 6), (8, 12)]
    lowest = decoder.input_convs[0](given[3]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen["x"][:, :6], lowest)
    position = decoder.postional_encoding(2, 3, torch.device("cpu"))
    torch.testing.assert_close(seen["position"][:, :6], position + decoder.level_encoding.weight[0])


def test_positions_go_to_queries_only():
    decoder = pixel_decoder()
    x, position = random_image(1, 6, WIDTH), random_image(1, 6, WIDTH, seed=1)
    attention = decoder.encoder.layers[0].attentions[0]
    seen = []
    attention.register_forward_pre_hook(lambda _m, arguments: seen.append(arguments))
    decoder.encoder(x, position, [(2, 1), (1, 2), (2, 1)])
    query, value, points, _shapes = seen[0]
    torch.testing.assert_close(query, x + position)
    torch.testing.assert_close(value, x)
    assert points.shape == (1, 6, 1, 2)


@pytest.mark.parametrize(
    ("norm", "names"),
    [
        (None, {"conv.weight", "conv.bias"}),
        ({"type": "GN", "num_groups": 2}, {"conv.weight", "gn.weight", "gn.bias"}),
        (
            {"type": "BN"},
            {
                "conv.weight",
                "bn.weight",
                "bn.bias",
                "bn.running_mean",
                "bn.running_var",
                "bn.num_batches_tracked",
            },
        ),
        ({"type": "SyncBN", "track_running_stats": False}, {"conv.weight", "bn.weight", "bn.bias"}),
        ({"type": "IN"}, {"conv.weight"}),
        ({"type": "IN2d", "affine": True}, {"conv.weight", "in.weight", "in.bias"}),
    ],
)
def test_norms_of_convolutions(norm, names):
    decoder = pixel_decoder({f"{DECODER}.norm_cfg": norm})
    assert set(decoder.output_convs[0].state_dict()) == names
    assert set(decoder.input_convs[0].state_dict()) == names | {"conv.bias"}
    mask_features, maps = decoder(features())
    assert torch.isfinite(mask_features).all()
    assert all(torch.isfinite(m).all() for m in maps)


def test_only_output_convolutions_are_activated():
    decoder = pixel_decoder({f"{DECODER}.act_cfg": {"type": "ReLU"}})
    assert decoder.output_convs[0].activate is not None
    assert decoder.lateral_convs[0].activate is None
    assert all(conv.activate is None for conv in decoder.input_convs)
    assert pixel_decoder({f"{DECODER}.act_cfg": None}).output_convs[0].activate is None


def test_learned_positions():
    decoder = pixel_decoder({f"{DECODER}.positional_encoding": LEARNED})
    assert {"postional_encoding.row_embed.weight", "postional_encoding.col_embed.weight"} <= set(
        decoder.state_dict()
    )
    assert decoder(features())[0].shape == (2, 8, 16, 24)


def test_pre_norm_encoder_ends_with_a_norm():
    order = ("norm", "self_attn", "norm", "ffn")
    path = f"{DECODER}.encoder.transformerlayers.operation_order"
    encoder = pixel_decoder({path: order}).encoder
    assert encoder.post_norm is not None
    assert pixel_decoder().encoder.post_norm is None
    x, position = random_image(1, 6, WIDTH), random_image(1, 6, WIDTH, seed=1)
    output = encoder(x, position, [(2, 1), (1, 2), (2, 1)])
    normed = (output - encoder.post_norm.bias) / encoder.post_norm.weight
    torch.testing.assert_close(normed.mean(-1), torch.zeros(1, 6), rtol=0, atol=1e-4)


def test_maps_are_views_of_the_encoders_tokens():
    decoder = pixel_decoder()
    kept = []
    decoder.encoder.register_forward_hook(lambda _m, _i, output: kept.append(output))
    _, maps = decoder(features())
    start = 0
    for found, (height, width) in zip(maps, [(2, 3), (4, 6), (8, 12)], strict=True):
        part = kept[0][:, start : start + height * width]
        start += height * width
        assert found.data_ptr() == part.data_ptr()
        assert torch.equal(found, part.transpose(1, 2).reshape(2, WIDTH, height, width))
