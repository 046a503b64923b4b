"""What a saliency is given and gives back: whoever keeps to it can take its place."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from vidskim.types import Clip
from vidskim.video import Video


@runtime_checkable
class Saliency(Protocol):
    """Scores every clip of the grid cheaply."""

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1], one per clip."""
        ...


@runtime_checkable
class PartedSaliency(Saliency, Protocol):
    """A saliency that can tell what each of its sources says, and what they say together."""

    def parts(self, video: Video, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """Return the scores of each source, ``[N]`` in [0, 1], NaN for clips it did not see."""
        ...

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the scores ``[N]`` in [0, 1] that the parts give together."""
        ...

    def with_k(self, k: int) -> "PartedSaliency":
        """Return the same saliency for another number of chosen clips."""
        ...
