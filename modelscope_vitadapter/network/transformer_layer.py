"""A transformer layer whose operations run in a configured order."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.drop_path import DropPath
from modelscope_vitadapter.network.sample_noise import Dropout


class FeedForward(nn.Module):
    """Linear layers with an activation between them; adds its residual itself if it is to."""

    def __init__(
        self,
        *,
        embed_dim: int,
        hidden_dim: int,
        num_layers: int,
        activation: nn.Module,
        dropout: float,
        branch_dropout: Dropout | DropPath | nn.Identity,
        add_identity: bool,
    ) -> None:
        super().__init__()
        self.activate = activation  # one module for all layers: a PReLU's slope is shared
        widths = [embed_dim] + [hidden_dim] * (num_layers - 1)
        layers: list[nn.Module] = [
            nn.Sequential(nn.Linear(before, after), activation, Dropout(dropout))
            for before, after in pairwise(widths)
        ]
        layers += [nn.Linear(hidden_dim, embed_dim), Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.dropout_layer = branch_dropout
        self.add_identity = add_identity

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """Maps `(B, N, C)` to the same shape; `identity` is the residual."""
        out: Tensor = self.dropout_layer(self.layers(x))
        return identity + out if self.add_identity else out


class MaskedAttention(nn.Module):
    """Multi-head attention with an optional mask (Mask2Former, arXiv 2112.01527, section 3.2.1).

    The parameters sit in `attn` under the names of `torch.nn.MultiheadAttention`.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        attn_drop: float,
        proj_drop: float,
        branch_dropout: Dropout | DropPath | nn.Identity,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, attn_drop, batch_first=True)
        self.proj_drop = Dropout(proj_drop)
        self.dropout_layer = branch_dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from queries to keys; adds no residual.

        Args:
            query: `(B, Q, C)`, positional encoding included.
            key: `(B, N, C)`, positional encoding included.
            value: `(B, N, C)`.
            mask: `(B, 1, Q, N)` bool, True where attention is allowed; None allows all.

        Returns:
            `(B, Q, C)`.
        """
        attn = self.attn
        weights = attn.in_proj_weight.chunk(3)
        biases = attn.in_proj_bias.chunk(3)
        projected = [
            F.linear(x, weight, bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]
        return self.project(self.mix(projected[0], projected[1], projected[2], mask))

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """The values `(B, Q, C)` that each projected query mixes, not yet projected."""
        attn = self.attn
        q, k, v = (
            x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in (query, key, value)
        )
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=attn.dropout if self.training else 0.0
        )
        return x.transpose(1, 2).flatten(2)

    def project(self, mixed: Tensor) -> Tensor:
        """What the attention adds, `(B, Q, C)`, from mixed values."""
        dropped: Tensor = self.dropout_layer(self.proj_drop(self.attn.out_proj(mixed)))
        return dropped


Attend = Callable[[Tensor], Tensor]


def run_in_order(
    operation_order: Sequence[str],
    query: Tensor,
    attends: Iterable[Attend],
    ffns: Iterable[Callable[[Tensor, Tensor], Tensor]],
    norms: Iterable[Callable[[Tensor], Tensor]],
    *,
    pre_norm: bool,
) -> Tensor:
    """Runs a layer's operations; each takes the next of its kind.

    Args:
        operation_order: names of operations.
        query: `(..., N, C)`.
        attends: attentions of the current query, without residual.
        ffns: feed-forward networks, called with the current query and its residual.
        norms: of the current query.
        pre_norm: whether residuals bypass the norms.

    Returns:
        Of the query's shape.
    """
    attends, ffns, norms = iter(attends), iter(ffns), iter(norms)
    identity = query
    for operation in operation_order:
        residual = identity if pre_norm else query
        if operation == "norm":
            query = next(norms)(query)
        elif operation == "ffn":
            query = next(ffns)(query, residual)
        else:
            query = identity = residual + next(attends)(query)
    return query


class TransformerLayer(nn.Module):
    """Runs attentions, norms and feed-forward networks in the order of `operation_order`.

    An order that begins with a norm makes residuals bypass the norms (pre-norm).
    """

    def __init__(
        self,
        *,
        operation_order: Sequence[str],
        attentions: Sequence[nn.Module],
        ffns: Sequence[FeedForward],
        norms: Sequence[nn.LayerNorm],
    ) -> None:
        super().__init__()
        self.operation_order = tuple(operation_order)
        self.attentions = nn.ModuleList(attentions)
        self.ffns = nn.ModuleList(ffns)
        self.norms = nn.ModuleList(norms)

    @property
    def pre_norm(self) -> bool:
        """Whether residuals bypass the norms."""
        return self.operation_order[0] == "norm"

    def forward(self, query: Tensor, attend: Sequence[Attend]) -> Tensor:
        """Runs the layer.

        Args:
            query: `(B, Q, C)`.
            attend: for each of `attentions`, in order, what it does with the current query, without
                residual.

        Returns:
            `(B, Q, C)`.
        """
        return run_in_order(
            self.operation_order, query, attend, self.ffns, self.norms, pre_norm=self.pre_norm
        )


def full_where_empty(allowed: Tensor) -> Tensor:
    """Lets a query that may attend to nothing attend to everything (`allowed`: `(..., N)` bool)."""
    return allowed | ~allowed.any(dim=-1, keepdim=True)


def attention_mask(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Where each query may look: its own predicted mask, resized (section 3.2.1).

    Args:
        mask_logits: `(B, Q, h, w)`.
        size: `(height, width)` of the map that is attended to.

    Returns:
        `(B, 1, Q, height * width)` bool.
    """
    resized = F.interpolate(mask_logits, size, mode="bilinear", align_corners=False)
    allowed = torch.sigmoid(resized.detach()) >= 0.5
    return full_where_empty(allowed.flatten(2)).unsqueeze(1)
