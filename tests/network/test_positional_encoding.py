import math

import pytest
import torch

from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.network.positional_encoding import (
    LearnedPositionalEncoding,
    SinePositionalEncoding,
)

CPU = torch.device("cpu")


def sine_by_hand(y, x, height, width, options):
    """Features of the cell in row `y` and column `x`, counted from 1."""
    settings = {
        "temperature": 10000,
        "normalize": False,
        "scale": 2 * math.pi,
        "eps": 1e-6,
        "offset": 0.0,
    } | options
    count = settings["num_feats"]
    features = []
    for at, length in ((y, height), (x, width)):
        if settings["normalize"]:
            at = (at + settings["offset"]) / (length + settings["eps"]) * settings["scale"]
        for i in range(count):
            phase = at / settings["temperature"] ** (2 * (i // 2) / count)
            features.append(math.cos(phase) if i % 2 else math.sin(phase))
    return features


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": True},
        {"normalize": True, "scale": 1.0, "offset": -0.5, "eps": 0.1},
        {"temperature": 20},
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 2)])
def test_sine_equals_its_formula(options, size):
    options = options | {"num_feats": 6}
    found = SinePositionalEncoding(**options)(*size, CPU)
    expected = [
        sine_by_hand(y, x, *size, options)
        for y in range(1, size[0] + 1)
        for x in range(1, size[1] + 1)
    ]
    torch.testing.assert_close(found, torch.tensor([expected]), rtol=1e-5, atol=1e-5)


def test_sine_has_nothing_to_load():
    assert not SinePositionalEncoding(num_feats=4).state_dict()


def test_learned_joins_the_columns_and_the_rows_vector():
    encoding = LearnedPositionalEncoding(num_feats=3, row_num_embed=4, col_num_embed=5)
    found = encoding(2, 3, CPU)
    assert found.shape == (1, 6, 6)
    for y in range(2):
        for x in range(3):
            expected = torch.cat((encoding.col_embed.weight[x], encoding.row_embed.weight[y]))
            assert torch.equal(found[0, y * 3 + x], expected)


@pytest.mark.parametrize("size", [(5, 1), (1, 6)])
def test_learned_refuses_maps_beyond_its_vectors(size):
    encoding = LearnedPositionalEncoding(num_feats=3, row_num_embed=4, col_num_embed=5)
    assert encoding(4, 5, CPU).shape == (1, 20, 6)
    with pytest.raises(ConfigError, match=rf"4 rows and 5 columns.*{size[0]} x {size[1]}"):
        encoding(*size, CPU)
