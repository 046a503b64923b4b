"""Numbers given while packets come are the ranks of their times among all of them."""

from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidskim.io.live.arrival import MAX_HELD, Arrival, Arrivals, StreamClock
from vidskim.io.walk import MAX_REORDERED


def _packet(pts: int | None, dts: int | None = None, duration: int = 10) -> SimpleNamespace:
    return SimpleNamespace(pts=pts, dts=dts, duration=duration)


def _frame(pts: int) -> SimpleNamespace:
    return SimpleNamespace(pts=pts)


def _run(groups: list[list[int]], lost: set[int], *, timeless: bool = False) -> list[Arrival]:
    """Feed groups of times in decoding order; a group's frames come out when it is complete.

    The first of a group is the latest one (a P-frame), those before it refer to it (B-frames).
    """
    arrivals = Arrivals(timed=True, timeless=timeless)
    found: list[Arrival] = []
    for group in groups:
        for pts in group:
            found += arrivals.expect(_packet(pts, None))
        for pts in sorted(group):
            if pts not in lost:
                found += arrivals.add(_frame(pts))
    found += arrivals.rest()
    assert arrivals.timed
    return found


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.data())
def test_numbers_are_ranks(sizes, data):
    groups, start = [], 0
    for size in sizes:
        times = [10 * (start + n) for n in range(size)]
        groups.append([times[-1], *data.draw(st.permutations(times[:-1]))])
        start += size
    lost = data.draw(st.sets(st.sampled_from(range(0, 10 * start, 10))))
    found = _run(groups, lost)
    assert [arrival.number for arrival in found] == list(range(start))
    assert [arrival.ticks for arrival in found] == list(range(0, 10 * start, 10))
    assert {10 * a.number for a in found if a.frame is None} == lost
    assert all(a.frame.pts == a.ticks for a in found if a.frame is not None)


@given(st.permutations(range(MAX_REORDERED)))
def test_a_decoder_that_contradicts_the_times_is_put_right(order):
    arrivals = Arrivals(timed=True, timeless=False)
    found = [a for n in range(MAX_REORDERED) for a in arrivals.expect(_packet(10 * n))]
    for number in order:
        found += arrivals.add(_frame(10 * number))
    assert [(a.number, a.frame.pts) for a in found] == [(n, 10 * n) for n in range(MAX_REORDERED)]


def test_a_frame_that_is_missing_is_not_waited_for_long():
    arrivals = Arrivals(timed=True, timeless=False)
    for n in range(MAX_REORDERED + 2):
        assert not list(arrivals.expect(_packet(n)))
    for n in range(1, MAX_REORDERED + 1):
        assert not list(arrivals.add(_frame(n)))
    found = list(arrivals.add(_frame(MAX_REORDERED + 1)))
    assert [a.number for a in found] == list(range(MAX_REORDERED + 2))
    assert [a.number for a in found if a.frame is None] == [0]
    assert not list(arrivals.add(_frame(0)))


def test_a_frame_is_passed_on_at_once():
    arrivals = Arrivals(timed=True, timeless=False)
    for pts in (0, 40, 20, 10):
        assert list(arrivals.expect(_packet(pts))) == []
    for number, pts in enumerate((0, 10, 20)):
        (arrival,) = arrivals.add(_frame(pts))
        assert (arrival.number, arrival.ticks) == (number, pts)
    assert (arrivals.ticks_ahead(1), arrivals.ticks_ahead(2)) == (40, None)


def test_a_frame_that_no_packet_announced_is_left_out():
    arrivals = Arrivals(timed=True, timeless=False)
    list(arrivals.expect(_packet(0)))
    assert list(arrivals.add(_frame(7))) == []
    assert len(list(arrivals.add(_frame(0)))) == 1
    assert list(arrivals.add(_frame(0))) == []


def test_frames_that_never_come_are_given_up_after_a_while():
    arrivals = Arrivals(timed=True, timeless=False)
    given_up = [a for pts in range(3 * MAX_HELD) for a in arrivals.expect(_packet(pts))]
    assert [arrival.number for arrival in given_up] == list(range(2 * MAX_HELD))
    assert all(arrival.frame is None for arrival in given_up)


@pytest.mark.parametrize("breach", [20, 5, None], ids=["again", "back", "none"])
def test_without_times_of_their_own_frames_are_counted(breach):
    arrivals = Arrivals(timed=True, timeless=False)
    found: list[Arrival] = []
    for pts in (0, 10, 20):
        found += arrivals.expect(_packet(pts, pts))
        found += arrivals.add(_frame(pts))
    found += arrivals.expect(_packet(breach, 30))
    assert not arrivals.timed
    found += arrivals.add(_frame(0))
    found += arrivals.expect(_packet(50, 40))
    found += arrivals.rest()
    assert [(a.number, a.ticks) for a in found] == list(enumerate(range(0, 50, 10)))
    assert [a.frame is None for a in found] == [False] * 4 + [True]


def test_where_only_decoding_times_are_stored_they_are_the_frames():
    arrivals = Arrivals(timed=True, timeless=True)
    found: list[Arrival] = []
    for number in range(5):
        found += arrivals.expect(_packet(number, number + 100))
        found += arrivals.add(_frame(number))
    assert [arrival.ticks for arrival in found] == [100, 101, 102, 103, 104]


def test_a_clock_never_goes_back():
    clock = StreamClock(unit=Fraction(1, 10), origin_seconds=1.0, frame_rate=Fraction(5))
    assert [clock.seconds(n, t) for n, t in enumerate((10, 20, 15, 30))] == [0, 1, 1, 2]
    assert clock.num_resets == 0
    assert [clock.seconds(n, t) for n, t in ((4, 0), (5, 10))] == pytest.approx([2.2, 3.2])
    assert clock.num_resets == 1
    assert clock.later(6, 20) == pytest.approx(4.2)
    assert (
        StreamClock(unit=Fraction(1), origin_seconds=0.5, frame_rate=Fraction(4)).seconds(6, None)
        == 1
    )
