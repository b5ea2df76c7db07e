"""Positional encodings of some cells of a map, without those of all others."""

import torch
from torch import Tensor

from modelscope_vitadapter.network.positional_encoding import (
    PositionalEncoding,
    SinePositionalEncoding,
)


class GridPositions:
    """A positional encoding by parts; the plain version is the module's `forward`.

    Half of a cell's features depend on its row alone, the other half on its column.

    Args:
        encoding: the module.
        shape: `(h, w)` of the map.
    """

    def __init__(self, encoding: PositionalEncoding, shape: tuple[int, int]) -> None:
        height, self._width = shape
        device = torch.device("cpu")
        first_column: Tensor = encoding(height, 1, device)[0]
        first_row: Tensor = encoding(1, self._width, device)[0]
        half = first_row.shape[1] // 2
        self._rows_first = isinstance(encoding, SinePositionalEncoding)
        if self._rows_first:
            self._rows, self._columns = first_column[:, :half], first_row[:, half:]
        else:
            self._rows, self._columns = first_column[:, half:], first_row[:, :half]

    def of(self, cells: slice) -> Tensor:
        """The encodings `(n, C)` of consecutive cells, counted row by row."""
        at = torch.arange(cells.start, cells.stop, device="cpu")
        rows = self._rows[torch.div(at, self._width, rounding_mode="floor")]
        columns = self._columns[at % self._width]
        return torch.cat((rows, columns) if self._rows_first else (columns, rows), dim=1)
