import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.interaction import (
    ConvFFN,
    Extractor,
    Geometry,
    Injector,
    InteractionBlock,
)
from tests.support.networks import random_image, randomise

WIDTH = 8
HEIGHT_PX, WIDTH_PX = 32, 96


@pytest.fixture
def geometry():
    return Geometry.of_window(HEIGHT_PX, WIDTH_PX, torch.device("cpu"))


def attention(levels):
    return MultiScaleDeformableAttention(
        embed_dim=WIDTH, num_heads=2, num_levels=levels, num_points=2, value_dim=4
    )


def injector(add_query=True, with_cp=False):
    return randomise(
        Injector(
            attention=attention(3),
            embed_dim=WIDTH,
            init_values=0.1,
            add_query=add_query,
            with_cp=with_cp,
        )
    )


def extractor(add_query=True, with_cp=False, with_ffn=True, drop_path=0.0):
    return randomise(
        Extractor(
            attention=attention(1),
            embed_dim=WIDTH,
            ffn=ConvFFN(embed_dim=WIDTH, hidden_dim=6) if with_ffn else None,
            drop_path=drop_path,
            add_query=add_query,
            with_cp=with_cp,
        )
    )


X = random_image(2, 2 * 6, WIDTH, seed=1)
C = random_image(2, 4 * 12 + 2 * 6 + 1 * 3, WIDTH, seed=2)


def test_geometry_of_a_window(geometry):
    assert geometry.grid == (2, 6)
    assert geometry.pyramid == ((4, 12), (2, 6), (1, 3))
    assert geometry.grid_points.shape == (1, 12, 1, 2)
    assert geometry.pyramid_points.shape == (1, 63, 1, 2)
    torch.testing.assert_close(geometry.grid_points[0, 0, 0], torch.tensor([1 / 12, 1 / 4]))
    torch.testing.assert_close(geometry.pyramid_points[0, -1, 0], torch.tensor([5 / 6, 1 / 2]))


def test_injectors_forms_differ_by_the_normalised_query(geometry):
    builtin, authors = injector(add_query=True), injector(add_query=False)
    difference = builtin(X, C, geometry) - authors(X, C, geometry)
    torch.testing.assert_close(difference, builtin.gamma * builtin.query_norm(X))


def test_extractors_forms_differ_by_the_normalised_query(geometry):
    builtin = extractor(add_query=True, with_ffn=False)
    authors = extractor(add_query=False, with_ffn=False)
    difference = builtin(C, X, geometry) - authors(C, X, geometry)
    torch.testing.assert_close(difference, builtin.query_norm(C))


def test_injector_attends_from_the_grid_to_the_pyramid(geometry):
    module = injector(add_query=False)
    attended = module.attn(
        module.query_norm(X), module.feat_norm(C), geometry.grid_points, geometry.pyramid
    )
    torch.testing.assert_close(module(X, C, geometry), X + module.gamma * attended)


def test_extractor_attends_from_the_pyramid_to_the_grid_and_then_feeds_forward(geometry):
    module = extractor(add_query=False)
    attended = module.attn(
        module.query_norm(C), module.feat_norm(X), geometry.pyramid_points, [geometry.grid]
    )
    middle = C + attended
    expected = middle + module.ffn(module.ffn_norm(middle), geometry.pyramid)
    torch.testing.assert_close(module(C, X, geometry), expected)


def test_norms_are_beits(geometry):
    module = extractor()
    assert {module.query_norm.eps, module.feat_norm.eps, module.ffn_norm.eps} == {1e-6}


def test_without_ffn_nothing_of_it_is_held():
    names = {name.split(".")[0] for name, _ in extractor(with_ffn=False).named_parameters()}
    assert names == {"query_norm", "feat_norm", "attn"}


def test_conv_ffn_convolves_each_map_on_its_own(geometry):
    ffn = randomise(ConvFFN(embed_dim=WIDTH, hidden_dim=6))
    hidden = ffn.fc1(C)
    start, outputs = 0, []
    for height, width in geometry.pyramid:
        tokens = hidden[:, start : start + height * width]
        start += height * width
        maps = tokens.transpose(1, 2).reshape(2, 6, height, width)
        weight, bias = ffn.dwconv.dwconv.weight, ffn.dwconv.dwconv.bias
        maps = F.conv2d(maps, weight, bias, padding=1, groups=6)
        outputs.append(maps.flatten(2).transpose(1, 2))
    expected = ffn.fc2(F.gelu(torch.cat(outputs, dim=1)))
    torch.testing.assert_close(ffn(C, geometry.pyramid), expected)


def test_conv_ffn_keeps_maps_and_channels_apart(geometry):
    ffn = randomise(ConvFFN(embed_dim=WIDTH, hidden_dim=6))
    changed = C.clone()
    changed[:, 0] += 1  # upper left cell of the finest map
    touched = (ffn.dwconv(ffn.fc1(changed), geometry.pyramid)) != ffn.dwconv(
        ffn.fc1(C), geometry.pyramid
    )
    assert set(touched.any(2)[0].nonzero().flatten().tolist()) == {0, 1, 12, 13}


class CountingBlock(torch.nn.Module):
    """Stands for a ViT block: records what it is given and adds one."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, tokens, grid, index):
        self.seen.append((tokens.shape, grid, index))
        return tokens + 1


@pytest.mark.parametrize("extras", [0, 2])
def test_a_stage_runs_injector_blocks_extractors(geometry, extras):
    stage = InteractionBlock(
        injector=injector(),
        extractor=extractor(),
        extra_extractors=[extractor() for _ in range(extras)],
    )
    cls, index = random_image(2, 1, WIDTH, seed=3), torch.zeros(13, 13, dtype=torch.int64)
    blocks = [CountingBlock(), CountingBlock()]
    x, c, new_cls = stage(X, C, cls, blocks, geometry, index)

    expected_x = stage.injector(X, C, geometry) + 2
    expected_c = stage.extractor(C, expected_x, geometry)
    for extra in stage.extra_extractors or ():
        expected_c = extra(expected_c, expected_x, geometry)
    torch.testing.assert_close(x, expected_x)
    torch.testing.assert_close(c, expected_c)
    torch.testing.assert_close(new_cls, cls + 2)
    assert blocks[0].seen == [((2, 13, WIDTH), (2, 6), index)]


@pytest.mark.parametrize("make", [injector, extractor])
def test_checkpointing_gives_the_same_gradients(geometry, make):
    answers = []
    for with_cp in (False, True):
        module = make(with_cp=with_cp)
        calls = []
        module.attn.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        first, second = (X, C) if make is injector else (C, X)
        first = first.clone().requires_grad_()
        module(first, second, geometry).square().sum().backward()
        answers.append([first.grad, *(p.grad for p in module.parameters())])
        assert len(calls) == 1 + with_cp
    for plain, saved in zip(*answers, strict=True):
        torch.testing.assert_close(plain, saved)


@pytest.mark.parametrize("make", [injector, extractor])
def test_no_checkpointing_without_gradients(geometry, make):
    module = make(with_cp=True)
    calls = []
    module.attn.register_forward_hook(lambda *_: calls.append(1))
    first, second = (X, C) if make is injector else (C, X)
    module(first, second, geometry).sum().backward()
    assert len(calls) == 1


def test_extractors_drop_path_drops_the_ffn_only(geometry):
    dropping = extractor(drop_path=1.0).train()
    without = extractor(with_ffn=False).train()
    torch.testing.assert_close(dropping(C, X, geometry), without(C, X, geometry))
