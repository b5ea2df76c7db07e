import pytest
import torch

from modelscope_vitadapter.network.cpu.bands import bands
from modelscope_vitadapter.network.cpu.positions import GridPositions
from modelscope_vitadapter.network.positional_encoding import (
    LearnedPositionalEncoding,
    SinePositionalEncoding,
)
from tests.support.networks import randomise

ENCODINGS = {
    "sine": lambda: SinePositionalEncoding(num_feats=6),
    "normalised sine": lambda: SinePositionalEncoding(
        num_feats=6, normalize=True, offset=-0.5, temperature=20, scale=3.0, eps=1e-3
    ),
    "learned": lambda: randomise(
        LearnedPositionalEncoding(num_feats=6, row_num_embed=9, col_num_embed=8)
    ),
}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (3, 5), (9, 8)])
@pytest.mark.parametrize("make", ENCODINGS.values(), ids=ENCODINGS)
def test_parts_are_those_of_the_whole(make, shape):
    encoding = make()
    with torch.no_grad():
        expected = encoding(*shape, torch.device("cpu"))[0]
        positions = GridPositions(encoding, shape)
        for height in (1, 4, 100):
            parts = [positions.of(cells) for cells in bands(shape[0] * shape[1], height)]
            assert torch.equal(torch.cat(parts), expected)
