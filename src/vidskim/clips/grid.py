"""Pure arithmetic on the time line: where the candidate clips of a video lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vidskim.errors import UsageError
from vidskim.types import Clip

if TYPE_CHECKING:
    from torch import Tensor


MOST = 2**24
"""Frames of a clip, its stride and the step of a grid: beyond it is a mistyped number."""


def split(
    timestamps_seconds: Sequence[float],
    *,
    num_frames: int = 16,
    stride: int = 1,
    step: int | None = None,
    end_seconds: float | None = None,
) -> list[Clip]:
    """Lay a grid of clips over a video.

    ``step`` is the distance between the starts of neighboring clips in frames; by default the span
    of a clip, so that the clips touch without overlap and cover the whole video (SCSampler, section
    3.1). With T frames at stride s, and ``|`` the grid::

        frame   0  1  2  3  4  5  6  7  8  9 10
        T=2 s=2 a  .  a  . |b  .  b  . |c  .  (c)

    The papers do not say what happens to a rest shorter than a clip. Here a rest of at least half a
    clip becomes a last clip whose final frame is repeated, a shorter one is left out, and a video
    shorter than one clip gives one such clip.

    Args:
        timestamps_seconds: presentation time of every frame, sorted.
        num_frames: T, frames per clip.
        stride: distance between neighboring frames of a clip.
        step: distance between neighboring clips in frames.
        end_seconds: end of the last frame; by default one median frame after its start.

    Returns:
        Clips in time order, ``clips[i].index == i``; empty only if there are no frames.

    Raises:
        UsageError: a length, stride or step below one.
    """
    check_grid(num_frames=num_frames, stride=stride, step=step)
    total = len(timestamps_seconds)
    if total == 0:
        return []
    span = num_frames * stride
    step = span if step is None else step
    if end_seconds is None:
        gap = (timestamps_seconds[-1] - timestamps_seconds[0]) / (total - 1) if total > 1 else 0.0
        end_seconds = timestamps_seconds[-1] + gap
    starts: list[int] = []
    for start in range(0, total, step):
        num_valid = valid_frames(total - start, num_frames=num_frames, stride=stride)
        if not is_kept(num_valid, num_frames=num_frames, index=len(starts)):
            break
        starts.append(start)
        if start + span >= total:
            break
    return _clips_at(starts, timestamps_seconds, num_frames, stride, end_seconds)


def spread(
    timestamps_seconds: Sequence[float],
    *,
    num_clips: int,
    num_frames: int = 16,
    stride: int = 1,
    end_seconds: float,
) -> list[Clip]:
    """Lay so many clips evenly from the first frame of a video to its last.

    They overlap where they do not fit side by side, as in the papers' test protocols of ten clips
    whatever the length. All are whole; a video with fewer places for a clip's first frame gets one
    clip at each.

    Args:
        timestamps_seconds: presentation time of every frame, sorted.
        num_clips: how many.
        num_frames: T, frames per clip; the video has at least as many as one clip spans.
        stride: distance between neighboring frames of a clip.
        end_seconds: end of the last frame.

    Raises:
        UsageError: a number of clips, a length or a stride below one.
    """
    check_grid(num_frames=num_frames, stride=stride, step=num_clips)
    room = len(timestamps_seconds) - (num_frames - 1) * stride - 1
    assert room >= 0, "a clip does not fit"
    starts = sorted(set(even_starts(room, num_clips)))
    return _clips_at(starts, timestamps_seconds, num_frames, stride, end_seconds)


def even_starts(room: int, num_clips: int) -> list[int]:
    """Return the first frames of so many clips that lie evenly over a video, the middle for one.

    Args:
        room: the last frame that a clip can begin at.
        num_clips: how many; where there are more than places, some begin at the same frame.

    >>> even_starts(10, 3), even_starts(10, 1), even_starts(1, 3)
    ([0, 5, 10], [5], [0, 0, 1])
    """
    if num_clips == 1:
        return [room // 2]
    return [int(start) for start in np.linspace(0, room, num_clips).round()]


def _clips_at(
    starts: Sequence[int],
    timestamps_seconds: Sequence[float],
    num_frames: int,
    stride: int,
    end_seconds: float,
) -> list[Clip]:
    """Return the clips that begin at these frames, numbered in this order."""
    total, span = len(timestamps_seconds), num_frames * stride
    return [
        lay_clip(
            start,
            num_frames=num_frames,
            stride=stride,
            total=total,
            index=index,
            start_seconds=timestamps_seconds[start],
            end_seconds=timestamps_seconds[start + span] if start + span < total else end_seconds,
        )
        for index, start in enumerate(starts)
    ]


def lay_clip(
    start: int,
    *,
    num_frames: int,
    stride: int = 1,
    total: int | None = None,
    index: int = 0,
    start_seconds: float = 0.0,
    end_seconds: float = 0.0,
) -> Clip:
    """Return the clip of frames at a stride from a first one.

    Args:
        start: the first frame.
        num_frames: T.
        stride: distance between neighboring frames.
        total: frames of the video, more than ``start``; None where it does not end in the clip, as
            far as is known.
        index: position in the grid of candidate clips.
        start_seconds: when the first frame is shown.
        end_seconds: when the clip ends.

    >>> clip = lay_clip(8, num_frames=4, stride=2, total=13)
    >>> clip.frame_indices, clip.num_valid, clip.stop_frame
    ((8, 10, 12, 12), 3, 13)
    """
    stop = start + num_frames * stride
    if total is not None:
        stop = min(stop, total)
    numbers = tuple(range(start, stop, stride))
    return Clip(
        index=index,
        frame_indices=numbers + numbers[-1:] * (num_frames - len(numbers)),
        num_valid=len(numbers),
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        stop_frame=stop,
    )


def at_spec(clip: Clip, *, num_frames: int, stride: int) -> Clip:
    """Return the clip of the same index, start and time span, with other frames.

    Encoders of one model see the same span of time, each in frames of its own::

        frame              0  1  2  3  4  5  6  7
        4 frames x 2       a  .  a  .  a  .  a  .
        2 frames x 4       a  .  .  .  a  .  .  .

    Args:
        clip: one of a grid.
        num_frames: T, frames of the new clip; there are more where the clip spans more, as one that
            `with_rest` has lengthened does.
        stride: distance between neighboring frames of the new clip.

    Raises:
        UsageError: a length or stride below one.

    >>> at_spec(lay_clip(8, num_frames=4, stride=2, total=13), num_frames=8, stride=1).frame_indices
    (8, 9, 10, 11, 12, 12, 12, 12)
    """
    check_grid(num_frames=num_frames, stride=stride)
    spanned = valid_frames(
        clip.stop_frame - clip.start_frame, num_frames=clip.stop_frame, stride=stride
    )
    return lay_clip(
        clip.start_frame,
        num_frames=max(num_frames, spanned),
        stride=stride,
        total=clip.stop_frame,
        index=clip.index,
        start_seconds=clip.start_seconds,
        end_seconds=clip.end_seconds,
    )


def stride_of(clip: Clip) -> int:
    """Return the distance of a clip's first two frames, of a single frame what it spans."""
    if clip.num_valid > 1:
        return clip.frame_indices[1] - clip.frame_indices[0]
    return clip.stop_frame - clip.start_frame


def with_rest(grid: Sequence[Clip], total: int, *, end_seconds: float) -> list[Clip]:
    """Return the clips of a grid that touch, the last one lengthened by the rest behind it.

    Together they are all of the video. Behind the last clip frames go on at the distance of its
    last frame from its end.

    Args:
        grid: all of it, as `split` lays it.
        total: frames of the video.
        end_seconds: end of its last frame.
    """
    last = grid[-1]
    rest = range(last.stop_frame, total, max(1, last.stop_frame - last.frame_indices[-1]))
    if not rest:
        return list(grid)
    longer = replace(
        last,
        frame_indices=(*last.frame_indices, *rest),
        num_valid=last.num_valid + len(rest),
        end_seconds=end_seconds,
        stop_frame=total,
    )
    return [*grid[:-1], longer]


def check_grid(*, num_frames: int, stride: int, step: int | None = None) -> None:
    """Refuse an impossible grid.

    Raises:
        UsageError: a length, stride or step below one.
    """
    if max(num_frames, stride, step or 0) > MOST:
        raise UsageError(
            f"clips have a num_frames, stride and step of at most {MOST}, got {num_frames}, "
            f"{stride}, {step}"
        )
    if num_frames < 1 or stride < 1 or (step is not None and step < 1):
        raise UsageError(
            f"clips need num_frames, stride and step of at least 1, got {num_frames}, {stride}, "
            f"{step}"
        )


def valid_frames(num_left: int, *, num_frames: int, stride: int) -> int:
    """Return how many frames of a clip exist where ``num_left`` frames of the video are left."""
    return min(num_frames, -(-num_left // stride))


def is_kept(num_valid: int, *, num_frames: int, index: int) -> bool:
    """Whether a clip with so many valid frames is in the grid: the first one always is."""
    return index == 0 or 2 * num_valid >= num_frames


def hits(clips: Tensor, moments: Tensor, *, min_overlap: float = 0.5) -> Tensor:
    """Tell which clip meets which moment.

    A clip meets a moment if their overlap is at least ``min_overlap`` of the shorter of the two::

        moment      |--------|
        clip    |-----|              overlap 1/3 of the clip: no hit at 0.5
        clip          |-----|        hit
        clip  |-----------------|    holds the whole moment: hit

    Args:
        clips: ``[K, 2]`` start and end in seconds.
        moments: ``[M, 2]`` start and end in seconds.
        min_overlap: in (0, 1].

    Returns:
        bool ``[K, M]``.

    Raises:
        UsageError: other shapes, an interval that ends before it starts, or ``min_overlap``
            outside (0, 1].
    """
    import torch

    if not 0.0 < min_overlap <= 1.0:
        raise UsageError(f"min_overlap is {min_overlap}; give a share above 0 and at most 1")
    for name, spans in (("clips", clips), ("moments", moments)):
        if spans.ndim != 2 or spans.shape[1] != 2 or not (spans[:, 0] < spans[:, 1]).all():
            raise UsageError(
                f"{name} must be [n, 2] seconds with start before end, got {list(spans.shape)}"
            )
    start = torch.maximum(clips[:, None, 0], moments[None, :, 0])  # [K, M]
    end = torch.minimum(clips[:, None, 1], moments[None, :, 1])
    length_c, length_m = clips[:, 1] - clips[:, 0], moments[:, 1] - moments[:, 0]
    shorter = torch.minimum(length_c[:, None], length_m[None])
    return (end - start) / shorter >= min_overlap - 1e-9
