"""Average pooling whose classifier is trained on whole videos: an even-handed rival of FAST-GRU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.model.aggregate.base import Learned


class TrainedAverage(Learned):
    """Mean of the clips' class probabilities by a linear head that is trained on the same maps.

    FASTER's average (section 4.1) takes each backbone's own classifier, which was trained on clips
    of the same videos. Where backbones were trained on other clips, trimmed ones for example, a
    recurrent aggregator has seen what they have not; this average has seen it too.

    Args:
        channels: C of the maps.
        num_classes: K.
        dropout: before the head, in training.

    Raises:
        UsageError: sizes that are none.
    """

    name = "trained_average"

    def step(
        self, state: Tensor | None, features: Tensor, *, counts: Sequence[int] | None = None
    ) -> Tensor | None:
        """Take in the next maps; one that was made of several clips, joined, counts as so many."""
        if counts is None:
            return super().step(state, features)
        for clip, number in zip(features.unbind(1), counts, strict=True):
            for _ in range(number):
                state = super().step(state, clip[:, None])
        return state

    def read(self, state: Tensor | None) -> Tensor:
        """Return the log of the mean class probabilities ``[B, K]`` of the clips so far.

        Raises:
            UsageError: there was none.
        """
        if state is None:
            raise UsageError(f"{self.name} cannot answer before the first clip")
        mean = state[:, :-1] / state[:, -1:]
        return torch.log(mean.clamp_min(torch.finfo(mean.dtype).tiny))

    def _first(self, clip: Tensor) -> Tensor:
        """Return the sum of class probabilities and the number of clips, ``[B, K + 1]``."""
        pooled = self.dropout(clip.flatten(2).mean(2))  # [B, C]
        probability = torch.softmax(self.head(pooled), dim=1)
        return torch.cat([probability, torch.ones_like(probability[:, :1])], dim=1)

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        return state + self._first(clip)
