"""The clips of a video to one answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidskim.errors import UsageError


@dataclass(slots=True)
class Mean:
    """The running state of `Average`: the sum of class probabilities ``[B, K]`` over ``count``."""

    total: Tensor | None = None
    count: int = 0


class Average(nn.Module):
    """Mean of the clips' class probabilities (SCSampler, section 3.1: aggr; FASTER, section 3).

    Logits come out as the log of that mean, so that ``softmax(logits)`` is the papers' average.

    Args:
        classify: clip features ``[M, C, T', H', W']`` to clip logits ``[M, K]``, usually
            ``backbone.classify``.
    """

    def __init__(self, classify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.classify = classify

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to logits ``[B, K]``."""
        return self.read(self.step(self.start(), features))

    def start(self) -> Mean:
        """Return the state before the first clip."""
        return Mean()

    def step(self, state: Mean, features: Tensor, *, counts: Sequence[int] | None = None) -> Mean:
        """Take in the next maps ``[B, n, C, T', H', W']`` of each video; return the new state.

        A map that was made of several clips, joined, counts as so many.
        """
        total, count = state.total, state.count
        # one by one, so that no sum depends on who came together
        for clip, number in zip(features.unbind(1), counts or [1] * features.shape[1]):
            probability = torch.softmax(self.classify(clip).float(), dim=-1)  # [B, K]
            if number > 1:
                probability = probability * number
            total = probability if total is None else total + probability
            count += number
        return Mean(total, count)

    def read(self, state: Mean) -> Tensor:
        """Return the logits ``[B, K]`` after the clips so far.

        Probabilities below the smallest normal float count as that, so that no logit is infinite.

        Raises:
            UsageError: there was none.
        """
        if state.total is None:
            raise UsageError("an average needs at least one clip")
        return torch.log((state.total / state.count).clamp_min(torch.finfo(torch.float32).tiny))
