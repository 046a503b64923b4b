"""Sound to log-mel windows, one per clip (SCSampler, section 3.2).

The track is decoded once, front to back; only the samples that open windows still need are held::

    clip            |-- a --|-- b --|-- c --|
    window of b         |------ b ------|        twice the clip long, centered on it

Sound costs about a quarter of decoding the pictures and often tells where to look.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.io.container import open_container, origin_seconds, read_only
from vidskim.io.mel import log_mel_spectra
from vidskim.io.packets import MAX_READ_ERRORS
from vidskim.io.walk import ReadStats
from vidskim.types import Clip

FRAME_SECONDS = 0.025
"""Shortest stretch under one spectrum."""
MAX_WINDOW_SECONDS = 120.0
"""Longest window; where a gap in the pictures makes a clip longer, its middle is heard."""
GAP_SECONDS = 0.1
"""A timestamp that differs from the count of samples by more than this is a gap or a jump."""
_BATCH = 16


@dataclass(frozen=True, slots=True)
class LogMel:
    """Log-mel windows of N clips."""

    values: Tensor
    """float32 ``[N, 1, M, S]``: log(1 + power / 1e-8), so 0 is silence and full scale about 17."""
    has_audio: bool
    """False if there is no readable track; values are then 0."""

    def __repr__(self) -> str:
        return f"LogMel(values={tuple(self.values.shape)}, has_audio={self.has_audio})"


@dataclass(frozen=True, slots=True)
class Window:
    """Where the samples of one clip's window lie: S spectra, ``hop`` apart, centered on the clip.

    ``start`` and ``stop`` count samples from the start of the file and may lie outside the track;
    ``length`` is the samples under one spectrum, ``n_fft`` the power of two that holds them.
    """

    position: int
    start: int
    stop: int
    hop: int
    length: int
    n_fft: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Mono samples float32 ``[samples]`` and the place of the first, from the start of the file."""

    start: int
    samples: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """One past the last sample."""
        return self.start + len(self.samples)


def log_mel(
    path: str | Path,
    clips: Sequence[Clip],
    *,
    window_clips: float = 2.0,
    num_steps: int = 200,
    num_mels: int = 40,
    sample_rate: int = 16000,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> LogMel:
    """Return one log-mel window per clip, of equal shape whatever the clip's length.

    The paper gives 200 steps of 40 mel bins over a window twice the clip long; the rest is chosen
    here: mono at 16 kHz, Hann windows of 25 ms (longer if the steps are more than 12.5 ms apart),
    HTK mel bins from 0 Hz to half the sample rate. Outside the track there is silence.

    Args:
        path: a local media file.
        clips: any clips; their order is kept.
        window_clips: length of a window in clips.
        num_steps: S, spectra per window.
        num_mels: M, mel bins.
        sample_rate: samples per second the sound is converted to.
        stats: bytes read are added here.
        warnings: a missing or damaged track is told here, once.

    Returns:
        `LogMel` with values ``[N, 1, M, S]``.

    Raises:
        UsageError: a size that is not positive.
        VideoError: the file cannot be opened at all.
    """
    if min(num_steps, num_mels, sample_rate) < 1 or not window_clips > 0:
        raise UsageError(
            f"log-mel windows need positive sizes, got window_clips={window_clips}, "
            f"num_steps={num_steps}, num_mels={num_mels}, sample_rate={sample_rate}"
        )
    warnings = [] if warnings is None else warnings
    values = torch.zeros(len(clips), 1, num_mels, num_steps)
    windows = [
        _window(
            clip,
            position=position,
            window_clips=window_clips,
            num_steps=num_steps,
            sample_rate=sample_rate,
        )
        for position, clip in enumerate(clips)
    ]
    with open_container(path) as container:
        stream = _audio_stream(container)
        if stream is None:
            _warn(warnings, "no audio track that can be decoded: sound is taken as silence")
            return LogMel(values=values, has_audio=False)
        chunks = iter_samples(
            container,
            stream,
            sample_rate=sample_rate,
            stats=ReadStats() if stats is None else stats,
            warnings=warnings,
        )
        for batch in _batches(fill_windows(windows, chunks)):
            first = batch[0][0]
            samples = torch.from_numpy(np.stack([samples for _, samples in batch]))
            values[[window.position for window, _ in batch], 0] = log_mel_spectra(
                samples,
                sample_rate=sample_rate,
                hop=first.hop,
                length=first.length,
                n_fft=first.n_fft,
                num_mels=num_mels,
            )
    return LogMel(values=values, has_audio=True)


def iter_samples(
    container: InputContainer,
    stream: AudioStream,
    *,
    sample_rate: int,
    stats: ReadStats,
    warnings: list[str],
) -> Iterator[Chunk]:
    """Decode a track to mono, placed by its timestamps; what cannot be decoded is left out.

    Args:
        container: an open file.
        stream: one of its audio streams.
        sample_rate: samples per second of the result.
        stats: bytes read are added here.
        warnings: damage is told here at the end.

    Yields:
        Chunks in the order of the file; between them may be gaps.
    """
    read_only(container, stream)
    origin = origin_seconds(container)
    mono = _Mono(sample_rate)
    num_packets = num_damaged = 0
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
    yield from mono.flush()
    if num_damaged:
        _warn(
            warnings,
            f"damaged audio: {num_damaged} of {num_packets} packets are taken as silence",
        )


def fill_windows(
    windows: Sequence[Window], chunks: Iterable[Chunk]
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """Cut windows out of a stream of chunks, holding only what windows to come may need.

    Args:
        windows: in any order; they may overlap and reach outside the track.
        chunks: in time order, gaps allowed.

    Yields:
        Each window, by start, with its samples float32 ``[stop - start]``, zero where there are
        none.
    """
    waiting = deque(sorted(windows, key=lambda window: (window.start, window.position)))
    held: deque[Chunk] = deque()
    for chunk in chunks:
        held.append(chunk)
        while waiting and waiting[0].stop <= chunk.stop:
            window = waiting.popleft()
            yield window, _cut(window, held)
        if not waiting:
            return
        while held and held[0].stop <= waiting[0].start:
            held.popleft()
    for window in waiting:
        yield window, _cut(window, held)


class _Mono:
    """Converts frames to mono samples at one rate and knows the place of the next one."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.resampler: AudioResampler | None = None
        self.format: tuple[str, str, int] | None = None
        self.seconds = 0.0
        self.place = 0

    def feed(self, frame: AudioFrame, seconds: float | None) -> Iterator[Chunk]:
        """Convert one frame that says it starts at ``seconds``; start anew after a gap."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        jumps = seconds is not None and abs(seconds - self.seconds) > GAP_SECONDS
        if self.resampler is None or kind != self.format or jumps:
            yield from self.flush()
            self.resampler = AudioResampler(format="flt", layout="mono", rate=self.sample_rate)
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


def _window(
    clip: Clip, *, position: int, window_clips: float, num_steps: int, sample_rate: int
) -> Window:
    """Lay S spectra evenly over the window of a clip, a whole number of samples apart."""
    seconds = min(window_clips * (clip.end_seconds - clip.start_seconds), MAX_WINDOW_SECONDS)
    hop = max(1, round(seconds * sample_rate / num_steps))
    length = max(round(FRAME_SECONDS * sample_rate), 2 * hop)
    n_fft = 1 << (length - 1).bit_length()
    span = (num_steps - 1) * hop + n_fft
    middle = (clip.start_seconds + clip.end_seconds) / 2
    start = round(middle * sample_rate) - span // 2
    return Window(position, start, start + span, hop, length, n_fft)


def _audio_stream(container: InputContainer) -> AudioStream | None:
    """Return FFmpeg's best audio stream, if its codec is known."""
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        return None
    return stream


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


def _batches(
    items: Iterable[tuple[Window, NDArray[np.float32]]],
) -> Iterator[list[tuple[Window, NDArray[np.float32]]]]:
    """Group neighboring windows of one shape, so that their spectra are computed together."""
    batch: list[tuple[Window, NDArray[np.float32]]] = []
    for item in items:
        if batch and (len(batch) == _BATCH or batch[0][0].hop != item[0].hop):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _cut(window: Window, held: Iterable[Chunk]) -> NDArray[np.float32]:
    """Copy a window's samples out of the chunks."""
    samples = np.zeros(window.stop - window.start, dtype=np.float32)
    for chunk in held:
        start, stop = max(window.start, chunk.start), min(window.stop, chunk.stop)
        if start < stop:
            samples[start - window.start : stop - window.start] = chunk.samples[
                start - chunk.start : stop - chunk.start
            ]
    return samples


def _warn(warnings: list[str], text: str) -> None:
    """Add a warning once."""
    if text not in warnings:
        warnings.append(text)
