"""Methods side by side: one row each, with intervals, costs and differences on the same videos."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean as mean
from typing import Any

import torch
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.evaluate.map_interval import map_interval, resampled_map
from vidskim.evaluate.metrics import (
    Interval,
    bootstrap_interval,
    mean_average_precision,
    paired_bootstrap_difference,
)
from vidskim.evaluate.results import MethodResult, VideoResult

BASELINES = ("dense", "uniform")
"""What every method is compared with, where it was measured."""

BELOW_ALL = -1.0
"""Score of every class of a video without an answer: where videos are ranked it comes last."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One method's line of the table. Costs are means per video, the peak a maximum."""

    method: str
    model: str
    num_videos: int
    num_failed: int
    """Videos without an answer; they count as wrong, and in a ranking come last."""
    accuracy: Interval
    mean_average_precision: Interval | None
    """Where several classes may be true of a video; the differences are then differences of it."""
    difference_to_dense: Interval | None
    difference_to_uniform: Interval | None
    difference_to_first: Interval | None
    """None where the first method is one of these two."""
    gmacs: float
    look_gmacs: float
    dense_gmacs: float
    seconds: float
    """Wall time, decoding included."""
    speedup_over_dense: float | None
    precision_at_k: float | None
    frames_decoded: float
    bytes_read: float
    peak_bytes: int
    stage_seconds: dict[str, float]

    @property
    def measure(self) -> Interval:
        """What methods are compared by: accuracy, or mean average precision where there is one."""
        return self.mean_average_precision or self.accuracy

    def to_json(self) -> dict[str, Any]:
        """Return one of the ``rows`` of the command line's JSON."""
        values = asdict(self)
        if self.mean_average_precision is None:
            del values["mean_average_precision"]
        return values


def table(
    results: Sequence[MethodResult],
    *,
    num_samples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[TableRow]:
    """Compare methods on the same videos.

    ``dense`` and ``uniform`` of the same model are what a method is compared with; where a model
    has none, the only one there is, if there is just one. If the first of all results is neither,
    the others are compared with it too: what stands first is the baseline. They are compared by
    accuracy or, where several classes may be true of a video, by mean average precision.

    Args:
        results: one per method and model, all of the same videos in the same order.
        num_samples: bootstrap samples per interval.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        Rows in the order of ``results``.

    Raises:
        UsageError: no results, no videos, a method twice, different videos, or models of which
            some tell one class of a video and others several.
    """
    _check(results)
    draws = _Draws(num_samples, confidence, seed)
    ranked = {result.name: draws.rank(result) for result in results if result.classes}
    first = None if results[0].method in BASELINES else results[0]

    def against(result: MethodResult, base: MethodResult | None) -> Interval | None:
        if base is None or base is result:
            return None
        if result.classes:
            return draws.ranked_difference(ranked[result.name], ranked[base.name])
        return draws.difference(result, base)

    rows: list[TableRow] = []
    for result in results:
        dense = _baseline("dense", model=result.model, results=results)
        uniform = _baseline("uniform", model=result.model, results=results)
        own = ranked.get(result.name)
        seconds, dense_seconds = _seconds(result), 0.0 if dense is None else _seconds(dense)
        rows.append(
            TableRow(
                method=result.method,
                model=result.model,
                accuracy=draws.accuracy(result),
                mean_average_precision=None if own is None else draws.ranking(own),
                difference_to_dense=against(result, dense),
                difference_to_uniform=against(result, uniform),
                difference_to_first=against(result, first),
                seconds=seconds,
                speedup_over_dense=dense_seconds / seconds if dense_seconds and seconds else None,
                **_means(result.videos),
            )
        )
    return rows


def _seconds(result: MethodResult) -> float:
    return mean(video.seconds_total for video in result.videos)


def _means(videos: Sequence[VideoResult]) -> dict[str, Any]:
    """Return the fields of a row that are counts and means over its videos alone."""
    known = [v.precision_at_k for v in videos if v.precision_at_k is not None]
    stages = dict.fromkeys(stage for v in videos for stage in v.seconds)
    return {
        "num_videos": len(videos),
        "num_failed": sum(v.predicted is None for v in videos),
        "gmacs": mean(v.macs for v in videos) / 1e9,
        "look_gmacs": mean(v.look_macs for v in videos) / 1e9,
        "dense_gmacs": mean(v.dense_macs for v in videos) / 1e9,
        "precision_at_k": sum(known) / len(known) if known else None,
        "frames_decoded": mean(v.frames_decoded for v in videos),
        "bytes_read": mean(v.bytes_read for v in videos),
        "peak_bytes": max(v.peak_bytes for v in videos),
        "stage_seconds": {s: mean(v.seconds.get(s, 0.0) for v in videos) for s in stages},
    }


def _check(results: Sequence[MethodResult]) -> None:
    if not results or not results[0].videos:
        raise UsageError("a table needs at least one method and one video")
    first = results[0]
    paths = [video.path for video in first.videos]
    seen: set[tuple[str, str]] = set()
    for result in results:
        if (result.method, result.model) in seen:
            raise UsageError(f"{result.name} stands twice in the results; name each method once")
        seen.add((result.method, result.model))
        if [video.path for video in result.videos] != paths:
            raise UsageError(
                f"{result.name} and {first.name} saw different videos ({len(result.videos)} and "
                f"{len(paths)}, or in another order); evaluate both on one manifest"
            )
        if bool(result.classes) != bool(first.classes):
            one, several = (first, result) if result.classes else (result, first)
            raise UsageError(
                f"{several.name} tells several classes of a video and {one.name} one; put them "
                "into tables of their own"
            )


def _baseline(method: str, *, model: str, results: Sequence[MethodResult]) -> MethodResult | None:
    found = [result for result in results if result.method == method]
    same = [result for result in found if result.model == model]
    return same[0] if same else found[0] if len(found) == 1 else None


def _correct(result: MethodResult) -> Tensor:
    return torch.tensor([video.correct for video in result.videos], dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A method's mean average precision, and that of every draw of the videos ``[S]``."""

    estimate: float
    samples: Tensor


@dataclass(frozen=True, slots=True)
class _Draws:
    """Bootstrap intervals; all of the same draws, so that rows do not depend on their order."""

    num_samples: int
    confidence: float
    seed: int

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def rank(self, result: MethodResult) -> _Ranked:
        scores, truth = _scores(result)
        samples = resampled_map(
            scores, truth, num_samples=self.num_samples, generator=self._generator()
        )
        return _Ranked(mean_average_precision(scores, truth), samples)

    def ranking(self, of: _Ranked) -> Interval:
        return map_interval(of.estimate, of.samples, confidence=self.confidence)

    def ranked_difference(self, a: _Ranked, b: _Ranked) -> Interval:
        return map_interval(
            a.estimate - b.estimate,
            a.samples - b.samples,
            confidence=self.confidence,
            lowest=-1.0,
        )

    def accuracy(self, result: MethodResult) -> Interval:
        return bootstrap_interval(
            _correct(result),
            num_samples=self.num_samples,
            confidence=self.confidence,
            generator=self._generator(),
        )

    def difference(self, a: MethodResult, b: MethodResult) -> Interval:
        return paired_bootstrap_difference(
            _correct(a),
            _correct(b),
            num_samples=self.num_samples,
            confidence=self.confidence,
            generator=self._generator(),
        )


def _scores(result: MethodResult) -> tuple[Tensor, Tensor]:
    """Return what a method says of every video and class ``[n, K]``, and what is true of them."""

    def truth(video: VideoResult) -> list[bool]:
        # a folder's name, which is a class, may hold the bar that joins several of a manifest's
        labels = (video.label,) if video.label in result.classes else video.label.split("|")
        return [name in labels for name in result.classes]

    def scores(video: VideoResult) -> list[float]:
        if video.predicted is None:
            return [BELOW_ALL] * len(result.classes)
        return [video.scores[name] for name in result.classes]

    return (
        torch.tensor([scores(video) for video in result.videos], dtype=torch.float64),
        torch.tensor([truth(video) for video in result.videos]),
    )
