"""Stretches of a video stream cut out at packets, without decoding or encoding anything.

A stretch can begin at a key frame only, and end only where no packet before the end is displayed
after it. So a wanted stretch grows: back to the key frame before it, and forward past the frames
that its last ones refer to. In the order of the file, numbered as displayed, K a key frame::

    wanted                  2  3  4
    packets      0K 2 1  5K 3 4 8 6 7 ...        (3 and 4 are shown before the key frame 5)
    copied       0K 2 1  5K 3 4                  gives 0 1 2 3 4 5
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidskim.io.packets import PacketIndex, VideoPacket, read_packets
from vidskim.io.source import PacketSource
from vidskim.io.walk import walk

TIME_SLACK_SECONDS = 0.002
"""Matroska tells times in milliseconds."""


@dataclass(frozen=True, slots=True)
class TimedContent:
    """A packet, picture or sound and where it begins in what is written, for interleaving."""

    seconds: float
    content: "VideoPacket | VideoFrame | AudioFrame"


def merge(wanted: Sequence[range], *, num_frames: int) -> list[range]:
    """Join stretches of frames that overlap or touch, and drop what is not in the video.

    >>> merge([range(8, 12), range(0, 4), range(4, 6), range(30, 40)], num_frames=32)
    [range(0, 6), range(8, 12), range(30, 32)]
    """
    merged: list[range] = []
    for stretch in sorted(wanted, key=lambda stretch: stretch.start):
        start, stop = max(stretch.start, 0), min(stretch.stop, num_frames)
        if start >= stop:
            continue
        if merged and start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(stop, merged[-1].stop))
        else:
            merged.append(range(start, stop))
    return merged


def widen(index: PacketIndex, wanted: Sequence[range]) -> list[range] | None:
    """Grow stretches until each can be cut out at packets, and join those that meet.

    Args:
        index: the packets of the file.
        wanted: stretches of frames, merged.

    Returns:
        Stretches of frames, or None where the file does not tell which packets those are: its times
        do not give the order of display, it has no key frame before them, or it hides frames there.
    """
    if not index.timed:
        return None
    keys = np.flatnonzero(index.is_key)
    grown = []
    for stretch in wanted:
        place = int(np.searchsorted(keys, stretch.start, side="right")) - 1
        if place < 0:
            return None
        start = int(keys[place])
        stop = _closed(index, start, stretch.stop)
        if stop is None:
            return None
        grown.append(range(start, stop))
    return merge(grown, num_frames=len(index))


def lead_seconds(index: PacketIndex, stretch: range) -> float:
    """Return how long before a stretch of frames the last key frame lies that is not after it."""
    keys = np.flatnonzero(index.is_key[: stretch.start + 1])
    first = int(keys[-1]) if len(keys) else 0
    return seconds_at(index, stretch.start) - seconds_at(index, first)


def seconds_at(index: PacketIndex, number: int) -> float:
    """Return when a frame begins; of one past the last, when the video ends."""
    if number < len(index):
        return float(index.timestamps_seconds[number])
    return float(index.end_seconds)


def length_seconds(index: PacketIndex, stretch: range) -> float:
    """Return how long a stretch of frames is shown."""
    return seconds_at(index, stretch.stop) - seconds_at(index, stretch.start)


def copied_packets(
    path: str | Path,
    index: PacketIndex,
    stretches: Sequence[range],
    *,
    stream: VideoStream,
) -> Iterator[TimedContent]:
    """Yield the packets of stretches with new times, one stretch right after the other.

    Times of decoding are laid anew: the k-th packet is decoded when the k-th frame is shown, so
    many frames earlier as packets are out of order.

    Args:
        path: the file.
        index: its packets.
        stretches: from `widen`.
        stream: where the packets will be written.

    Raises:
        VideoError: the file cannot be opened.
        ValueError: it does not give the packets of its index a second time.
    """
    with PacketSource(path, index.demuxed) as source:
        tick = source.time_base
        order, shown, durations = _schedule(index, stretches, tick=tick)
        depth = max(0, int(np.max(np.arange(len(order)) - np.argsort(np.argsort(shown)))))
        ascending = np.sort(shown)
        step = max(1, int(np.median(np.diff(ascending)))) if len(ascending) > 1 else 1
        lead = ascending[0] - step * np.arange(depth, 0, -1)
        decoded = np.concatenate([lead, ascending])[: len(order)]
        place = 0
        for stretch in stretches:
            first, last = _span(index, stretch)
            skip = index.demuxed.frame_numbers < stretch.start
            numbers = [n for n in range(first, last + 1) if not skip[n]]
            source.go_to(first)
            for _, packet in zip(numbers, source.read_to(last, skip=skip), strict=True):
                packet.stream, packet.time_base = stream, tick
                packet.pts, packet.dts = int(shown[place]), int(decoded[place])
                packet.duration = int(durations[place])
                yield TimedContent(float(decoded[place] * tick), packet)
                place += 1


def shows_the_same(
    path: str | Path, index: PacketIndex, stretches: Sequence[range], *, copy: str | Path
) -> bool:
    """Decode what was cut out and its source; return whether all frames and times are equal.

    Only this tells whether decoders play a cut stream: parameters may change midway, a group of
    pictures may refer to the one before it.

    Raises:
        VideoError: a file cannot be opened.
    """
    cut = read_packets(copy)
    if len(cut) != sum(len(stretch) for stretch in stretches):
        return False
    expected, offset = [], 0.0
    for stretch in stretches:
        times = index.timestamps_seconds[stretch.start : stretch.stop]
        expected.append(times - times[0] + offset)
        offset += length_seconds(index, stretch)
    found = cut.timestamps_seconds - cut.timestamps_seconds[0]
    if np.abs(found - np.concatenate(expected)).max() > TIME_SLACK_SECONDS:
        return False
    wanted = [(stretch.start, stretch.stop) for stretch in stretches]
    source_frames, cut_frames = walk(path, index, wanted), walk(copy, cut, [(0, len(cut))])
    numbers = (number for stretch in stretches for number in stretch)
    try:
        return all(
            (a[0], b[0]) == (number, place) and _equal(a[1], b[1])
            for place, (number, a, b) in enumerate(
                zip(numbers, source_frames, cut_frames, strict=True)
            )
        )
    except ValueError:  # one of them gave fewer frames
        return False


def _closed(index: PacketIndex, start: int, stop: int) -> int | None:
    """Return the first end from ``stop`` on past which no packet that is needed is shown."""
    numbers = index.demuxed.frame_numbers
    while True:
        first, last = _span(index, range(start, stop))
        inside = numbers[first : last + 1]
        if (inside < 0).any():
            return None
        end = int(inside.max()) + 1
        if end == stop:
            return stop
        stop = end


def _span(index: PacketIndex, stretch: range) -> tuple[int, int]:
    """Return the first and the last packet of a stretch that begins with a key frame."""
    order = index.decode_order[stretch.start : stretch.stop]
    return int(order[0]), int(order.max())


def _schedule(
    index: PacketIndex, stretches: Sequence[range], *, tick: Fraction
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return packet numbers in the order of the file, their times of display and durations."""
    packets, times, lengths, offset = [], [], [], 0.0
    unit = float(tick)
    for stretch in stretches:
        seconds = np.array([seconds_at(index, n) for n in (*stretch, stretch.stop)])
        ticks = np.rint((seconds - seconds[0] + offset) / unit).astype(np.int64)
        order = index.decode_order[stretch.start : stretch.stop]
        by_file = np.argsort(order, kind="stable")
        packets.append(order[by_file])
        times.append(ticks[:-1][by_file])
        lengths.append(np.diff(ticks)[by_file])
        offset += float(seconds[-1] - seconds[0])
    return np.concatenate(packets), np.concatenate(times), np.concatenate(lengths)


def _equal(one: VideoFrame, other: VideoFrame) -> bool:
    """Whether two frames have the same pixels, in the codec's own format."""
    if (one.format.name, one.width, one.height) != (other.format.name, other.width, other.height):
        return False
    try:
        return bool(np.array_equal(one.to_ndarray(), other.to_ndarray()))
    except (ValueError, av.error.FFmpegError):  # a format NumPy has no layout for
        return bool(
            np.array_equal(one.to_ndarray(format="rgb48le"), other.to_ndarray(format="rgb48le"))
        )
