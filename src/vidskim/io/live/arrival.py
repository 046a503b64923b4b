"""Which frame of the video is this, and when is it shown? Answered while the video still comes.

The packet index numbers frames by sorting all presentation times. Here packets and frames are shown
in the order they arrive, and a frame is passed on as soon as no packet is left that belongs before
it: its number is that of the index. With B-frames, each column one packet in and what comes out::

    packets   I0  P4  B2  B1  B3  P8 ...
    frames             .   .   0   1  2 ...    (the decoder holds back what is not yet certain)
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush, nsmallest

from av.video.frame import VideoFrame

from vidskim.io.packets import VideoPacket
from vidskim.io.walk import MAX_REORDERED

MAX_HELD = 4096
"""Frames that may be awaited: a decoder that refuses packet after packet, to a key frame minutes
later, still holds frames from before; but some time they are given up, for memory's sake."""
MAX_JITTER_SECONDS = 1.0
"""A clock that goes back by more than this has been set anew."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame in presentation order; ``frame`` is None if it could not be decoded.

    ``ticks`` is None where the stream does not tell the time, ``duration`` 0 where it does not tell
    for how many ticks the frame is shown.
    """

    number: int
    ticks: int | None
    duration: int
    frame: VideoFrame | None


class Arrivals:
    """Numbers the frames of a stream in presentation order; memory does not grow with it.

    Frames are recognized by their presentation times for as long as every packet has one of its
    own. Otherwise (B-frames in AVI, a clock that goes back) they are counted as the decoder emits
    them, as where `vidskim.io.packets.PacketIndex` is not ``timed``.

    Args:
        timed: whether presentation times tell the order of display, as far as it is known.
        timeless: whether the format stores decoding times only, which then are the frames' times.
    """

    def __init__(self, *, timed: bool, timeless: bool) -> None:
        self.timed = timed
        self.num_packets = 0
        """Packets so far, each of which is one frame of the video."""
        self.num_passed = 0
        """Frames passed on so far, those that could not be decoded included."""
        self._timeless = timeless
        self._expected: list[int] = []
        self._duration_at: dict[int, int] = {}
        self._decoded: list[tuple[int, VideoFrame]] = []
        self._ticks: deque[int | None] = deque(maxlen=MAX_HELD)
        self._durations: deque[int] = deque(maxlen=MAX_HELD)
        self._last_pts: int | None = None

    def expect(self, packet: VideoPacket) -> Iterator[Arrival]:
        """Take note of a packet whose frame will be displayed, before it is decoded."""
        pts, dts, duration = packet.pts, packet.dts, packet.duration or 0
        if self.timed and (pts is None or not self._is_next(pts)):
            yield from self._count_from_here()
        self.num_packets += 1
        if not self.timed or self._timeless:
            self._ticks.append(pts if dts is None else dts)
        if not self.timed:
            self._durations.append(duration)
            return
        assert pts is not None
        heappush(self._expected, pts)
        self._duration_at[pts] = duration
        if len(self._expected) > MAX_HELD:
            yield self._pass_timed()

    def add(self, frame: VideoFrame) -> Iterator[Arrival]:
        """Take a frame from the decoder and yield what may be passed on."""
        if not self.timed:
            if self.num_passed < self.num_packets:
                yield self._pass_counted(frame)
            return
        pts = frame.pts
        if pts not in self._duration_at or any(pts == decoded for decoded, _ in self._decoded):
            return
        heappush(self._decoded, (pts, frame))
        while self._decoded and (
            self._decoded[0][0] == self._expected[0] or len(self._decoded) > MAX_REORDERED
        ):
            yield self._pass_timed()

    def rest(self) -> Iterator[Arrival]:
        """Yield what still waits, at the end of the stream: no further frame comes."""
        while self._expected:
            yield self._pass_timed()
        while self.num_passed < self.num_packets:
            yield self._pass_counted(None)

    def ticks_ahead(self, distance: int) -> int | None:
        """Return the time of the frame ``distance`` after the last one, as far as is known."""
        if not self.timed or self._timeless:
            return self._ticks[distance - 1] if len(self._ticks) >= distance else None
        ahead = nsmallest(distance, self._expected)
        return ahead[-1] if len(ahead) == distance else None

    def _is_next(self, pts: int) -> bool:
        """Whether a time is none of the expected ones and later than all that have passed."""
        if self._last_pts is not None and pts <= self._last_pts:
            return False
        return pts not in self._duration_at

    def _count_from_here(self) -> Iterator[Arrival]:
        """Pass on what has been decoded, and tell frames by their times no longer."""
        while self._decoded:
            yield self._pass_timed()
        for pts in sorted(self._expected):
            if not self._timeless:
                self._ticks.append(pts)
            self._durations.append(self._duration_at.pop(pts))
        self._expected = []
        self.timed = False

    def _pass_timed(self) -> Arrival:
        pts = heappop(self._expected)
        duration = self._duration_at.pop(pts)
        frame = None
        if self._decoded and self._decoded[0][0] == pts:
            _, frame = heappop(self._decoded)
        self._last_pts = pts
        ticks = self._ticks.popleft() if self._timeless and self._ticks else pts
        return self._arrival(ticks, duration, frame)

    def _pass_counted(self, frame: VideoFrame | None) -> Arrival:
        ticks = self._ticks.popleft() if self._ticks else None
        duration = self._durations.popleft() if self._durations else 0
        return self._arrival(ticks, duration, frame)

    def _arrival(self, ticks: int | None, duration: int, frame: VideoFrame | None) -> Arrival:
        self.num_passed += 1
        return Arrival(self.num_passed - 1, ticks, duration, frame)


class StreamClock:
    """Ticks to seconds from the start of the stream, which never decrease.

    Args:
        unit: seconds per tick.
        origin_seconds: presentation time at which the stream starts.
        frame_rate: frames per second, for frames without a time.
    """

    def __init__(self, *, unit: Fraction, origin_seconds: float, frame_rate: Fraction) -> None:
        self.unit = unit
        self.num_resets = 0
        """How often the stream's clock was set back."""
        self._origin_seconds = origin_seconds
        self._frame_seconds = float(1 / frame_rate)
        self._rate = float(frame_rate)
        self._shift = 0.0
        self._last = float("-inf")

    def seconds(self, number: int, ticks: int | None) -> float:
        """Return the time of frame ``number``, the next one in presentation order."""
        plain = self._plain(number, ticks)
        time = plain + self._shift
        if time < self._last - MAX_JITTER_SECONDS:
            self.num_resets += 1
            self._shift = self._last + self._frame_seconds - plain
            time = plain + self._shift
        self._last = max(time, self._last)
        return self._last

    def later(self, number: int, ticks: int | None) -> float:
        """Return the time of a frame still to come."""
        return max(self._plain(number, ticks) + self._shift, self._last)

    def _plain(self, number: int, ticks: int | None) -> float:
        if ticks is None:
            return number / self._rate - self._origin_seconds
        return ticks * self.unit.numerator / self.unit.denominator - self._origin_seconds
