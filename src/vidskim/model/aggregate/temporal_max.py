"""The largest score of each class over time, where several classes may be true at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vidskim.errors import UsageError


class TemporalMax(nn.Module):
    """Largest of the clips' scores, class by class (collaborative memory, appendix B.2: Charades).

    Sigmoid keeps the order of logits: ``sigmoid(logits)`` is the largest of the clips' sigmoids.

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

    def start(self) -> Tensor | None:
        """Return the state before the first clip."""
        return None

    def step(
        self, state: Tensor | None, features: Tensor, *, counts: Sequence[int] | None = None
    ) -> Tensor | None:
        """Take in the next maps ``[B, n, C, T', H', W']`` of each video; return the new state."""
        for clip in features.unbind(1):
            logits = self.classify(clip).float()  # [B, K]
            state = logits if state is None else torch.maximum(state, logits)
        return state

    def read(self, state: Tensor | None) -> Tensor:
        """Return the logits ``[B, K]`` after the clips so far.

        Raises:
            UsageError: there was none.
        """
        if state is None:
            raise UsageError("the largest score needs at least one clip")
        return state
