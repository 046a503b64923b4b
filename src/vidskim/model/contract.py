"""What stands between a video's clips and its answer, one protocol each.

A system is a choice of these parts; any object with these methods can replace ours.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from vidskim.backbones.contract import ClipSpec
from vidskim.clips.transform import Transform


@runtime_checkable
class Encoder(Protocol):
    """A clip classifier in two parts: an `nn.Module` whose forward is ``classify(features(x))``."""

    @property
    def name(self) -> str:
        """What answers call it."""
        ...

    @property
    def clip(self) -> ClipSpec | None:
        """The clips it takes; the grid of a video is laid by the first encoder's."""
        ...

    @property
    def transform(self) -> Transform | None:
        """From decoded frames to its input."""
        ...

    @property
    def num_classes(self) -> int:
        """K."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Their names."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[M, 3, T, h, w]`` to ``[M, C, T', H', W']``."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[M, C, T', H', W']`` to logits ``[M, num_classes]``."""
        ...


@runtime_checkable
class Context(Protocol):
    """Relates the clips of a video to each other, in two scans: all write, then each reads.

    What it writes is of one size however many clips there are, and has ``shared_by(num_crops)``:
    the same for so many crops, each of which then reads it like a video.
    """

    def write(self, features: Tensor, memory: Any = None) -> Any:
        """Add clips ``[B, n, C, T', H', W']`` to a memory, None for an empty one."""
        ...

    def read(self, features: Tensor, memory: Any) -> Tensor:
        """Return clips ``[B, n, C, T', H', W']`` with what a memory holds for each of them."""
        ...


@runtime_checkable
class Aggregator(Protocol):
    """Turns the clips of a video into one answer, in order and at constant memory."""

    def start(self) -> Any:
        """Return the state before the first clip."""
        ...

    def step(self, state: Any, features: Tensor, *, counts: Sequence[int] | None = None) -> Any:
        """Take in the next maps ``[B, n, C, T', H', W']``; return the new state.

        Args:
            state: so far; it is not changed.
            features: the maps.
            counts: clips that each of the n maps was made of, joined; None for one each.
        """
        ...

    def read(self, state: Any) -> Tensor:
        """Return the logits ``[B, num_classes]`` after the maps so far."""
        ...
