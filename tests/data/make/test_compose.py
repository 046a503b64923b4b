"""One untrimmed video: shares, lengths, runs and neighbors, whatever the dice."""

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidskim.data.make.compose import MAX_RUNS, Form, Trimmed, compose
from vidskim.errors import UsageError


def _clips(label: str, lengths: list[int], *, per_source: int, prefix: str) -> list[Trimmed]:
    return [
        Trimmed(number, label, f"{prefix}{number // per_source}", length)
        for number, length in enumerate(lengths)
    ]


TARGETS = _clips("golf", [15 + 3 * (n % 9) for n in range(18)], per_source=4, prefix="g")
BACKGROUNDS = [
    Trimmed(100 + n, ("walk", "stand", "sit")[n % 3], f"b{n // 2}", 20 + n % 21) for n in range(30)
] + [Trimmed(200, "walk", "g0", 40)]


FORM = Form()


def _draw(seed: int, *, form: Form = FORM, backgrounds=BACKGROUNDS, targets=TARGETS):
    rng = np.random.default_rng(seed)
    return compose(targets, backgrounds, form=form, frame_rate=30.0, rng=rng)


def _runs(video) -> list[list[Trimmed]]:
    return [list(run) for label, run in groupby(video, key=lambda c: c.label) if label == "golf"]


@given(
    seed=st.integers(0, 2**32),
    bounds=st.sampled_from([(20, 60, 0.1, 0.25), (8, 9, 0.2, 0.3), (30, 30.5, 0.15, 0.2)]),
)
def test_every_bound_is_kept(seed, bounds):
    video = _draw(seed, form=Form(*bounds))
    length = sum(clip.num_frames for clip in video)
    shown = [clip for clip in video if clip.label == "golf"]
    assert bounds[0] * 30 <= length <= bounds[1] * 30
    assert bounds[2] <= sum(clip.num_frames for clip in shown) / length <= bounds[3]
    assert len(set(shown)) == len(shown)
    others = {clip.source for clip in video if clip.label != "golf"}
    assert not others & {clip.source for clip in shown}
    assert all(a != b for a, b in pairwise(video))
    assert 1 <= len(_runs(video)) <= MAX_RUNS


def test_backgrounds_come_again_only_after_all_others():
    seen_twice = False
    for seed in range(40):
        video = _draw(seed)
        rest = [clip for clip in video if clip.label != "golf"]
        sources = {clip.source for clip in video if clip.label == "golf"}
        pool = {clip for clip in BACKGROUNDS if clip.source not in sources}
        rounds = [rest[at : at + len(pool)] for at in range(0, len(rest), len(pool))]
        for turn in rounds[:-1]:
            seen_twice = True
            assert set(turn) == pool
    assert seen_twice


def test_few_backgrounds_come_again_but_never_side_by_side():
    for seed in range(40):
        rest = [c for c in _draw(seed, backgrounds=BACKGROUNDS[:3]) if c.label != "golf"]
        assert len(rest) > 6
        assert all(a != b for a, b in pairwise(rest))


def test_a_run_stays_with_its_source_in_the_order_of_the_manifest():
    stays = moves = 0
    for seed in range(60):
        for run in _runs(_draw(seed)):
            for before, after in pairwise(run):
                if before.source == after.source:
                    stays += 1
                    first = next(c for c in TARGETS if c.source == before.source)
                    assert after.number == before.number + 1 or after.number < before.number
                    assert after.number >= first.number
                else:
                    moves += 1
                    used = [c for r in _runs(_draw(seed)) for c in r if c.source == before.source]
                    assert len(used) == sum(c.source == before.source for c in TARGETS)
    assert stays > 2 * moves > 0


def test_places_and_numbers_of_runs_are_spread():
    starts, numbers = [], []
    for seed in range(300):
        video = _draw(seed)
        total = sum(clip.num_frames for clip in video)
        numbers.append(len(_runs(video)))
        clock = 0
        for before, clip in pairwise([None, *video]):
            if clip.label == "golf" and (before is None or before.label != "golf"):
                starts.append(clock / total)
            clock += clip.num_frames
    assert np.histogram(starts, bins=4, range=(0, 1))[0].min() > len(starts) / 6
    assert all(numbers.count(n) > 60 for n in (1, 2, 3))


def test_shares_and_lengths_are_spread_over_their_ranges():
    videos = [_draw(seed) for seed in range(200)]
    lengths = np.array([sum(c.num_frames for c in v) / 30 for v in videos])
    shares = np.array([sum(c.num_frames for r in _runs(v) for c in r) for v in videos])
    shares = shares / 30 / lengths
    assert lengths.min() < 24
    assert lengths.max() > 56
    assert shares.min() < 0.12
    assert shares.max() > 0.23


def test_little_footage_gives_shorter_videos_or_smaller_shares():
    for seed in range(20):
        video = _draw(seed, targets=TARGETS[:4])
        length = sum(clip.num_frames for clip in video)
        shown = sum(clip.num_frames for run in _runs(video) for clip in run)
        assert 600 <= length <= 10 * shown


@pytest.mark.parametrize(
    ("targets", "backgrounds"),
    [(TARGETS[:1], BACKGROUNDS), (TARGETS, BACKGROUNDS[:1]), (TARGETS[:4], BACKGROUNDS[-1:])],
)
def test_too_little_footage(targets, backgrounds):
    with pytest.raises(UsageError, match=r"s of 'golf' and .* s of backgrounds .* no video of 20"):
        _draw(0, targets=targets, backgrounds=backgrounds)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((0, 60, 0.1, 0.2), "min_seconds"),
        ((30, 20, 0.1, 0.2), "got 30 and 20"),
        ((20, float("inf"), 0.1, 0.2), "max_seconds"),
        ((float("nan"), 60, 0.1, 0.2), "min_seconds"),
        ((20, 60, 0.3, 0.2), r"got 0\.3 and 0\.2"),
        ((20, 60, 0, 0.2), "min_share"),
        ((20, 60, 0.1, 1), "max_share < 1"),
    ],
)
def test_bounds_that_nothing_can_keep(bounds, message):
    with pytest.raises(UsageError, match=message):
        Form(*bounds)
