"""Decoding exactly the frames that are wanted, each group of pictures at most once.

A frame can only be decoded after the frames it refers to, back to a key frame. The walk enters at
the last key frame from which a wanted frame comes out right, reads on while wanted frames follow in
what is being read, and jumps only to a later key frame. With K a key frame and ``*`` wanted::

    K . . * . . . . K . . . . . K . * * .
    >-----> drain   (skipped)   >-----> drain
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vidskim.io.container import MAX_PIXELS
from vidskim.io.packets import PacketIndex
from vidskim.io.source import PacketSource

MAX_REORDERED = 17
"""A decoder holds back at most 16 frames (H.264, A.3.1) before it shows one."""


@dataclass
class ReadStats:
    """What reading has cost so far; every function that reads adds to it."""

    frames_decoded: int = 0
    bytes_read: int = 0


@dataclass
class Damage:
    """What a walk could not deliver."""

    packets_refused: int = 0
    frames_corrupt: int = 0
    numbers_missing: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Segment:
    """Packets decoded without a break (last one included), and the frames wanted of them."""

    first_packet: int
    last_packet: int
    numbers: NDArray[np.int64]


def plan(index: PacketIndex, wanted: Iterable[tuple[int, int]]) -> list[Segment]:
    """Choose the stretches of packets to decode, in the order of the file.

    Args:
        index: the packets of the file.
        wanted: half-open ranges ``(start, stop)`` of frame numbers; parts outside of the video are
            left out, overlaps count once.

    Returns:
        Segments that neither overlap nor touch.
    """
    is_wanted = np.zeros(len(index), np.bool_)
    for start, stop in wanted:
        is_wanted[max(start, 0) : max(stop, 0)] = True
    numbers = np.flatnonzero(is_wanted)
    if len(numbers) == 0:
        return []
    first = _entries(index)[numbers]
    last = np.maximum.accumulate(index.decode_order[numbers])
    if not index.timed:  # the k-th frame to come out is not the k-th packet: a few more go in
        last = np.minimum(last + MAX_REORDERED, len(index.demuxed.is_key) - 1)
    breaks = np.flatnonzero(first[1:] > last[:-1] + 1) + 1
    return [
        Segment(int(first[group].min()), int(last[group[-1]]), numbers[group])
        for group in np.split(np.arange(len(numbers)), breaks)
    ]


def walk(
    path: str | Path,
    index: PacketIndex,
    wanted: Iterable[tuple[int, int]],
    *,
    stats: ReadStats | None = None,
    damage: Damage | None = None,
    motion_vectors: bool = False,
    exact_pixels: bool = True,
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode the wanted frames in one pass.

    One thread decodes: frame threads corrupt H.264's motion vectors where there are B-frames, cost
    more CPU in all, and videos run in parallel anyway.

    Args:
        path: the file.
        index: its packets.
        wanted: half-open ranges ``(start, stop)`` of frame numbers.
        stats: cost is added here.
        damage: undecodable packets, concealed and missing frames are noted here.
        motion_vectors: export motion vectors as side data.
        exact_pixels: False leaves out what only pixels need, the loop filter of H.264 and the
            inverse transform of MPEG-4, and saves 15-20 %. Pixels are then of no use; vectors
            stay as they are, but for those FFmpeg makes up from pixels where a file is damaged.

    Yields:
        ``(frame number, frame)`` in presentation order; a frame that cannot be decoded is left out.
        Unwanted frames are decoded where others depend on them, and not yielded.

    Raises:
        VideoError: the file cannot be opened.
    """
    stats = ReadStats() if stats is None else stats
    damage = Damage() if damage is None else damage
    segments = plan(index, wanted)
    if not segments:
        return
    skip = _needless(index, segments)
    with PacketSource(path, index.demuxed) as source:
        for segment in segments:
            source.go_to(segment.first_packet)
            context = source.codec_context
            if context.is_open:
                context.flush_buffers()
            else:
                configure(context, motion_vectors=motion_vectors, exact_pixels=exact_pixels)
            yield from _decode(source, index, segment, skip, stats, damage)


def configure(
    context: VideoCodecContext, *, motion_vectors: bool = False, exact_pixels: bool = True
) -> None:
    """Set what must be set before the first packet is decoded: one thread, no absurd frames.

    A stream may change its size after the container told of it, so the decoder itself is bound.
    """
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    if motion_vectors:
        context.options |= {"flags2": "+export_mvs"}
    if not exact_pixels:
        context.options |= {"skip_loop_filter": "all", "skip_idct": "all"}


def _decode(
    source: PacketSource,
    index: PacketIndex,
    segment: Segment,
    skip: NDArray[np.bool_],
    stats: ReadStats,
    damage: Damage,
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode one segment to its end, draining the decoder."""
    numbers = segment.numbers.tolist()
    keys = index.pts[segment.numbers].tolist() if index.timed else numbers
    pending = dict(zip(keys, numbers))
    order = _InOrder(numbers)
    count = 0  # without times, a segment starts at the first packet and the k-th frame is frame k
    timed, context, time_base = index.timed, source.codec_context, source.time_base
    packets = source.read_to(segment.last_packet, skip=skip)
    for packet in chain(packets, [None]):  # None drains the decoder
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            damage.packets_refused += 1
            continue
        finally:
            stats.bytes_read += source.take_bytes_read()
        for frame in frames:
            stats.frames_decoded += 1
            number = pending.pop(frame.pts if timed else count, None)
            count += 1
            if number is not None:
                frame.time_base = time_base  # a drained frame comes without one
                damage.frames_corrupt += bool(frame.is_corrupt)
                yield from order.add(number, frame)
    yield from order.rest()
    damage.numbers_missing.extend(sorted([*pending.values(), *order.too_late]))


class _InOrder:
    """Passes frames on by ascending number, though a file's times may contradict its decoder.

    A frame waits while frames before it are missing, at most `MAX_REORDERED` of them at a time.
    """

    def __init__(self, numbers: list[int]) -> None:
        self.too_late: list[int] = []
        self._numbers = deque(numbers)
        self._waiting: list[tuple[int, VideoFrame]] = []

    def add(self, number: int, frame: VideoFrame) -> Iterator[tuple[int, VideoFrame]]:
        """Take one frame and yield what may be passed on."""
        if not self._numbers or number < self._numbers[0]:
            self.too_late.append(number)
            return
        if not self._waiting and number == self._numbers[0]:
            self._numbers.popleft()
            yield number, frame
            return
        heappush(self._waiting, (number, frame))
        while self._waiting and (
            self._waiting[0][0] == self._numbers[0] or len(self._waiting) > MAX_REORDERED
        ):
            yield self._pass_on()

    def rest(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield what still waits, at the end."""
        while self._waiting:
            yield self._pass_on()

    def _pass_on(self) -> tuple[int, VideoFrame]:
        number, frame = heappop(self._waiting)
        while self._numbers and self._numbers[0] <= number:
            self._numbers.popleft()
        return number, frame


def _needless(index: PacketIndex, segments: list[Segment]) -> NDArray[np.bool_]:
    """Packets ``[R]`` that hold no wanted frame and that no other frame refers to.

    They are never decoded, which saves a third of the work in streams with B-frames.
    """
    skip = index.demuxed.is_disposable & index.timed
    for segment in segments:
        skip[index.decode_order[segment.numbers]] = False
    return skip


def _entries(index: PacketIndex) -> NDArray[np.int64]:
    """For every frame, the packet at which decoding must start for it to come out right.

    That is the last key frame before it in the file, unless the frame is displayed before that key
    frame (an open group of pictures): then it refers to the group before, and the key frame before
    is the place.
    """
    demuxed = index.demuxed
    if not index.timed or demuxed.identity is None:
        return np.zeros(len(index), np.int64)
    packets = np.arange(len(demuxed.is_key))
    last_key = np.maximum.accumulate(np.where(demuxed.is_key, packets, 0))
    entries = last_key[index.decode_order]
    leading = (demuxed.pts[entries] > index.pts) & (entries > 0)
    entries[leading] = last_key[entries[leading] - 1]
    still_leading = (demuxed.pts[entries] > index.pts) & (entries > 0)
    entries[still_leading] = 0
    return entries
