"""Concatenation over time: FASTER's baseline of equation 5."""

import torch
from torch import Tensor, nn

from vidskim.model.aggregate.base import Learned, check_same_size, pointwise


class Concat(Learned):
    """o_t = ReLU(BN(W * o_(t-1) + U * x_t)) on maps, o_0 = x_0 (FASTER, section 3.3, eq. 5).

    W and U are 1x1x1 convolutions: together one convolution of the two maps joined. The text does
    not say whether the map is kept; its figure 2a and "feature maps" speak for it.

    Args:
        channels: C of the maps.
        num_classes: K.
        dropout: before the head, in training.

    Raises:
        UsageError: sizes that are none.
    """

    name = "concat"

    def __init__(self, channels: int, num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(channels, num_classes, dropout=dropout)
        self.mix = pointwise(2 * channels, channels)
        self.norm = nn.BatchNorm3d(channels)

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        check_same_size(self.name, state, clip)
        return torch.relu(self.norm(self.mix(torch.cat([state, clip], dim=1))))
