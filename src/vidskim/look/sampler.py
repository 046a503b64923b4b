"""SCSampler whole: what is seen by one to three networks, what is heard by another, combined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidskim.errors import UsageError, listed
from vidskim.look.fusion import check_rule, fuse
from vidskim.look.network import (
    NO_SOUND,
    NO_VECTORS,
    NOTHING_SEEN,
    NetworkSaliency,
    score_together,
    warn,
)
from vidskim.look.packets import PacketSaliency
from vidskim.types import Clip
from vidskim.video import Video

VISUAL, AUDIO, PACKETS = "visual", "audio", "packets"
"""Names of the parts of a score besides the kinds of visual sources."""


@dataclass(frozen=True)
class Sampler:
    """Scores clips by what is seen and heard (SCSampler, section 3.3).

    The visual score is the mean of the visual networks' scores; sound joins it by ``rule``. A file
    without sound is scored by sight alone, one without anything to see by packet sizes, and a
    warning says so.

    Attributes:
        visual: networks on motion maps, residuals or key frames, one each at most.
        audio: network on log-mel windows, or None.
        rule: how both are combined, one of `vidskim.look.fusion.RULES`.
        k: clips that will be chosen; `vidskim.look.methods.scsampler` sets it.
        visual_k: K' of the rule "union_list", by default 8 of 10.
        alpha: weight of sound in the convex rules.

    Raises:
        UsageError: no network, two of one source, one of the wrong modality, an impossible rule.
    """

    visual: tuple[NetworkSaliency, ...]
    audio: NetworkSaliency | None = None
    rule: str = "union_list"
    k: int = 10
    visual_k: int | None = None
    alpha: float = 0.5

    def __post_init__(self) -> None:
        kinds = [saliency.kind for saliency in self.visual]
        if not self.networks:
            raise UsageError("a sampler needs at least one saliency network")
        if len(set(kinds)) < len(kinds):
            raise UsageError(f"a sampler takes one network per source, got {listed(kinds)}")
        if AUDIO in kinds or (self.audio is not None and self.audio.kind != AUDIO):
            raise UsageError("a sampler's audio network is the one that listens, and only that")
        check_rule(self.rule, k=self.k, visual_k=self.visual_k, alpha=self.alpha)

    @property
    def networks(self) -> tuple[NetworkSaliency, ...]:
        """All networks, the visual ones first."""
        return self.visual if self.audio is None else (*self.visual, self.audio)

    def with_k(self, k: int) -> "Sampler":
        """Return the same sampler for another number of chosen clips."""
        visual_k = None if self.visual_k is None else min(self.visual_k, k)
        return replace(self, k=k, visual_k=visual_k)

    def __call__(self, video: Video, clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1]; see `parts` and `combine`."""
        return self.combine(self.parts(video, clips))

    def parts(self, video: Video, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """Return the score of each source, ``[N]`` in [0, 1].

        Keys are the kinds of the networks ("motion", "residual", "keyframe", "audio") as far as the
        file has such a thing, "visual" for the mean of the visual ones where there are several, and
        "packets" where nothing else can be had.

        Raises:
            VideoError: the file cannot be read.
            CheckpointError: a network answers with something that is no number.
        """
        scores = score_together(video, clips, self.networks)
        found = {s.kind: x for s, x in zip(self.networks, scores) if x is not None}
        seen = [found[s.kind] for s in self.visual if s.kind in found]
        if self.audio is not None and AUDIO not in found:
            warn(video, NO_SOUND)
        if len(seen) > 1:
            found[VISUAL] = torch.stack(seen).mean(0)
        if not seen and (self.visual or AUDIO not in found):
            without = {s.kind for s in self.visual} <= {"motion", "residual"} and self.visual
            warn(video, NO_VECTORS if without else NOTHING_SEEN)
            found[PACKETS] = PacketSaliency()(video, clips)
        return found

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the score ``[N]`` in [0, 1] that the parts give together by the rule."""
        seen = self.sight(parts)
        heard = parts.get(AUDIO)
        if seen is None:
            assert heard is not None, "a video without any score"
            return heard
        if heard is None:
            return seen
        return fuse(seen, heard, rule=self.rule, k=self.k, visual_k=self.visual_k, alpha=self.alpha)

    @staticmethod
    def sight(parts: Mapping[str, Tensor]) -> Tensor | None:
        """Return the visual score ``[N]`` of parts, None where there is none."""
        for name in (VISUAL, "motion", "residual", "keyframe", PACKETS):
            if name in parts:
                return parts[name]
        return None
