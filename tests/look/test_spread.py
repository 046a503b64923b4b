"""Whatever the scores: sorted, unique, in range, within the budget, apart, and everywhere."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vidskim.errors import UsageError
from vidskim.look.budget import Rules, choose, frame_ranks, parts_of, rank

LENGTHS = st.lists(st.integers(1, 8).map(lambda n: n / 4), min_size=1, max_size=24)
"""Lengths of clips that touch, in seconds: of one length in most videos, not in all."""


def grid(lengths):
    ends = np.cumsum(np.array(lengths, np.float64))
    return ends - lengths, ends


def scores_of(draw_from, count):
    return draw_from.draw(
        st.lists(
            st.one_of(st.floats(0, 1), st.just(0.5), st.just(float("nan"))),
            min_size=count,
            max_size=count,
        )
    )


def keeps_gap(chosen, starts, ends, gap):
    return all(starts[b] - ends[a] >= gap - 1e-5 for a, b in pairwise(chosen))


@given(LENGTHS, st.integers(1, 30), st.data())
def test_clips_under_all_rules(lengths, k, data):
    starts, ends = grid(lengths)
    count, end = len(lengths), ends[-1]
    scores = scores_of(data, count)
    gap = data.draw(st.sampled_from([0.0, 0.25, 1.0, 3.0]))
    cover = data.draw(st.integers(0, min(k, 6)))
    budget = data.draw(st.one_of(st.none(), st.floats(0.25, 30)))
    rules = Rules(k, budget, gap, cover)
    try:
        chosen = choose(rank(scores), starts, ends, rules=rules, start_seconds=0.0, end_seconds=end)
    except UsageError as error:
        possible = "leaves no room" in str(error) and _has_cover(starts, ends, gap, cover)
        assert not possible
        assert cover or budget < min(lengths)
        return
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= min(k, count)
    assert 0 <= chosen[0] <= chosen[-1] < count
    assert keeps_gap(chosen, starts, ends, gap)
    if budget is not None:
        assert sum(lengths[n] for n in chosen) <= budget + 1e-5
    if cover:
        parts = parts_of((starts + ends) / 2, cover=cover, start_seconds=0.0, end_seconds=end)
        assert set(parts[chosen]) == set(parts)
    left = [n for n in range(count) if n not in chosen]
    if len(chosen) < k:  # nothing more would have fitted
        for n in left:
            more = sorted([*chosen, n])
            dear = budget is not None and sum(lengths[m] for m in more) > budget + 1e-7
            assert dear or not keeps_gap(more, starts, ends, gap)


def _has_cover(starts, ends, gap, cover):
    """By trying everything."""
    parts = parts_of(
        (starts + ends) / 2, cover=cover, start_seconds=0.0, end_seconds=float(ends[-1])
    )
    groups = [np.flatnonzero(parts == part).tolist() for part in sorted(set(parts.tolist()))]
    return any(keeps_gap(sorted(way), starts, ends, gap) for way in product(*groups))


@given(LENGTHS, st.integers(1, 30), st.data())
def test_without_rules_the_best_k(lengths, k, data):
    starts, ends = grid(lengths)
    scores = np.array(scores_of(data, len(lengths)))
    chosen = choose(
        rank(scores), starts, ends, rules=Rules(k), start_seconds=0.0, end_seconds=ends[-1]
    )
    assert len(chosen) == min(k, len(lengths))
    known = np.nan_to_num(scores, nan=-1.0)
    worst = min(known[chosen])
    assert all(known[n] <= worst for n in range(len(lengths)) if n not in chosen)


@given(st.integers(1, 40), st.integers(1, 40))
def test_equal_scores_give_the_earliest(count, k):
    starts, ends = grid([0.5] * count)
    chosen = choose(
        rank([0.3] * count), starts, ends, rules=Rules(k), start_seconds=0.0, end_seconds=ends[-1]
    )
    assert chosen == list(range(min(k, count)))


@given(LENGTHS, st.integers(1, 5), st.data())
def test_one_per_part_is_the_best_of_all_ways(lengths, cover, data):
    """Against every combination: the smallest sum of ranks that keeps the gap."""
    starts, ends = grid(lengths)
    gap = data.draw(st.sampled_from([0.0, 0.5, 1.5]))
    ranks = np.array(data.draw(st.permutations(range(len(lengths)))))
    parts = parts_of(
        (starts + ends) / 2, cover=cover, start_seconds=0.0, end_seconds=float(ends[-1])
    )
    groups = [np.flatnonzero(parts == part).tolist() for part in sorted(set(parts.tolist()))]
    ways = [way for way in product(*groups) if keeps_gap(sorted(way), starts, ends, gap)]
    assume(len(groups) == cover)
    rules = Rules(cover, None, gap, cover)
    if not ways:
        with pytest.raises(UsageError, match="leaves no room"):
            choose(ranks, starts, ends, rules=rules, start_seconds=0.0, end_seconds=ends[-1])
        return
    chosen = choose(ranks, starts, ends, rules=rules, start_seconds=0.0, end_seconds=ends[-1])
    assert sum(ranks[chosen]) == min(sum(ranks[list(way)]) for way in ways)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 200), st.data())
def test_frames_come_from_the_best_clips_evenly(sizes, k, data):
    scores = np.array(scores_of(data, len(sizes)))
    ranks = frame_ranks(scores, sizes, k=k)
    total = sum(sizes)
    assert sorted(ranks.tolist()) == list(range(total))
    frames = np.sort(np.argsort(ranks)[:k])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    close = np.argsort(rank(scores))[: min(k, -(-len(sizes) // 2))]
    counts = np.bincount(owner[frames], minlength=len(sizes))
    if k <= sum(sizes[n] for n in close):
        assert set(owner[frames]) <= set(close.tolist())
        # Clips that still have frames give as many as each other, or one less.
        for a, b in combinations(close.tolist(), 2):
            assert abs(counts[a] - counts[b]) <= 1 or counts[b if counts[a] > counts[b] else a] in (
                sizes[a],
                sizes[b],
            )
    for number in np.flatnonzero(counts):
        first = np.flatnonzero(owner == number)[0]
        size, own = sizes[number], frames[owner[frames] == number] - first
        # The longest stretch without a frame is not much longer than an even lay would leave.
        holes = np.diff([-1, *own, size]) - 1
        assert max(holes) <= 2 * (size / (len(own) + 1)) + 1


def test_the_middle_comes_first():
    assert np.argsort(frame_ranks(np.array([0.2]), [16], k=1))[0] == 7
    assert np.argmin(frame_ranks(np.array([0.2, 0.9]), [5, 5], k=1)) == 7


def test_a_gap_passes_over_neighbors():
    starts, ends = grid([1.0] * 6)
    ranks = rank([0.9, 0.8, 0.1, 0.7, 0.2, 0.3])

    def under(**rules):
        return choose(ranks, starts, ends, rules=Rules(**rules), start_seconds=0.0, end_seconds=6.0)

    assert under(k=3) == [0, 1, 3]
    assert under(k=3, min_gap_seconds=1.0) == [0, 3, 5]
    assert under(k=3, cover=3) == [0, 3, 5]
    assert under(k=4, cover=3) == [0, 1, 3, 5]
    assert under(k=6, budget_seconds=2.5) == [0, 1]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"k": 0}, "at least 1"),
        ({"k": 3, "min_gap_seconds": -1.0}, "at least 0"),
        ({"k": 3, "min_gap_seconds": float("nan")}, "at least 0"),
        ({"k": 3, "budget_seconds": 0.0}, "above 0"),
        ({"k": 3, "cover": -1}, "number of parts"),
        ({"k": 3, "cover": 4}, "cannot be covered by 3"),
    ],
)
def test_impossible_rules_are_refused(rules, words):
    with pytest.raises(UsageError, match=words):
        Rules(**rules)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"k": 3, "cover": 3, "min_gap_seconds": 9.0}, "leaves no room for one choice in each of"),
        ({"k": 3, "cover": 3, "budget_seconds": 2.5}, r"lasts 3\.00 s in all"),
        ({"k": 3, "budget_seconds": 0.5}, "holds not one clip"),
    ],
)
def test_rules_that_the_video_has_no_room_for(rules, words):
    starts, ends = grid([1.0] * 6)
    with pytest.raises(UsageError, match=words):
        choose(
            rank([0.5] * 6),
            starts,
            ends,
            rules=Rules(**rules),
            start_seconds=0.0,
            end_seconds=6.0,
        )
