"""Typical recurrent networks on pooled features: the baselines of FASTER, section 3.3."""

import torch
from torch import Tensor, nn

from vidskim.model.aggregate.base import Learned


def _square(channels: int) -> nn.Linear:
    return nn.Linear(channels, channels, bias=False)


class Gru(Learned):
    """A GRU on vectors: each map is averaged over time and space first; o_0 = x_0.

    With x the pooled clip and o the state::

        r  = sigmoid(G_rx x + G_ro o)        z = sigmoid(G_zx x + G_zo o)
        o~ = tanh(V_x x + V_o (r . o))       o = (1 - z) . o + z . o~

    Args:
        channels: C of the maps.
        num_classes: K.
        dropout: before the head, in training.

    Raises:
        UsageError: sizes that are none.
    """

    name = "gru"

    def __init__(self, channels: int, num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(channels, num_classes, dropout=dropout)
        self.gates = nn.Linear(2 * channels, 2 * channels, bias=False)
        self.candidate_clip = _square(channels)
        self.candidate_state = _square(channels)

    def _first(self, clip: Tensor) -> Tensor:
        return clip.flatten(2).mean(2)  # [B, C]

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        pooled = clip.flatten(2).mean(2)
        gates = torch.sigmoid(self.gates(torch.cat([pooled, state], dim=1)))
        reset, update = gates.chunk(2, dim=1)
        candidate = torch.tanh(self.candidate_clip(pooled) + self.candidate_state(reset * state))
        return (1 - update) * state + update * candidate


class Lstm(Learned):
    """An LSTM on vectors, with input, forget and output gate (FASTER, section 3.3).

    The first clip's pooled map is both the output and the cell, as o_0 = x_0 is for the others;
    the paper does not say what the cell begins with. The forget gate's bias starts at one, so that
    an untrained network remembers.

    Args:
        channels: C of the maps.
        num_classes: K.
        dropout: before the head, in training.

    Raises:
        UsageError: sizes that are none.
    """

    name = "lstm"

    def __init__(self, channels: int, num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(channels, num_classes, dropout=dropout)
        self.gates = nn.Linear(2 * channels, 4 * channels)
        nn.init.zeros_(self.gates.bias)
        nn.init.ones_(self.gates.bias[channels : 2 * channels])

    def _first(self, clip: Tensor) -> Tensor:
        pooled = clip.flatten(2).mean(2)
        return torch.stack([pooled, pooled])  # [2, B, C]: output, cell

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        pooled = clip.flatten(2).mean(2)
        output, cell = state
        gates = self.gates(torch.cat([pooled, output], dim=1))
        take, keep, show, new = gates.chunk(4, dim=1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
        return torch.stack([torch.sigmoid(show) * torch.tanh(cell), cell])

    def _output(self, state: Tensor) -> Tensor:
        return state[0]
