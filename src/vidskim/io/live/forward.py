"""The frames of a stream that is read once, front to back, each with its number and time.

Where a file is finished, its packet index tells all of this beforehand (`vidskim.io.packets`) and
`vidskim.io.walk` decodes what is wanted. Here packets are decoded as they come, nothing is left
out, and nothing is kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidskim.errors import VideoError
from vidskim.io.container import origin_seconds
from vidskim.io.live.arrival import Arrival, Arrivals, StreamClock
from vidskim.io.packets import demux, is_hidden_vp8, is_timeless, tell_damage
from vidskim.io.probe import MAX_PACKETS, Displayed, displayed, frame_rate, undecodable
from vidskim.io.walk import ReadStats, configure
from vidskim.types import VideoInfo


class Forward:
    """One pass over a stream, front to back: packets in, frames out in presentation order.

    Args:
        container: an open file or stream, nothing of it read yet.
        stream: the one to decode.
        path: its name, for messages.
        stats: cost is added here.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, path: str, *, stats: ReadStats
    ) -> None:
        self._container = container
        self._stream = stream
        self._path = path
        self._stats = stats
        self._context = stream.codec_context
        configure(self._context)
        self._codec = self._context.codec.canonical_name
        timeless = is_timeless(container)
        self._arrivals = Arrivals(
            timed=not (timeless and self._context.has_b_frames), timeless=timeless
        )
        self._clock = StreamClock(
            unit=stream.time_base or Fraction(1, 1000),
            origin_seconds=origin_seconds(container),
            frame_rate=stream.average_rate or stream.guessed_rate or Fraction(25),
        )
        self._errors: list[str] = []
        self._num_incomplete = 0
        self._num_sizes = 0
        self._shown: Displayed | None = None
        self._first_seconds = 0.0
        self._last: Arrival | None = None
        self._last_seconds = 0.0
        self._gap_seconds = 0.0

    def frames(self) -> Iterator[Arrival]:
        """Yield every frame, decoded or not; `seconds` and the others then speak of that one.

        Raises:
            VideoError: not one of the first frames can be decoded, or there is none.
        """
        encrypted = False
        hides = self._codec == "vp8"
        for packet in demux(self._container, self._stream, errors=self._errors):
            if packet.size == 0:  # an empty slot of an AVI, or the end of the stream
                continue
            self._num_sizes += 1
            self._stats.bytes_read += packet.size
            self._num_incomplete += packet.is_corrupt
            if self._shown is None:
                encrypted = encrypted or packet.has_sidedata("encryption_info")
            if not packet.is_discard and not (hides and is_hidden_vp8(memoryview(packet))):
                for arrival in self._arrivals.expect(packet):
                    yield self._noted(arrival)
            try:
                frames = self._context.decode(packet)
            except av.error.FFmpegError:
                frames = []
            for frame in frames:
                for arrival in self._take(frame):
                    yield self._noted(arrival)
            del frames
            if self._shown is None and self._num_sizes > MAX_PACKETS:
                raise undecodable(self._path, codec=self._codec, encrypted=encrypted)
        yield from self._drain()
        if self._arrivals.num_packets == 0:
            raise VideoError(
                self._path, "has a video stream without any frame: it is cut off or damaged"
            )
        if self._shown is None:
            raise undecodable(self._path, codec=self._codec, encrypted=encrypted)

    @property
    def num_frames(self) -> int:
        """Frames yielded so far."""
        return self._arrivals.num_passed

    @property
    def seconds(self) -> float:
        """Time of the last frame yielded."""
        return self._last_seconds

    @property
    def end_seconds(self) -> float:
        """End of the last frame yielded: as declared, else as long as the one before it."""
        assert self._last is not None
        duration = self._last.duration * float(self._clock.unit)
        return self._last_seconds + (duration or self._gap_seconds)

    def seconds_ahead(self, distance: int) -> float:
        """Return the time of the frame ``distance`` after the last one yielded.

        Its packet need not have come: then the stream is taken to go on at the same pace. A packet
        far from there is another frame's, one of those that are decoded before they are shown.
        """
        last = self._last
        assert last is not None
        number, pace = last.number + distance, self.end_seconds - self._last_seconds
        guess = self._last_seconds + distance * pace
        if last.ticks is None:
            return self._clock.later(number, None)
        if last.duration:
            guess = self._clock.later(number, last.ticks + distance * last.duration)
        ticks = self._arrivals.ticks_ahead(distance)
        if ticks is None:
            return guess
        known = self._clock.later(number, ticks)
        return known if abs(known - guess) < pace / 2 else guess

    def info(self) -> VideoInfo:
        """Describe the stream so far."""
        shown = self._shown or Displayed(self._context.width, self._context.height, 0)
        duration = self.end_seconds - self._first_seconds
        number = self.num_frames
        return VideoInfo(
            path=self._path,
            duration_seconds=duration,
            num_frames=number,
            frame_rate=frame_rate(self._stream, num_frames=number, duration_seconds=duration),
            width=shown.width,
            height=shown.height,
            codec=self._codec,
            has_audio=bool(self._container.streams.audio),
            rotation=shown.rotation,
        )

    def damage(self) -> list[str]:
        """Say, at the end, what was wrong with the stream as a whole."""
        texts = list(
            tell_damage(
                self._container,
                self._stream,
                end_seconds=self.end_seconds,
                num_packets=self._num_sizes,
                num_incomplete=self._num_incomplete,
                stopped=bool(self._errors),
            )
        )
        if self._clock.num_resets:
            texts.append(
                f"the stream's clock was set back ({self._clock.num_resets}x): times go on from "
                "where it was"
            )
        return texts

    def _take(self, frame: VideoFrame) -> Iterator[Arrival]:
        """Number a frame that comes out of the decoder."""
        self._stats.frames_decoded += 1
        if self._shown is None:
            self._shown = displayed(frame, self._path)
        return self._arrivals.add(frame)

    def _drain(self) -> Iterator[Arrival]:
        """Yield what the decoder still holds."""
        try:
            frames = self._context.decode(None) if self._context.is_open else []
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            for arrival in self._take(frame):
                yield self._noted(arrival)
        for arrival in self._arrivals.rest():
            yield self._noted(arrival)

    def _noted(self, arrival: Arrival) -> Arrival:
        """Keep the time of a frame that is about to be yielded."""
        seconds = self._clock.seconds(arrival.number, arrival.ticks)
        if self._last is None:
            self._first_seconds = seconds
            self._gap_seconds = 1 / float(
                self._stream.average_rate or self._stream.guessed_rate or 25
            )
        elif seconds > self._last_seconds:
            self._gap_seconds = seconds - self._last_seconds
        self._last, self._last_seconds = replace(arrival, frame=None), seconds
        return arrival
