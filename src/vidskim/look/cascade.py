"""Looking at less: a cheap first stage that keeps a few candidates, or every s-th clip only.

What a stage before has ruled out is never decoded: motion and residuals are read of the candidates
alone, and groups of pictures without any are skipped. SCSampler itself looks at everything; its
appendix E looks at every s-th clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.look.contract import PartedSaliency, Saliency
from vidskim.look.packets import PacketSaliency
from vidskim.look.sampler import PACKETS
from vidskim.look.selection import top_k
from vidskim.types import Clip
from vidskim.video import Video

CANDIDATES_PER_CLIP = 3
"""Candidates that packet sizes keep per clip that will be chosen."""


@dataclass(frozen=True)
class Cascade:
    """Scores all clips by ``first``, and those it ranks highest by ``second``.

    Attributes:
        second: the costly saliency; called with the candidates only.
        candidates: how many clips it sees, by default `CANDIDATES_PER_CLIP` times k.
        first: the cheap saliency, by default packet sizes.
        k: clips that will be chosen.

    Raises:
        UsageError: fewer candidates than clips to choose.
    """

    second: PartedSaliency
    candidates: int | None = None
    first: Saliency = field(default_factory=PacketSaliency)
    k: int = 10

    def __post_init__(self) -> None:
        if self.candidates is not None and self.candidates < self.k:
            raise UsageError(
                f"a cascade keeps at least as many candidates as clips are chosen ({self.k}), got "
                f"{self.candidates}"
            )

    def with_k(self, k: int) -> "Cascade":
        """Return the same cascade for another number of chosen clips."""
        return replace(self, second=self.second.with_k(k), k=k)

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1], those of candidates above all others."""
        return self.combine(self.parts(video, clips))

    def parts(self, video: Video, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """Return the first score ``[N]`` as "packets", and those of the second stage.

        Clips that the second stage has not seen have NaN there.
        """
        coarse = self.first(video, clips)
        kept = top_k(coarse, k=self.candidates or CANDIDATES_PER_CLIP * self.k)
        fine = self.second.parts(video, [clips[n] for n in kept])
        found = {name: _spread(x, kept, len(clips)) for name, x in fine.items()}
        # a second stage that found nothing to look at has scored by packet sizes itself
        return {**found, PACKETS: coarse}

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return scores ``[N]``: (1 + fine) / 2 for candidates, coarse / 2 for the others."""
        coarse = parts[PACKETS]
        fine = {name: x for name, x in parts.items() if name != PACKETS}
        if not fine:
            return coarse
        seen = ~next(iter(fine.values())).isnan()
        scores = coarse / 2
        together = self.second.combine({name: x[seen] for name, x in fine.items()})
        scores[seen] = (1 + together) / 2
        return scores


@dataclass(frozen=True)
class Undivided:
    """A saliency of a user's own, as one of a single part."""

    saliency: Saliency

    def with_k(self, k: int) -> "Undivided":
        """Return the same: it does not depend on how many are chosen."""
        return self

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]``."""
        return self.saliency(video, clips)

    def parts(self, video: Video, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """Return the scores ``[N]`` by the name of their class."""
        return {type(self.saliency).__name__: self.saliency(video, clips)}

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the scores ``[N]``."""
        (scores,) = parts.values()
        return scores


def as_parted(saliency: Saliency) -> PartedSaliency:
    """Return a saliency in parts, of one where it has none."""
    return saliency if isinstance(saliency, PartedSaliency) else Undivided(saliency)


@dataclass(frozen=True)
class Strided:
    """Scores every s-th clip only; the others get 0 (SCSampler, appendix E).

    Attributes:
        saliency: what scores.
        every: s; 1 scores all.

    Raises:
        UsageError: a stride below one.
    """

    saliency: PartedSaliency
    every: int

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"the clip stride is at least 1, got {self.every}")

    def with_k(self, k: int) -> "Strided":
        """Return the same for another number of chosen clips."""
        return replace(self, saliency=self.saliency.with_k(k))

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1]."""
        return self.combine(self.parts(video, clips))

    def parts(self, video: Video, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """Return the scores of each source, NaN for clips in between."""
        kept = list(range(0, len(clips), self.every))
        fine = self.saliency.parts(video, [clips[n] for n in kept])
        return {name: _spread(x, kept, len(clips)) for name, x in fine.items()}

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the scores ``[N]``; what was chosen among stands above what was not seen."""
        seen = ~next(iter(parts.values())).isnan()
        scores = torch.zeros(len(seen))
        scores[seen] = self.saliency.combine({name: x[seen] for name, x in parts.items()})
        return scores


def _spread(scores: Tensor, kept: Sequence[int], num_clips: int) -> Tensor:
    """Lay scores of some clips out over all, ``[num_clips]``, NaN elsewhere."""
    whole = torch.full((num_clips,), torch.nan)
    whole[torch.tensor(list(kept), dtype=torch.int64)] = scores.float()
    return whole
