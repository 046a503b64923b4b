"""Bootstrap over videos for many methods at once, and the share of a gap that a method closes."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidskim.evaluate.metrics import BLOCK, Interval, quantiles

NUM_SAMPLES = 10_000
CONFIDENCE = 0.95
KEPT = 2**25
"""Draws kept for the next method, at most: 134 MB."""


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio of two differences, with its interval where there is one."""

    estimate: float
    low: float | None
    high: float | None


class Resamples:
    """Draws of the same videos for every method, so that what is hard for all cancels out.

    The draws are those of `vidskim.evaluate.metrics.bootstrap_interval` with the same seed.

    Args:
        num_videos: n.
        groups: of each video, ``[n]``: what comes from one source is drawn together, as it is
            right or wrong together (cluster bootstrap). By default each video is its own.
        seed: of the draws.
        num_samples: S, how often n videos, or as many groups as there are, are drawn.
    """

    def __init__(
        self,
        num_videos: int,
        *,
        groups: Sequence[Hashable] | None = None,
        seed: int = 0,
        num_samples: int = NUM_SAMPLES,
    ) -> None:
        self.num_videos = num_videos
        numbers: dict[Hashable, int] = {}
        of_video = [numbers.setdefault(g, len(numbers)) for g in groups or range(num_videos)]
        self._group = torch.tensor(of_video, dtype=torch.int64)
        self._sizes = torch.bincount(self._group).double()  # [G]
        self.seed = seed
        self.num_samples = num_samples
        self._counts: Tensor | None = None

    def interval(self, values: Tensor) -> Interval:
        """Return the mean of values ``[n]`` with its percentile interval."""
        low, high = quantiles(self.means(values[:, None])[:, 0], confidence=CONFIDENCE)
        return Interval(values.double().mean().item(), low, high)

    def difference(self, values: Tensor, base: Tensor) -> Interval:
        """Return the mean difference of two methods on the same videos, ``[n]`` each."""
        return self.interval(values.double() - base.double())

    def gap_closed(self, values: Tensor, *, low: Tensor, high: Tensor) -> Share | None:
        """Return which share of the gap between two references a method closes.

        (mean(values) - mean(low)) / (mean(high) - mean(low)): SCSampler's gain over uniform as a
        share of the oracle's. Without a gap there is no share; where more draws than lie outside of
        the interval have none, there is no interval.

        Args:
            values: of the method ``[n]``.
            low: of the lower reference ``[n]``.
            high: of the upper reference ``[n]``.
        """
        gap = (high.double().mean() - low.double().mean()).item()
        if gap <= 0:
            return None
        estimate = (values.double().mean() - low.double().mean()).item() / gap
        means = self.means(torch.stack([values, low, high], dim=1))  # [S, 3]
        gaps = means[:, 2] - means[:, 1]
        drawn = gaps > 1e-12
        if (~drawn).double().mean().item() > (1 - CONFIDENCE) / 2:
            return Share(estimate, None, None)
        shares = ((means[:, 0] - means[:, 1]) / gaps)[drawn]
        return Share(estimate, *quantiles(shares, confidence=CONFIDENCE))

    def means(self, values: Tensor) -> Tensor:
        """Return the means ``[S, m]`` of values ``[n, m]`` over each draw."""
        n = len(self._sizes)
        sums = torch.zeros(n, values.shape[1], dtype=torch.float64)
        sums.index_add_(0, self._group, values.double())  # [G, m]
        if self._counts is not None:
            return self._mean_of(self._counts, sums)
        parts: list[Tensor] = []
        counts: list[Tensor] = []
        generator = torch.Generator().manual_seed(self.seed)
        rows = max(1, BLOCK // n)
        small = n * self.num_samples <= KEPT
        for at in range(0, self.num_samples, rows):
            drawn = torch.randint(n, (min(rows, self.num_samples - at), n), generator=generator)
            count = torch.zeros(len(drawn), n, dtype=torch.float32)
            count.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float32))
            parts.append(self._mean_of(count, sums))
            counts += [count] if small else []
        if small:
            self._counts = torch.cat(counts)
        return torch.cat(parts)

    def _mean_of(self, counts: Tensor, sums: Tensor) -> Tensor:
        """Return the means ``[S, m]`` over draws that hold each group so often, ``[S, G]``."""
        drawn = counts.double()
        return drawn @ sums / (drawn @ self._sizes)[:, None]
