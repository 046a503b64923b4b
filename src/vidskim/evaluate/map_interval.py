"""How sure a mean average precision is: the videos drawn again and again, each time ranked anew.

An average precision is no mean over videos, so its draws cannot be averaged like those of an
accuracy. Few videos, and among them the same one twice, rank better than many: the draws lie above
the estimate by about as much as the estimate lies above the truth. The interval is therefore the
basic one (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2), which
mirrors the draws at the estimate: in simulations it holds the truth in nine of ten cases and more,
where the percentile interval can miss it in most (``tests/evaluate/test_map_interval.py``).
"""

import torch
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.evaluate.metrics import (
    BLOCK,
    Interval,
    draws,
    mean_average_precision,
    quantiles,
)


def resampled_map(
    scores: Tensor, truth: Tensor, *, num_samples: int = 10_000, generator: torch.Generator
) -> Tensor:
    """Return the mean average precision of draws of the videos with replacement.

    Each is that of `vidskim.evaluate.metrics.mean_average_precision` on the drawn videos: one that
    is drawn twice counts twice, and a class that is true of none of them does not count. Two
    methods drawn by the same generator see the same videos.

    Args:
        scores: ``[n, num_classes]``.
        truth: ``[n, num_classes]`` of 0 and 1, in each row a 1 at least.
        num_samples: S, how often n videos are drawn.
        generator: on the CPU; fixes the draws.

    Returns:
        float64 ``[S]``.

    Raises:
        UsageError: no samples, a video of which no class is true, or as
            `vidskim.evaluate.metrics.average_precision`.
    """
    mean_average_precision(scores, truth)  # says what it cannot take
    if not truth.bool().any(1).all() or num_samples < 1:
        raise UsageError(
            "mean average precision is drawn at least once, of videos that each show a class: got "
            f"{num_samples} samples, {int((~truth.bool().any(1)).sum())} videos without one"
        )
    told = list(zip(scores.double().cpu().unbind(1), truth.bool().cpu().unbind(1)))
    found = []
    for drawn in draws(len(scores), num_samples=num_samples, generator=generator):
        times = torch.zeros(drawn.shape).scatter_add_(1, drawn, torch.ones(drawn.shape))
        times = times.T.contiguous()  # [n, S] how often each video was drawn
        by_class = [_average_precision(*of_class, times) for of_class in told if of_class[1].any()]
        found.append(torch.stack(by_class).nanmean(0))
    return torch.cat(found)


def map_interval(
    estimate: float, samples: Tensor, *, confidence: float = 0.95, lowest: float = 0.0
) -> Interval:
    """Return a mean average precision, or a difference of two, with its basic bootstrap interval.

    Args:
        estimate: of the videos as they are.
        samples: ``[S]``, of draws of them.
        confidence: share of the draws inside the interval.
        lowest: 0, or -1 for a difference; the interval ends there and at 1.

    Returns:
        An interval that holds the estimate, also where all draws lie on one side of it.
    """
    low, high = (2 * estimate - end for end in quantiles(samples, confidence=confidence)[::-1])
    return Interval(
        estimate,
        max(lowest, min(low, estimate)),
        min(1.0, max(high, estimate)),
    )


def _average_precision(score: Tensor, true: Tensor, times: Tensor) -> Tensor:
    """Return it of one class for each draw, float64 ``[S]``; NaN where it is true of none.

    Counts are whole numbers, which float32 holds exactly up to 2 ** 24 videos.

    Args:
        score: ``[n]``.
        true: bool ``[n]``.
        times: float32 ``[n, S]``, how often each video was drawn.
    """
    hits = times[true]
    total = torch.zeros(times.shape[1], dtype=torch.float64)
    rows = max(1, BLOCK // len(score))
    for at in range(0, len(hits), rows):
        own, times_own = score[true][at : at + rows], hits[at : at + rows]
        at_least = (score >= own[:, None]).float()  # [P, n]
        precision = (at_least[:, true] @ hits).double() / (at_least @ times).double().clamp(min=1)
        total += (times_own * precision).sum(0)
    return total / hits.double().sum(0)
