"""Positional encodings of feature maps (DETR, arXiv 2005.12872)."""

import math

import torch
from torch import Tensor, nn

from modelscope_vitadapter.errors import ConfigError


class SinePositionalEncoding(nn.Module):
    """Sines and cosines of the row and column number at geometrically spaced wavelengths."""

    def __init__(
        self,
        *,
        num_feats: int,
        temperature: float = 10000,
        normalize: bool = False,
        scale: float = 2 * math.pi,
        eps: float = 1e-6,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_feats = num_feats
        self.temperature = temperature
        self.normalize = normalize
        self.scale = scale
        self.eps = eps
        self.offset = offset

    def forward(self, height: int, width: int, device: torch.device) -> Tensor:
        """Encodes every cell of a map.

        Returns:
            `(1, height * width, 2 * num_feats)` float32, the row's features before the column's.
        """
        wavelengths = torch.arange(self.num_feats, dtype=torch.float32, device=device)
        wavelengths = self.temperature ** (2 * (wavelengths // 2) / self.num_feats)
        rows = self._encode(height, wavelengths)[:, None].expand(height, width, -1)
        columns = self._encode(width, wavelengths)[None, :].expand(height, width, -1)
        return torch.cat((rows, columns), dim=-1).flatten(0, 1).unsqueeze(0)

    def _encode(self, length: int, wavelengths: Tensor) -> Tensor:
        """Features `(length, num_feats)` of the positions along one axis."""
        at = torch.arange(1, length + 1, dtype=torch.float32, device=wavelengths.device)
        if self.normalize:
            at = (at + self.offset) / (at[-1:] + self.eps) * self.scale
        phase = at[:, None] / wavelengths
        return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=-1).flatten(1)


class LearnedPositionalEncoding(nn.Module):
    """One learned vector for each row number and one for each column number."""

    def __init__(self, *, num_feats: int, row_num_embed: int = 50, col_num_embed: int = 50) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(row_num_embed, num_feats)
        self.col_embed = nn.Embedding(col_num_embed, num_feats)

    def forward(self, height: int, width: int, device: torch.device) -> Tensor:
        """Encodes every cell of a map.

        Returns:
            `(1, height * width, 2 * num_feats)`, the column's features before the row's.

        Raises:
            ConfigError: if the map is larger than the embeddings.
        """
        if height > self.row_embed.num_embeddings or width > self.col_embed.num_embeddings:
            raise ConfigError(
                f"LearnedPositionalEncoding has {self.row_embed.num_embeddings} rows and "
                f"{self.col_embed.num_embeddings} columns, a feature map has {height} x {width}: "
                "use a smaller test_cfg.crop_size or a model with larger row_num_embed and "
                "col_num_embed"
            )
        rows = self.row_embed(torch.arange(height, device=device))
        columns = self.col_embed(torch.arange(width, device=device))
        cells = torch.cat(
            (
                columns[None, :].expand(height, width, -1),
                rows[:, None].expand(height, width, -1),
            ),
            dim=-1,
        )
        return cells.flatten(0, 1).unsqueeze(0)


PositionalEncoding = SinePositionalEncoding | LearnedPositionalEncoding
