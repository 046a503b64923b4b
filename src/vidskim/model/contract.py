"""What parts around an encoder are given and give: whoever keeps to it can take their place."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Encoder(Protocol):
    """The convolutional (or token) part of a clip classifier."""

    def features(self, frames: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``."""
        ...


@runtime_checkable
class Context(Protocol):
    """Tells the clips of one video of each other."""

    def __call__(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to the same shape."""
        ...


@runtime_checkable
class Aggregator(Protocol):
    """Turns the clips of a video into one answer."""

    def __call__(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to logits ``[B, num_classes]``."""
        ...
