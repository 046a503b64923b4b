"""Saliency networks used together, on scores that are known already.

The numbers are those of `vidskim.look.sampler.Sampler`, `Cascade` and `Strided` on the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidskim.evaluate.studies.networks import VISUAL_KINDS, Trained
from vidskim.look.cascade import Cascade, Strided
from vidskim.look.sampler import AUDIO, PACKETS, VISUAL, Sampler
from vidskim.look.selection import top_k


@dataclass(frozen=True)
class Mix:
    """Networks and the rule that combines them."""

    visual: tuple[Trained, ...]
    audio: Trained | None = None
    rule: str = "union_list"
    visual_k: int | None = None
    alpha: float = 0.5

    @property
    def networks(self) -> tuple[Trained, ...]:
        """All of them, the visual ones first."""
        return self.visual if self.audio is None else (*self.visual, self.audio)

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this mix from all others."""
        paths = [str(t.path) for t in self.networks]
        return (*paths, self.rule, str(self.visual_k), str(self.alpha))

    @property
    def features(self) -> str:
        """What it looks at, as the paper's Table 4 names it."""
        return " + ".join(t.kind for t in self.networks)

    def sampler(self, k: int) -> Sampler:
        """Return the saliency that looks at files."""
        visual = sorted(self.visual, key=lambda t: VISUAL_KINDS.index(t.kind))
        visual_k = None if self.visual_k is None else min(self.visual_k, k)
        return Sampler(
            visual=tuple(t.saliency for t in visual),
            audio=None if self.audio is None else self.audio.saliency,
            rule=self.rule,
            k=k,
            visual_k=visual_k,
            alpha=self.alpha,
        )

    def sight(self) -> "Mix":
        """Return the same without sound."""
        return replace(self, audio=None)

    def parts(self, known: Mapping[str, Tensor | None], packets: Tensor) -> dict[str, Tensor]:
        """Return what `Sampler.parts` gives.

        Args:
            known: scores ``[N]`` of each kind of network, None where the file has no such thing.
            packets: scores ``[N]`` of packet sizes.
        """
        kinds = [t.kind for t in self.networks]
        found = {kind: x for kind in kinds if (x := known[kind]) is not None}
        seen = [found[kind] for kind in VISUAL_KINDS if kind in found]
        if len(seen) > 1:
            found[VISUAL] = torch.stack(seen).mean(0)
        if not seen and (self.visual or AUDIO not in found):
            found[PACKETS] = packets
        return found

    def scores(
        self,
        known: Mapping[str, Tensor | None],
        packets: Tensor,
        *,
        k: int,
        every: int = 1,
        candidates: int | None = None,
    ) -> Tensor:
        """Return the scores ``[N]`` that decide.

        Args:
            known: scores ``[N]`` of each kind of network, None where the file has no such thing.
            packets: scores ``[N]`` of packet sizes.
            k: clips that will be chosen.
            every: score every n-th clip only.
            candidates: clips that packet sizes keep; None looks at all.
        """
        sampler = self.sampler(k)
        parts = self.parts(known, packets)
        if candidates is not None:
            kept = top_k(packets, k=candidates)
            masked = {name: _only(x, kept) for name, x in parts.items()}
            cascade = Cascade(sampler, candidates=max(candidates, k), k=k)
            return cascade.combine({**masked, PACKETS: packets})
        if every > 1:
            kept = list(range(0, len(packets), every))
            masked = {name: _only(x, kept) for name, x in parts.items()}
            return Strided(sampler, every).combine(masked)
        return sampler.combine(parts)


def _only(scores: Tensor, kept: list[int]) -> Tensor:
    """Return scores ``[N]`` with NaN for all clips but some."""
    whole = torch.full_like(scores, torch.nan)
    whole[kept] = scores[kept]
    return whole
