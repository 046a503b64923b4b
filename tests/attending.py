"""Answers with an attention over time, put together by hand for real files."""

from pathlib import Path

import numpy as np
import torch

from vidskim.types import ChosenClip, Cost, Prediction, Score, TimeAttention
from vidskim.video import Video

COST = Cost(4 * 10**9, 9 * 10**9, 0, 40, 10**6, {"read": 1.0, "total": 3.0}, 10**8)


def attending(
    path: Path,
    weights: np.ndarray,
    *,
    kept: tuple[int, ...] | None = None,
    segments: tuple[int, ...] | None = None,
    clip_frames: int = 8,
) -> Prediction:
    """Return an answer whose steps lie evenly in the frames that were seen.

    Args:
        path: the video.
        weights: ``[K, T]``; rows are divided by their sums.
        kept: the steps that the queries are.
        segments: of the grid of clips, those that were seen; by default all.
        clip_frames: of each clip.
    """
    video = Video(path)
    grid = video.clips(num_frames=clip_frames)
    clips = grid if segments is None else [grid[n] for n in segments]
    frames = [n for clip in clips for n in clip.frame_indices[: clip.num_valid]]
    times = video.timestamps_seconds.tolist()
    T = weights.shape[1]
    per_step = max(1, len(frames) // T)
    indices = tuple(frames[min(step * per_step, len(frames) - 1)] for step in range(T))
    whole = torch.tensor(weights, dtype=torch.float64)
    attention = TimeAttention(
        indices,
        tuple(times[n] for n in indices),
        (whole / whole.sum(1, keepdim=True)).float(),
        kept,
    )
    return Prediction(
        video=video.info,
        method="sfc",
        model="demo",
        predictions=(Score("golf", 0.93), Score("swim", 0.07)),
        clips=tuple(ChosenClip(clip, None, "demo") for clip in clips),
        saliency=None,
        cost=COST,
        attention=attention,
    )


def hills(num_kept: int, num_steps: int, *tops: int, noise: float = 0.02) -> np.ndarray:
    """Return weights ``[K, T]`` in which steps of two neighbors are attended to, the first most."""
    rng = np.random.default_rng(num_kept + num_steps)
    weights = noise * rng.random((num_kept, num_steps))
    for rank, top in enumerate(tops):
        for far, height in ((0, 1.0), (1, 0.4)):
            for step in {top - far, top + far} & set(range(num_steps)):
                weights[:, step] += height * (1 - 0.15 * rank)
    return weights
