"""Where the clips of a grid lie, told from the few that were chosen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidskim.types import Clip


def infer_edges(
    clips: Sequence[Clip], *, count: int, duration_seconds: float
) -> NDArray[np.float64]:
    """Return where each of ``count`` candidate clips begins and the last one ends, in seconds.

    Exact for an even grid at a constant frame rate; else between chosen clips by interpolation.

    Args:
        clips: the chosen ones, at least one.
        count: how many candidates there are.
        duration_seconds: of the video.

    Returns:
        ``[count + 1]``, ascending.
    """
    known = sorted(clips, key=lambda clip: clip.index)
    first, last = known[0], known[-1]
    step = first.end_seconds - first.start_seconds
    if last.index > first.index:
        step = (last.start_seconds - first.start_seconds) / (last.index - first.index)
    at = np.arange(count + 1)
    edges = np.interp(at, [c.index for c in known], [c.start_seconds for c in known])
    edges += step * (np.maximum(at - last.index, 0) - np.maximum(first.index - at, 0))
    return np.clip(edges, 0.0, max(duration_seconds, last.end_seconds))
