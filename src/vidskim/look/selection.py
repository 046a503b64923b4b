"""Scores to indices: which clips of the grid are looked at closely.

Every function returns sorted, unique indices into the grid: k of them, or all if there are fewer.
A k below one is a `UsageError`. (The papers' "sampler" means three other things in PyTorch.)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vidskim.errors import UsageError

Select = Callable[[Tensor | None, int, torch.Generator], list[int]]
"""(scores ``[N]`` or None, N, generator) to sorted indices."""


def top_k(scores: Tensor, *, k: int) -> list[int]:
    """Return the k clips with the highest scores (SCSampler, section 3.1: S(v; K)).

    Ties go to the earlier clip, and a score that is not a number never wins.

    Args:
        scores: ``[N]``.
        k: how many; all clips if there are fewer.

    >>> top_k(torch.tensor([0.1, 0.9, 0.5, 0.9]), k=2)
    [1, 3]
    """
    check_k(k)
    safe = torch.nan_to_num(scores.detach().double().cpu(), nan=-torch.inf)
    order = torch.sort(safe, descending=True, stable=True).indices
    return sorted(order[:k].tolist())


def uniform(num_clips: int, *, k: int) -> list[int]:
    """Return the middles of k equal parts of the grid (SCSampler, section 4.1.1: Uniform).

    >>> uniform(10, k=3)
    [1, 5, 8]
    """
    check_k(k)
    k = min(k, num_clips)
    return [(2 * i + 1) * num_clips // (2 * k) for i in range(k)]


def random(num_clips: int, *, k: int, generator: torch.Generator) -> list[int]:
    """Return k clips drawn without replacement (SCSampler, section 4.1.1: Random)."""
    check_k(k)
    return sorted(torch.randperm(num_clips, generator=generator)[:k].tolist())


def empirical(
    num_clips: int, *, k: int, histogram: Tensor, generator: torch.Generator
) -> list[int]:
    """Return k clips drawn from where the training set has its best ones (section 4.1.1).

    Args:
        num_clips: N.
        k: how many; all clips if there are fewer.
        histogram: ``[B]``, how often clips in each of B equal parts of a video were among the k
            that the classifier scores highest for the true class.
        generator: of the draw, without replacement.

    Raises:
        UsageError: a histogram that is negative, empty or zero everywhere, or k below one.

    >>> late = torch.tensor([0.0, 0.0, 0.0, 1.0])
    >>> empirical(8, k=2, histogram=late, generator=torch.Generator().manual_seed(0))
    [6, 7]
    """
    check_k(k)
    weights = histogram.detach().double().flatten()
    if not len(weights) or not weights.isfinite().all() or weights.min() < 0 or not weights.any():
        raise UsageError("the empirical histogram must hold counts, some of them above zero")
    place = (torch.arange(num_clips).double() + 0.5) / num_clips  # in [0, 1]
    part = (place * len(weights)).long()
    share = weights[part] / part.bincount(minlength=len(weights))[part]  # [N]
    # Parts never chosen in training come last, so that k clips are always found.
    share = share + share.sum().clamp_min(1e-12) * 1e-9
    k = min(k, num_clips)
    return sorted(torch.multinomial(share, k, generator=generator).tolist())


def dense(num_clips: int) -> list[int]:
    """Return every clip (SCSampler, section 4.1.1: Dense)."""
    return list(range(num_clips))


def by_score(k: int) -> Select:
    """Return the selection of the k most salient clips, for a `Recognizer` that looks."""
    check_k(k)

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        assert scores is not None
        assert len(scores) == num_clips
        return top_k(scores, k=k)

    return choose


def by_place(k: int | None) -> Select:
    """Return the selection of k uniformly placed clips, or of all of them for None."""
    if k is not None:
        check_k(k)

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        return dense(num_clips) if k is None else uniform(num_clips, k=k)

    return choose


def by_chance(k: int) -> Select:
    """Return the selection of k random clips."""
    check_k(k)

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        return random(num_clips, k=k, generator=generator)

    return choose


def by_histogram(k: int, histogram: Tensor) -> Select:
    """Return the selection of k clips drawn from a histogram of positions, see `empirical`."""
    check_k(k)

    def choose(scores: Tensor | None, num_clips: int, generator: torch.Generator) -> list[int]:
        return empirical(num_clips, k=k, histogram=histogram, generator=generator)

    return choose


def check_k(k: int) -> None:
    """Refuse a number of clips that is none.

    Raises:
        UsageError: not a whole number above zero.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise UsageError(f"k is a whole number of clips, at least 1, got {k!r}")
