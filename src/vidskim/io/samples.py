"""The sound track as mono samples at one rate, each at its place in time.

Tracks start late, have holes, lose packets and change their format midway; what matters here is
that a moment of sound stays at the moment of its pictures.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from vidskim.io.container import origin_seconds, read_only
from vidskim.io.packets import MAX_READ_ERRORS
from vidskim.io.walk import ReadStats

GAP_SECONDS = 0.1
"""A timestamp that differs from the count of samples by more than this is a gap or a jump."""
RESUMABLE = frozenset(
    {"aac", "mp3", "opus", "vorbis", "flac", "alac", "ac3", "eac3"}
    | {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8", "pcm_alaw", "pcm_mulaw"}
)
"""Codecs whose decoders are back to what they were, `PRIMING_SECONDS` after they were emptied."""
PRIMING_SECONDS = 0.3
"""Decoded before a wanted stretch: ten packets of MP3, whose bits may stand that far back."""
_TIME_PRECISION_SECONDS = 0.0015
"""Containers whose times are in milliseconds are off by this from the count of samples."""
_LONGEST_PACKET_SECONDS = 1.0
"""Taken for a packet that does not tell how long it is."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Mono samples float32 ``[samples]`` and the place of the first, from the start of the file."""

    start: int
    samples: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """One past the last sample."""
        return self.start + len(self.samples)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return FFmpeg's best audio stream, if its codec is known."""
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        return None
    return stream


def iter_samples(
    container: InputContainer,
    stream: AudioStream,
    *,
    sample_rate: int,
    stats: ReadStats,
    warnings: list[str],
    wanted: Sequence[range] | None = None,
    layout: str = "mono",
) -> Generator[Chunk]:
    """Decode a track to mono, placed by its timestamps; what cannot be decoded is left out.

    Args:
        container: an open file.
        stream: one of its audio streams.
        sample_rate: samples per second of the result.
        stats: bytes read are added here.
        warnings: damage and gaps are told here at the end.
        wanted: ascending ranges of samples that do not touch; nothing far from them is decoded
            but the start of the track, if the codec is one of `RESUMABLE`. None decodes all.
        layout: "mono", or another of FFmpeg's, whose chunks are ``[samples, channels]``.

    Yields:
        Chunks in the order of the file; between them may be gaps. The samples that are wanted are
        those of a whole decode, as exactly as the timestamps of packets are.
    """
    read_only(container, stream)
    origin, tick = origin_seconds(container), float(stream.time_base or 0)
    mono = _Mono(sample_rate, layout)
    if stream.codec_context.codec.canonical_name not in RESUMABLE:
        wanted = None
    need = _Need(wanted, sample_rate=sample_rate)
    num_packets = num_damaged = 0
    try:
        for packet in _packets(container, stream):
            num_packets += 1
            if packet is None:
                num_damaged += 1
                continue
            stats.bytes_read += packet.size
            start, stop = _span(packet, tick=tick, origin=origin)
            if mono.has_started and packet.size and not need.near(start, stop):
                mono.skip(start)
                continue
            if mono.skipping and start is None:
                continue
            if mono.skipping:
                stream.codec_context.flush_buffers()
            try:
                for frame in packet.decode():
                    pts = frame.pts
                    yield from mono.feed(frame, None if pts is None else pts * tick - origin)
            except (av.error.FFmpegError, ValueError):
                num_damaged += need.wants(start, stop)
        with suppress(av.error.FFmpegError, ValueError):
            yield from mono.flush()
    finally:
        if num_damaged:
            text = f"damaged audio: {num_damaged} of {num_packets} packets are taken as silence"
            _warn(warnings, text)
        elif mono.gap_seconds > GAP_SECONDS:
            gaps = f"the audio track has gaps of {mono.gap_seconds:.1f} s in all"
            _warn(warnings, f"{gaps}: they are taken as silence")


class _Need:
    """Which stretches of time are wanted, and which must be decoded for them."""

    def __init__(self, wanted: Sequence[range] | None, *, sample_rate: int) -> None:
        self._all = wanted is None
        self._starts = [samples.start / sample_rate for samples in wanted or ()]
        self._stops = [samples.stop / sample_rate for samples in wanted or ()]

    def near(self, start: float | None, stop: float | None) -> bool:
        """Whether a packet from start to stop seconds has to be decoded."""
        if self._all or start is None or stop is None:
            return True
        return self._overlaps(start - GAP_SECONDS, stop + PRIMING_SECONDS)

    def wants(self, start: float | None, stop: float | None) -> bool:
        """Whether any of its samples is wanted."""
        return self._all or start is None or stop is None or self._overlaps(start, stop)

    def _overlaps(self, start: float, stop: float) -> bool:
        place = bisect_right(self._stops, start)
        return place < len(self._starts) and self._starts[place] < stop


def _span(
    packet: "av.Packet[AudioStream]", *, tick: float, origin: float
) -> tuple[float | None, float | None]:
    """Return from when to when a packet sounds, in seconds from the start of the file."""
    pts = packet.pts
    if pts is None:
        return None, None
    start = pts * tick - origin
    return start, start + ((packet.duration or 0) * tick or _LONGEST_PACKET_SECONDS)


class _Mono:
    """Converts frames to mono samples at one rate and knows the place of the next one."""

    def __init__(self, sample_rate: int, layout: str = "mono") -> None:
        self.sample_rate = sample_rate
        self.layout = layout
        self.resampler: AudioResampler | None = None
        self.format: tuple[str, str, int] | None = None
        self.seconds = 0.0
        self.place = 0
        self.gap_seconds = 0.0
        self.skipping = False
        """Whether the frames before the next one were left out on purpose."""
        self.drift = 0.0
        """By how much times run ahead of the count of samples, as long as it is no gap."""
        self.anchor = (0.0, 0, 0)
        """Seconds and place at which samples were last counted anew, and the samples of the frame
        there, which may be shorter than the others."""

    @property
    def has_started(self) -> bool:
        """Whether a frame has come."""
        return self.format is not None

    def feed(self, frame: AudioFrame, seconds: float | None) -> Iterator[Chunk]:
        """Convert one frame that says it starts at ``seconds``; start anew after a gap."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        jumps = seconds is not None and abs(seconds - self.seconds) > GAP_SECONDS
        if self.skipping and seconds is not None and kind == self.format:
            yield from self.flush()
            frame = self._resume(frame, seconds)
        elif self.resampler is None or kind != self.format or jumps:
            yield from self.flush()
            self.resampler = self._resampler()
            if self.format is not None and seconds is not None and not self.skipping:
                self.gap_seconds += max(0.0, seconds - self.seconds)
            self.format = kind
            self.seconds = self.seconds if seconds is None else seconds
            self.place = round(self.seconds * self.sample_rate)
            self.anchor = self.seconds, self.place, frame.samples
        self.skipping = False
        self.seconds += frame.samples / frame.sample_rate
        frame.pts = None
        if self.resampler is not None:
            yield from self._place(self.resampler.resample(frame))

    def _resampler(self) -> AudioResampler:
        return AudioResampler(format="flt", layout=self.layout, rate=self.sample_rate)

    def skip(self, seconds: float | None) -> None:
        """Leave out what starts at ``seconds``; what follows keeps its distance to the count."""
        if not self.skipping and seconds is not None:
            drift = seconds - self.seconds
            self.drift = drift if _TIME_PRECISION_SECONDS < abs(drift) <= GAP_SECONDS else 0.0
        self.skipping = True

    def flush(self) -> Iterator[Chunk]:
        """Return what the resampler still holds."""
        if self.resampler is not None:
            resampler, self.resampler = self.resampler, None
            yield from self._place(resampler.resample(None))

    def _resume(self, frame: AudioFrame, seconds: float) -> AudioFrame:
        """Go on after a skip as if nothing had been skipped; return the frame, its start cut off.

        A whole decode counts samples from the start, so the frame is put where frames of its length
        would end up, not where a rounded time says. The new rate's samples lie between the old
        one's and lie the same way again only every few hundred samples (every 441st from 44.1 to
        16 kHz), so there the conversion begins.
        """
        self.resampler = self._resampler()
        began, place, first = self.anchor
        period = frame.sample_rate // gcd(frame.sample_rate, self.sample_rate)
        number = round((seconds - self.drift - began) * frame.sample_rate)
        whole = first + round((number - first) / frame.samples) * frame.samples
        if abs(whole - number) <= _TIME_PRECISION_SECONDS * frame.sample_rate:
            number = whole
        cut = -number % period
        if cut < frame.samples:
            frame = _without_start(frame, cut)
            number += cut
        self.seconds = began + number / frame.sample_rate
        self.place = place + round(number * self.sample_rate / frame.sample_rate)
        return frame

    def _place(self, frames: Iterable[AudioFrame | None]) -> Iterator[Chunk]:
        for frame in frames:
            if frame is None:
                continue
            samples: NDArray[np.float32] = np.asarray(frame.to_ndarray(), np.float32).reshape(-1)
            if not np.isfinite(samples @ samples):  # a tenth of the time of looking at each
                samples = np.nan_to_num(samples)
            samples = samples.clip(-1.0, 1.0)
            if self.layout != "mono":
                samples = samples.reshape(frame.samples, -1)
            yield Chunk(self.place, samples)
            self.place += len(samples)


def _without_start(frame: AudioFrame, count: int) -> AudioFrame:
    """Return a frame without its first samples."""
    if count == 0:
        return frame
    channels = 1 if frame.format.is_planar else len(frame.layout.channels)
    rest: Any = np.ascontiguousarray(frame.to_ndarray()[:, count * channels :])
    shorter = AudioFrame.from_ndarray(rest, format=frame.format.name, layout=frame.layout.name)
    shorter.sample_rate = frame.sample_rate
    return shorter


def _packets(
    container: InputContainer, stream: AudioStream
) -> "Iterator[av.Packet[AudioStream] | None]":
    """Yield the packets of a track, None where reading failed; then FFmpeg looks for a way on."""
    for _ in range(MAX_READ_ERRORS):
        try:
            yield from container.demux(stream)
            return
        except av.error.ExitError:
            yield None
            return
        except (av.error.FFmpegError, OSError):
            yield None


def _warn(warnings: list[str], text: str) -> None:
    """Add a warning once."""
    if text not in warnings:
        warnings.append(text)
