"""The sound track as mono samples at one rate, each at its place in time.

Tracks start late, have holes, lose packets and change their format midway; what matters here is
that a moment of sound stays at the moment of its pictures.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

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
) -> Generator[Chunk]:
    """Decode a track to mono, placed by its timestamps; what cannot be decoded is left out.

    Args:
        container: an open file.
        stream: one of its audio streams.
        sample_rate: samples per second of the result.
        stats: bytes read are added here.
        warnings: damage and gaps are told here at the end.

    Yields:
        Chunks in the order of the file; between them may be gaps.
    """
    read_only(container, stream)
    origin = origin_seconds(container)
    mono = _Mono(sample_rate)
    num_packets = num_damaged = 0
    try:
        for packet in _packets(container, stream):
            num_packets += 1
            if packet is None:
                num_damaged += 1
                continue
            stats.bytes_read += packet.size
            try:
                for frame in packet.decode():
                    yield from mono.feed(frame, None if frame.time is None else frame.time - origin)
            except (av.error.FFmpegError, ValueError):
                num_damaged += 1
        with suppress(av.error.FFmpegError, ValueError):
            yield from mono.flush()
    finally:
        if num_damaged:
            text = f"damaged audio: {num_damaged} of {num_packets} packets are taken as silence"
            _warn(warnings, text)
        elif mono.gap_seconds > GAP_SECONDS:
            gaps = f"the audio track has gaps of {mono.gap_seconds:.1f} s in all"
            _warn(warnings, f"{gaps}: they are taken as silence")


class _Mono:
    """Converts frames to mono samples at one rate and knows the place of the next one."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.resampler: AudioResampler | None = None
        self.format: tuple[str, str, int] | None = None
        self.seconds = 0.0
        self.place = 0
        self.gap_seconds = 0.0

    def feed(self, frame: AudioFrame, seconds: float | None) -> Iterator[Chunk]:
        """Convert one frame that says it starts at ``seconds``; start anew after a gap."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        jumps = seconds is not None and abs(seconds - self.seconds) > GAP_SECONDS
        if self.resampler is None or kind != self.format or jumps:
            yield from self.flush()
            self.resampler = AudioResampler(format="flt", layout="mono", rate=self.sample_rate)
            if self.format is not None and seconds is not None:
                self.gap_seconds += max(0.0, seconds - self.seconds)
            self.format = kind
            self.seconds = self.seconds if seconds is None else seconds
            self.place = round(self.seconds * self.sample_rate)
        self.seconds += frame.samples / frame.sample_rate
        frame.pts = None
        yield from self._place(self.resampler.resample(frame))

    def flush(self) -> Iterator[Chunk]:
        """Return what the resampler still holds."""
        if self.resampler is not None:
            resampler, self.resampler = self.resampler, None
            yield from self._place(resampler.resample(None))

    def _place(self, frames: Iterable[AudioFrame | None]) -> Iterator[Chunk]:
        for frame in frames:
            if frame is None:
                continue
            samples = np.nan_to_num(frame.to_ndarray().reshape(-1)).clip(-1.0, 1.0)
            yield Chunk(self.place, samples)
            self.place += len(samples)


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
