"""Accuracy, its uncertainty over videos, and how many chosen clips lie in the right moments.

Pure functions on tensors. A video counts once, however many clips of it were looked at: videos are
what the bootstrap draws, because clips of one video are not independent.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vidskim.clips.grid import hits
from vidskim.errors import UsageError

BLOCK = 2**22
"""Random numbers drawn at a time: bounds memory whatever the number of videos."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval that holds it at some confidence."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside: a difference that is more than chance."""
        return self.low > 0.0 or self.high < 0.0


def top_k_accuracy(scores: Tensor, targets: Tensor, *, k: int = 1) -> float:
    """Return the share of videos whose true class is among the k best scores.

    Of equal scores the lower class number comes first, so k = 1 agrees with ``argmax``.

    Args:
        scores: ``[n, num_classes]``, probabilities or logits.
        targets: ``[n]`` integer class numbers.
        k: how many classes may be named.

    Raises:
        UsageError: no videos, shapes that do not fit, a score that is not a number, or k below 1.
    """
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not len(targets):
        raise UsageError(
            f"accuracy needs scores [n, classes] and targets [n] of at least one video, got "
            f"{list(scores.shape)} and {list(targets.shape)}"
        )
    if k < 1:
        raise UsageError(f"k is {k}; give at least 1")
    if scores.isnan().any():
        raise UsageError("a score is NaN; check the model's weights and input")
    own = scores.gather(1, targets[:, None])  # [n, 1]
    lower = torch.arange(scores.shape[1], device=scores.device) < targets[:, None]
    rank = ((scores > own) | ((scores == own) & lower)).sum(1)  # [n] classes placed before
    return (rank < k).double().mean().item()


def mean_class_accuracy(predicted: Tensor, targets: Tensor) -> float:
    """Return the accuracy of each class that occurs, averaged over these classes.

    Args:
        predicted: ``[n]`` integer class numbers.
        targets: ``[n]`` integer class numbers.

    Raises:
        UsageError: no videos, or shapes that differ.
    """
    if predicted.shape != targets.shape or targets.ndim != 1 or not len(targets):
        raise UsageError(
            f"accuracy needs two vectors of one length, got {list(predicted.shape)} and "
            f"{list(targets.shape)}"
        )
    total = torch.bincount(targets).double()  # [classes up to the highest]
    right = torch.bincount(targets, weights=(predicted == targets).double())
    return (right / total)[total > 0].mean().item()


def average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the average precision of each class that is true of some video.

    The mean, over the videos a class is true of, of the precision among all that score at least as
    high: the area under the precision-recall curve without interpolation, equal scores together.

    Args:
        scores: ``[n, num_classes]``.
        truth: ``[n, num_classes]`` of 0 and 1.

    Returns:
        ``[num_classes]``, NaN for classes that are true of none.

    Raises:
        UsageError: no videos, shapes that differ, or a score that is not a number.
    """
    if scores.shape != truth.shape or scores.ndim != 2 or not len(scores):
        raise UsageError(
            f"average precision needs scores and truth [n, classes] of at least one video, got "
            f"{list(scores.shape)} and {list(truth.shape)}"
        )
    if scores.isnan().any():
        raise UsageError("a score is NaN; check the model's weights and input")
    found = []
    for score, true in zip(scores.double().unbind(1), truth.bool().unbind(1)):
        ranked, order = score.sort(descending=True)
        hits = true[order].double().cumsum(0)  # [n] true ones so far
        # the last place of each run of equal scores: they are all found together
        last = torch.searchsorted(-ranked, -ranked, right=True) - 1
        precision = hits[last] / (last + 1).double()
        found.append((precision * true[order]).sum() / true.sum())  # 0 / 0 is NaN
    return torch.stack(found)


def mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Return the mean average precision over the classes that are true of some video.

    Args:
        scores: ``[n, num_classes]``.
        truth: ``[n, num_classes]`` of 0 and 1.

    Raises:
        UsageError: as `average_precision`, or no class is true of any video.
    """
    found = average_precision(scores, truth)
    if found.isnan().all():
        raise UsageError("mean average precision needs a class that is true of some video")
    return found.nanmean().item()


def bootstrap_interval(
    values: Tensor,
    *,
    num_samples: int = 10_000,
    confidence: float = 0.95,
    generator: torch.Generator,
) -> Interval:
    """Return the mean over videos with its percentile bootstrap interval.

    Videos are drawn with replacement, as many as there are; the interval lies between the quantiles
    of the means (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3). With
    all values equal it has no width: the bootstrap cannot see beyond the videos it has.

    Args:
        values: ``[n]``, one per video: correct or not, or any other number.
        num_samples: how often n videos are drawn.
        confidence: share of the means inside the interval.
        generator: on the CPU; fixes the draw.

    Raises:
        UsageError: no videos, no samples, or a confidence outside (0, 1).
    """
    if values.ndim != 1 or not len(values):
        raise UsageError(f"an interval needs at least one value [n], got {list(values.shape)}")
    if num_samples < 1 or not 0.0 < confidence < 1.0:
        raise UsageError(
            f"an interval needs at least one sample and a confidence between 0 and 1, got "
            f"{num_samples} and {confidence}"
        )
    values = values.detach().cpu().double()
    samples = draws(len(values), num_samples=num_samples, generator=generator)
    means = torch.cat([values[drawn].mean(1) for drawn in samples])
    low, high = quantiles(means, confidence=confidence)
    return Interval(values.mean().item(), low, high)


def draws(n: int, *, num_samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield blocks of draws of n videos with replacement, int64 ``[S, n]``, ``num_samples`` in all.

    Args:
        n: how many videos there are, and are drawn.
        num_samples: how often n videos are drawn.
        generator: on the CPU; fixes the draws, whatever the size of a block.
    """
    rows = max(1, BLOCK // n)
    for at in range(0, num_samples, rows):
        yield torch.randint(n, (min(rows, num_samples - at), n), generator=generator)


def quantiles(samples: Tensor, *, confidence: float) -> tuple[float, float]:
    """Return the two quantiles that ``confidence`` of the samples ``[S]`` lie between."""
    tail = (1.0 - confidence) / 2
    # torch.quantile refuses more than 2 ** 24 values; sorting does not.
    ranked = samples.sort().values
    return _quantile(ranked, tail), _quantile(ranked, 1.0 - tail)


def paired_bootstrap_difference(
    correct_a: Tensor,
    correct_b: Tensor,
    *,
    num_samples: int = 10_000,
    confidence: float = 0.95,
    generator: torch.Generator,
) -> Interval:
    """Return mean(a) - mean(b) of two methods on the same videos, with its interval.

    Each draw takes the same videos for both, so that what makes a video hard for both cancels out.

    Args:
        correct_a: ``[n]``, one per video.
        correct_b: ``[n]``, of the same videos in the same order.
        num_samples: how often n videos are drawn.
        confidence: share of the differences inside the interval.
        generator: on the CPU; fixes the draw.

    Raises:
        UsageError: the vectors differ in length, or as `bootstrap_interval`.
    """
    if correct_a.shape != correct_b.shape:
        raise UsageError(
            f"paired methods need the same videos, got {list(correct_a.shape)} and "
            f"{list(correct_b.shape)}"
        )
    return bootstrap_interval(
        correct_a.double() - correct_b.double(),
        num_samples=num_samples,
        confidence=confidence,
        generator=generator,
    )


def precision_at_k(clips: Tensor, moments: Tensor, *, min_overlap: float = 0.5) -> float:
    """Return the share of the K chosen clips that meet a true moment (see `hits`).

    For clips chosen at random this tends to the share of such clips in the video.

    Args:
        clips: ``[K, 2]`` start and end in seconds, K at least 1.
        moments: ``[M, 2]`` start and end in seconds; without any, the precision is 0.
        min_overlap: in (0, 1].

    Raises:
        UsageError: no clips, or as `hits`.
    """
    if not len(clips):
        raise UsageError("precision needs at least one chosen clip")
    return hits(clips, moments, min_overlap=min_overlap).any(1).double().mean().item()


def recall(clips: Tensor, moments: Tensor, *, min_overlap: float = 0.5) -> float:
    """Return the share of the true moments that a chosen clip meets (see `hits`).

    Args:
        clips: ``[K, 2]`` start and end in seconds; without any, the recall is 0.
        moments: ``[M, 2]`` start and end in seconds, M at least 1.
        min_overlap: in (0, 1].

    Raises:
        UsageError: no moments, or as `hits`.
    """
    if not len(moments):
        raise UsageError("recall needs at least one true moment")
    return hits(clips, moments, min_overlap=min_overlap).any(0).double().mean().item()


def _quantile(ranked: Tensor, share: float) -> float:
    """Return a quantile of sorted values, linear between neighbors (NumPy's default)."""
    place = share * (len(ranked) - 1)
    below, above = ranked[math.floor(place)].item(), ranked[math.ceil(place)].item()
    return below + (place - math.floor(place)) * (above - below)
