import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modelscope_vitadapter.network.seeded_dropout import DropPath
from modelscope_vitadapter.network.transformer_layer import (
    FeedForward,
    MaskedAttention,
    TransformerLayer,
    attention_mask,
    full_where_empty,
)
from tests.support.networks import random_image, randomise

QUERY = random_image(2, 5, 8)


def feed_forward(**options):
    settings = {
        "embed_dim": 8,
        "hidden_dim": 12,
        "num_layers": 2,
        "activation": nn.ReLU(),
        "dropout": 0.0,
        "branch_dropout": nn.Identity(),
        "add_identity": True,
    } | options
    return randomise(FeedForward(**settings))


def masked_attention(**options):
    settings = {
        "embed_dim": 8,
        "num_heads": 2,
        "attn_drop": 0.0,
        "proj_drop": 0.0,
        "branch_dropout": nn.Identity(),
    } | options
    return randomise(MaskedAttention(**settings))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_num_layers_counts_linear_layers(count):
    ffn = feed_forward(num_layers=count)
    linears = [module for module in ffn.modules() if isinstance(module, nn.Linear)]
    assert [linear.in_features for linear in linears] == [8] + [12] * (count - 1)
    assert [linear.out_features for linear in linears] == [12] * (count - 1) + [8]

    x = QUERY
    for linear in linears[:-1]:
        x = F.relu(linear(x))
    torch.testing.assert_close(ffn(QUERY, QUERY), QUERY + linears[-1](x))


def test_feed_forward_adds_the_identity_it_is_given_or_none():
    other = random_image(2, 5, 8, seed=1)
    alone = feed_forward(add_identity=False)(QUERY, other)
    torch.testing.assert_close(feed_forward()(QUERY, other), other + alone)


def test_feed_forward_names_are_mmcvs():
    assert set(feed_forward().state_dict()) == {
        "layers.0.0.weight",
        "layers.0.0.bias",
        "layers.1.weight",
        "layers.1.bias",
    }


def test_a_prelu_is_shared_by_all_layers():
    ffn = feed_forward(num_layers=3, activation=nn.PReLU())
    slopes = {"activate.weight", "layers.0.1.weight", "layers.1.1.weight"}
    assert slopes <= set(ffn.state_dict())
    assert len({ffn.state_dict()[name].data_ptr() for name in slopes}) == 1


@pytest.mark.parametrize("option", [{"dropout": 0.9}, {"branch_dropout": DropPath(0.9)}])
def test_feed_forward_drops_in_training_only(option):
    torch.manual_seed(0)
    ffn, plain = feed_forward(**option), feed_forward()
    assert torch.equal(ffn.eval()(QUERY, QUERY), plain(QUERY, QUERY))
    assert not torch.equal(ffn.train()(QUERY, QUERY), plain(QUERY, QUERY))


@pytest.mark.parametrize("masked", [False, True])
def test_masked_attention_equals_pytorchs(masked):
    module = masked_attention()
    key, value = random_image(2, 7, 8, seed=1), random_image(2, 7, 8, seed=2)
    allowed = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    allowed = full_where_empty(allowed)
    expected, _ = module.attn(
        QUERY,
        key,
        value,
        attn_mask=~allowed.repeat_interleave(2, dim=0) if masked else None,
    )
    found = module(QUERY, key, value, allowed.unsqueeze(1) if masked else None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "option", [{"attn_drop": 0.9}, {"proj_drop": 0.9}, {"branch_dropout": DropPath(0.9)}]
)
def test_masked_attention_drops_in_training_only(option):
    torch.manual_seed(0)
    module, plain = masked_attention(**option), masked_attention()
    arguments = (QUERY, QUERY, QUERY, None)
    assert torch.equal(module.eval()(*arguments), plain(*arguments))
    assert not torch.equal(module.train()(*arguments), plain(*arguments))


def layer(order, **options):
    return randomise(
        TransformerLayer(
            operation_order=order,
            attentions=[nn.Identity() for step in order if step.endswith("attn")],
            ffns=[feed_forward(**options) for step in order if step == "ffn"],
            norms=[nn.LayerNorm(8) for step in order if step == "norm"],
        )
    )


def test_post_norm_order():
    module = layer(("cross_attn", "norm", "self_attn", "norm", "ffn", "norm"))
    assert not module.pre_norm
    x = module.norms[0](QUERY + torch.sin(QUERY))
    x = module.norms[1](x + torch.cos(x))
    expected = module.norms[2](module.ffns[0](x, x))
    torch.testing.assert_close(module(QUERY, [torch.sin, torch.cos]), expected)


def test_pre_norm_residuals_bypass_the_norms():
    module = layer(("norm", "self_attn", "norm", "ffn"))
    assert module.pre_norm
    x = QUERY + torch.sin(module.norms[0](QUERY))
    expected = module.ffns[0](module.norms[1](x), x)
    torch.testing.assert_close(module(QUERY, [torch.sin]), expected)


def test_a_second_ffn_before_any_attention_keeps_the_first_residual():
    # mmcv renews the pre-norm residual after attentions only
    module = layer(("norm", "ffn", "norm", "ffn", "self_attn"))
    x = module.ffns[0](module.norms[0](QUERY), QUERY)
    x = module.ffns[1](module.norms[1](x), QUERY)
    torch.testing.assert_close(module(QUERY, [torch.sin]), QUERY + torch.sin(x))


def test_ffn_without_identity_in_a_layer():
    module = layer(("self_attn", "norm", "ffn"), add_identity=False)
    x = module.norms[0](QUERY + torch.sin(QUERY))
    torch.testing.assert_close(module(QUERY, [torch.sin]), module.ffns[0].layers(x))


def test_full_where_empty():
    allowed = torch.tensor([[True, False], [False, False]])
    assert full_where_empty(allowed).tolist() == [[True, False], [True, True]]


def test_attention_mask_is_where_the_resized_mask_is_likely():
    logits = random_image(2, 3, 8, 12)
    logits[1, 2] = -5
    mask = attention_mask(logits, (4, 6))
    resized = F.interpolate(logits, (4, 6), mode="bilinear", align_corners=False)
    assert mask.shape == (2, 1, 3, 24)
    assert mask.dtype == torch.bool
    expected = (resized >= 0).flatten(2)
    expected[1, 2] = True
    assert torch.equal(mask[:, 0], expected)
    assert not mask[0].all()


def test_attention_mask_takes_no_gradient():
    logits = random_image(1, 1, 4, 4).requires_grad_()
    assert not attention_mask(logits, (2, 2)).requires_grad
