"""How good a trained sampler is on held-out videos: against labels, the oracle and true moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidskim.data.cache.answers import Answers, oracle_places
from vidskim.data.cache.inputs import FeatureStore
from vidskim.data.manifest import Row
from vidskim.evaluate.metrics import precision_at_k, recall
from vidskim.look.network import NetworkSaliency, fill_unseen, mean_per_clip
from vidskim.look.selection import top_k, uniform
from vidskim.video import Video

BATCH_SIZE = 256

Moments = Mapping[str, Sequence[tuple[float, float]]]
"""Resolved path of a video to the stretches (seconds) that show its class."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a sampler says of one video."""

    scores: Tensor
    """``[N]`` in [0, 1]."""
    probability: Tensor
    """Mean over all inputs of what the network gives, ``[K]``; of AC the class probabilities."""


@torch.inference_mode()
def score_row(saliency: NetworkSaliency, features: FeatureStore, row: int) -> Scored:
    """Score the clips of one video from its stored inputs, as the sampler does from the file."""
    saliency.network.eval()
    owner = features.owner(row)
    inputs = features.inputs(row)
    values = torch.cat([saliency.outputs(part) for part in torch.split(inputs, BATCH_SIZE)])
    num_clips = len(features.counts(row))
    means, counts = mean_per_clip(values, clip_index=owner, num_clips=num_clips)
    return Scored(fill_unseen(means.amax(1), counts > 0), values.mean(0))


def video_accuracy(
    saliency: NetworkSaliency, features: FeatureStore, class_index: Mapping[str, int]
) -> float:
    """Return the share of videos whose mean class probability over all inputs is right (AC)."""
    right = [
        int(score_row(saliency, features, n).probability.argmax()) == class_index[row.label]
        for n, row in enumerate(features.rows)
    ]
    return float(np.mean(right))


def agreement(
    scores: Sequence[Tensor],
    rows: Sequence[Row],
    *,
    k: int,
    num_frames: int,
    stride: int,
    answers: Answers | None = None,
    moments: Moments | None = None,
) -> dict[str, Any]:
    """Measure scores of clips against a classifier's answers and against true moments.

    With ``answers``: precision and recall of the k highest scores as the oracle's k clips (and what
    chance would reach), Spearman's rank correlation with f_y, and the classifier's video accuracy
    on all clips, k uniform ones, the sampler's and the oracle's. With ``moments``: precision and
    recall of the chosen clips, and those of k uniform ones.

    Args:
        scores: ``[N]`` for each row.
        rows: the videos.
        k: clips that are chosen.
        num_frames: frames per clip of the grid.
        stride: distance between them.
        answers: of the classifier on the same videos; others are left out.
        moments: stretches that show the class, by resolved path.

    Returns:
        Metric to mean over videos, rounded to four digits.
    """
    found: dict[str, list[float]] = {}

    def add(name: str, value: float | None) -> None:
        if value is not None:
            found.setdefault(name, []).append(value)

    place = {} if answers is None else {row: n for n, row in enumerate(answers.rows)}
    for mine, row in zip(scores, rows, strict=True):
        chosen = {f"sampler_at_{k}": top_k(mine, k=k), f"uniform_at_{k}": uniform(len(mine), k=k)}
        if answers is not None and row in place:
            truth = answers[place[row]]
            label = answers.classes.index(row.label)
            oracle = oracle_places(truth, label=label, k=k)
            for name, value in _overlap(chosen[f"sampler_at_{k}"], oracle, len(mine)).items():
                add(name, value)
            add("spearman", spearman(mine.numpy(), truth[:, label].numpy()))
            everything = {"dense": list(range(len(mine))), f"oracle_at_{k}": oracle}
            for name, clips in (chosen | everything).items():
                mean = truth[clips].nanmean(0)
                add(f"classifier_{name}", float(int(mean.nan_to_num().argmax()) == label))
        spans = None if moments is None else moments.get(str(Path(row.path).resolve()))
        if spans:
            grid = Video(row.path).clips(num_frames=num_frames, stride=stride)
            times = torch.tensor([[clip.start_seconds, clip.end_seconds] for clip in grid])
            for name, clips in chosen.items():
                seconds = times[clips]
                add(f"moment_precision_{name}", precision_at_k(seconds, torch.tensor(spans)))
                add(f"moment_recall_{name}", recall(seconds, torch.tensor(spans)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None if either is constant.

    Places where either is no number are left out.

    >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.9, 0.5])), 3)
    0.5
    """
    known = np.isfinite(a) & np.isfinite(b)
    x, y = _ranks(a[known]), _ranks(b[known])
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])


def _overlap(chosen: Sequence[int], oracle: Sequence[int], num_clips: int) -> dict[str, float]:
    if not oracle:
        return {}
    both = len(set(chosen) & set(oracle))
    return {
        "oracle_precision": both / len(chosen),
        "oracle_recall": both / len(oracle),
        "oracle_recall_by_chance": len(chosen) / num_clips,
    }
