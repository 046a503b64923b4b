"""FAST-GRU, the recurrent network of FASTER.

Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020.
"""

import torch
from torch import Tensor, nn

from vidskim.errors import UsageError
from vidskim.model.aggregate.base import Learned, check_same_size, pointwise


class FastGruCell(nn.Module):
    """One step of FAST-GRU on maps that keep their full resolution (section 3.2, eq. 2 to 4).

    With ``*`` a 1x1x1 convolution and x the clip, o the state::

        r  = sigmoid(W_r * ReLU(U_rx * x + U_ro * o))
        z  = sigmoid(W_z * ReLU(U_zx * x + U_zo * o))
        o~ = tanh(V_x * x + V_o * (r . o))
        o  = (1 - z) . o + z . o~

    The gates squeeze both maps to C / r channels. The candidate is of full width, and its two
    convolutions have weights of their own: the paper prints one symbol for both, its costs two.
    Nothing has a bias.

    Args:
        channels: C.
        reduction: r of the gates, 4 in the paper.

    Raises:
        UsageError: a reduction that leaves no channel.
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise UsageError(
                f"the gates' reduction is between 1 and {channels} channels, got {reduction}"
            )
        squeezed = channels // reduction
        self.squeeze_reset = pointwise(2 * channels, squeezed)
        self.expand_reset = pointwise(squeezed, channels)
        self.squeeze_update = pointwise(2 * channels, squeezed)
        self.expand_update = pointwise(squeezed, channels)
        self.candidate_clip = pointwise(channels, channels)
        self.candidate_state = pointwise(channels, channels)
        for weights in (self.candidate_clip, self.candidate_state):
            nn.init.xavier_uniform_(weights.weight)

    def forward(self, clip: Tensor, state: Tensor) -> Tensor:
        """Map the clip and the state, ``[B, C, T', H', W']`` each, to the new state."""
        both = torch.cat([clip, state], dim=1)
        reset = torch.sigmoid(self.expand_reset(torch.relu(self.squeeze_reset(both))))
        update = torch.sigmoid(self.expand_update(torch.relu(self.squeeze_update(both))))
        candidate = torch.tanh(self.candidate_clip(clip) + self.candidate_state(reset * state))
        return (1 - update) * state + update * candidate


class FastGru(Learned):
    """FAST-GRU over the clips of a video: o_0 = x_0, then N - 1 steps, average pool, linear head.

    Args:
        channels: C of the maps.
        num_classes: K.
        reduction: r of the gates.
        dropout: before the head, in training.

    Raises:
        UsageError: sizes that are none.
    """

    name = "fast_gru"

    def __init__(
        self, channels: int, num_classes: int, *, reduction: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(channels, num_classes, dropout=dropout)
        self.options["reduction"] = reduction
        self.cell = FastGruCell(channels, reduction=reduction)

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        check_same_size(self.name, state, clip)
        out: Tensor = self.cell(clip, state)
        return out
