"""The grid of a video, and which of its clips a row of a manifest means."""

from collections.abc import Sequence

import numpy as np

from vidskim.data.manifest import Row
from vidskim.errors import VideoError
from vidskim.types import Clip
from vidskim.video import Video


def grid_of(video: Video, *, num_frames: int, stride: int) -> list[Clip]:
    """Lay the clips of one length and stride over a whole video.

    Raises:
        VideoError: the file cannot be read or holds no frame.
    """
    grid = video.clips(num_frames=num_frames, stride=stride)
    if not grid:
        raise VideoError(video.path, "has no video frame that can be read")
    return grid


def clips_within(grid: Sequence[Clip], row: Row) -> list[int]:
    """Return the clips within a row's seconds; the one nearest their middle if there is none.

    Args:
        grid: all clips of the row's file, at least one.
        row: of a manifest; without seconds all clips are within.

    Raises:
        VideoError: the row starts after the last clip.
    """
    start = 0.0 if row.start_seconds is None else row.start_seconds - 1e-6
    end = grid[-1].end_seconds if row.end_seconds is None else row.end_seconds
    if start >= grid[-1].end_seconds:
        raise VideoError(
            row.path,
            f"the row starts at {row.start_seconds:g} s, the last clip ends at "
            f"{grid[-1].end_seconds:.2f} s",
        )
    found = [n for n, c in enumerate(grid) if c.start_seconds >= start and c.end_seconds <= end]
    middle = (max(start, 0.0) + end) / 2
    distance = [abs((clip.start_seconds + clip.end_seconds) / 2 - middle) for clip in grid]
    return found or [int(np.argmin(distance))]
