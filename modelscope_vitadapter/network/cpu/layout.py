"""Maps as tokens and tokens as maps, as views."""

from torch import Tensor

Shape = tuple[int, int]


def as_map(tokens: Tensor, shape: Shape) -> Tensor:
    """Tokens `(h * w, C)` as a channels-last map `(1, C, h, w)`."""
    return tokens.view(1, *shape, -1).permute(0, 3, 1, 2)


def as_tokens(maps: Tensor) -> Tensor:
    """Maps `(n, C, h, w)` as tokens `(n * h * w, C)`; copied only if they are not channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
