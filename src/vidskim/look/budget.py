"""Which of many scored things are chosen under a budget, apart from each other, and everywhere.

A thing is a clip or a frame: a place on the time line and a rank, 0 for the best. Without rules the
best k would often be neighbors; a gap keeps them apart, and coverage puts one into each part of the
video, as tools that read a whole video in few frames need it.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidskim.errors import UsageError

EPSILON_SECONDS = 1e-6
"""Times are sums of floats: a gap or a budget that is missed by less than this is kept."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a choice must keep to.

    Attributes:
        k: how many things at most.
        budget_seconds: how long the chosen things may be together; None for any length.
        min_gap_seconds: from the end of one to the start of the next.
        cover: the video is cut into so many equal parts, and each of them gets a choice before the
            best of the rest are taken; 0 for no such rule.

    Raises:
        UsageError: a k below one, a negative gap or part count, a budget that is no length, more
            parts than choices.
    """

    k: int
    budget_seconds: float | None = None
    min_gap_seconds: float = 0.0
    cover: int = 0

    def __post_init__(self) -> None:
        check_gap(self.min_gap_seconds)
        if self.k < 1:
            raise UsageError(f"k must be at least 1, got {self.k}")
        if self.budget_seconds is not None:
            check_budget(self.budget_seconds)
        if self.cover < 0:
            raise UsageError(f"cover is a number of parts, 0 for none, got {self.cover}")
        if self.cover > self.k:
            raise UsageError(
                f"{self.cover} parts cannot be covered by {self.k} choices: ask for fewer parts or "
                "for more choices"
            )


def check_gap(seconds: float) -> None:
    """Refuse a gap that is none.

    Raises:
        UsageError: negative, or no number.
    """
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"a gap is a number of seconds, at least 0, got {seconds}")


def check_budget(seconds: float) -> None:
    """Refuse a budget that is none.

    Raises:
        UsageError: not above zero, or no number.
    """
    if not 0 < seconds < float("inf"):
        raise UsageError(f"a budget is a number of seconds above 0, got {seconds}")


def rank(scores: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rank of every score ``[N]``, 0 for the highest; ties go to the earlier one.

    >>> rank([0.1, 0.9, 0.5, 0.9]).tolist()
    [3, 0, 2, 1]
    """
    safe = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf, neginf=-np.inf)
    ranks = np.empty(len(safe), np.int64)
    ranks[np.argsort(-safe, kind="stable")] = np.arange(len(safe))
    return ranks


def parts_of(
    middles: NDArray[np.float64], *, cover: int, start_seconds: float, end_seconds: float
) -> NDArray[np.int64]:
    """Return in which of ``cover`` equal parts of the video each time ``[N]`` lies.

    >>> parts_of(np.array([0.0, 4.9, 5.0, 9.9]), cover=2, start_seconds=0, end_seconds=10).tolist()
    [0, 0, 1, 1]
    """
    length = max(end_seconds - start_seconds, EPSILON_SECONDS)
    places = ((middles - start_seconds) / length * cover).astype(np.int64)
    return np.clip(places, 0, cover - 1)


def choose(
    ranks: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    *,
    rules: Rules,
    start_seconds: float,
    end_seconds: float,
) -> list[int]:
    """Choose things by rank under rules.

    Each part of ``rules.cover`` first gets the thing of best rank in it; where those would stand
    too close to each other, the things whose ranks have the smallest sum of all that do not
    (dynamic programming over the parts). Then the others are gone through by rank, and one is taken
    if the gap to all that are taken is kept and the budget holds it. So there may be fewer than k.
    A part in which nothing lies stays empty.

    Args:
        ranks: ``[N]``, each of 0 to N - 1 once.
        starts: ``[N]`` seconds, ascending.
        ends: ``[N]`` seconds; equal to ``starts`` for frames.
        rules: what to keep to.
        start_seconds: where the video begins.
        end_seconds: where it ends.

    Returns:
        Sorted, unique indices.

    Raises:
        UsageError: the gap or the budget leaves no room for one choice in each part, or the budget
            for a single one.
    """
    gap = rules.min_gap_seconds - EPSILON_SECONDS
    budget = np.inf if rules.budget_seconds is None else rules.budget_seconds + EPSILON_SECONDS
    chosen: list[int] = []
    if rules.cover:
        parts = parts_of(
            (starts + ends) / 2,
            cover=rules.cover,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
        )
        chosen = _one_per_part(ranks, starts, ends, parts=parts, gap=gap, rules=rules)
    left = budget - float((ends[chosen] - starts[chosen]).sum())
    if left < 0:
        raise UsageError(
            f"one choice in each of {rules.cover} parts lasts {budget - left:.2f} s in all, more "
            f"than the budget of {rules.budget_seconds:g} s: ask for fewer parts"
        )
    taken = set(chosen)
    for index in np.argsort(ranks).tolist():
        if len(chosen) >= rules.k:
            break
        length = float(ends[index] - starts[index])
        if index in taken or length > left:
            continue
        place = bisect_right(chosen, index)
        if place and starts[index] - ends[chosen[place - 1]] < gap:
            continue
        if place < len(chosen) and starts[chosen[place]] - ends[index] < gap:
            continue
        insort(chosen, index)
        left -= length
    if not chosen:
        raise UsageError(
            f"a budget of {rules.budget_seconds:g} s holds not one clip of "
            f"{float((ends - starts).min()):.2f} s: give a larger budget or shorter clips"
        )
    return chosen


def frame_ranks(scores: NDArray[np.float64], sizes: Sequence[int], *, k: int) -> NDArray[np.int64]:
    """Rank the frames of a video by the clips they lie in, so that the best k lie evenly in few.

    One frame of a short clip tells most of it, and frames of dull clips tell little. So the frames
    come from the k most salient clips, or from the more salient half of all clips where that is
    fewer: first the middle frame of each, then of each the frame farthest from those before it, and
    so on; frames of the other clips follow.

    Args:
        scores: ``[N]``, one per clip.
        sizes: N numbers of frames; the clips touch and cover the video.
        k: how many frames will be chosen.

    Returns:
        ``[F]`` ranks, F the sum of ``sizes``, each of 0 to F - 1 once.

    >>> frame_ranks(np.array([0.1, 0.9, 0.2, 0.3]), [2, 4, 2, 2], k=3).tolist()
    [7, 9, 2, 0, 4, 5, 6, 8, 1, 3]
    """
    by_clip = rank(scores)
    num_close = min(k, -(-len(scores) // 2))
    rounds = np.concatenate([_farthest_first(size) for size in sizes])  # [F]
    clips = np.repeat(by_clip, sizes)
    order = np.lexsort((clips, rounds, clips >= num_close))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


@cache
def _farthest_first(size: int) -> NDArray[np.int64]:
    """Return when each of so many frames in a row has its turn: the middle first, then halves.

    >>> _farthest_first(7).tolist()
    [3, 1, 4, 0, 5, 2, 6]
    """
    turns = np.empty(size, np.int64)
    halves, turn = deque([(0, size)]), 0
    while halves:  # breadth first, so that longer stretches come before shorter ones
        start, stop = halves.popleft()
        if start < stop:
            middle = (start + stop - 1) // 2
            turns[middle], turn = turn, turn + 1
            halves += [(start, middle), (middle + 1, stop)]
    return turns


def _one_per_part(
    ranks: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    *,
    parts: NDArray[np.int64],
    gap: float,
    rules: Rules,
) -> list[int]:
    """Return one index per part that is not empty: smallest sum of ranks that keeps the gap."""
    edges = np.flatnonzero(np.diff(parts)) + 1
    groups = np.split(np.arange(len(parts)), edges)
    cost = ranks[groups[0]].astype(np.float64)
    before: list[NDArray[np.int64]] = []
    for last, group in pairwise(groups):
        lowest = np.minimum.accumulate(cost)  # best sum of the first i of the part before
        holder = np.maximum.accumulate(
            np.where(np.r_[True, lowest[1:] < lowest[:-1]], np.arange(len(cost)), 0)
        )
        allowed = np.searchsorted(ends[last], starts[group] - gap, side="right") - 1
        before.append(np.where(allowed >= 0, holder[allowed], -1))
        cost = np.where(allowed >= 0, lowest[allowed], np.inf) + ranks[group]
    if not np.isfinite(cost).any():
        raise UsageError(
            f"a gap of {rules.min_gap_seconds:g} s leaves no room for one choice in each of "
            f"{rules.cover} parts: ask for a smaller gap or fewer parts"
        )
    place = int(np.argmin(cost))
    chosen = [int(groups[-1][place])]
    for group, back in zip(groups[-2::-1], before[::-1]):
        place = int(back[place])
        chosen.append(int(group[place]))
    return chosen[::-1]
