"""Sound to log-mel windows, one per clip (SCSampler, section 3.2).

The track is decoded once, front to back, and only where windows lie; only the samples that open
windows still need are held::

    clip            |-- a --|-- b --|-- c --|
    window of b         |------ b ------|        twice the clip long, centered on it

Sound costs about a quarter of decoding the pictures and often tells where to look.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.io.container import open_container
from vidskim.io.mel import log_mel_spectra
from vidskim.io.reading import Reading
from vidskim.io.samples import Chunk, audio_stream, iter_samples
from vidskim.types import Clip

FRAME_SECONDS = 0.025
"""Shortest stretch under one spectrum."""
MAX_WINDOW_SECONDS = 120.0
"""Longest window; where a gap in the pictures makes a clip longer, its middle is heard."""
_BATCH_SAMPLES = 300_000
"""Spectra of about this many samples are computed at once: 16 windows of half-second clips."""
_BATCH_WINDOWS = 64
SHORT_SECONDS = 1.0
"""Sound that ends so much before the pictures do is told of; tracks often differ by less."""
SILENCE = 1e-5
"""Samples below this are silence, -100 dB: a third of the last bit of 16."""


@dataclass(frozen=True, slots=True)
class LogMel:
    """Log-mel windows of N clips."""

    values: Tensor
    """float32 ``[N, 1, M, S]``: log(1 + power / 1e-8), so 0 is silence and full scale about 17."""
    has_audio: bool
    """False if there is no track or nothing of it can be decoded; values are then 0."""

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to hear in any window: no track, or silence throughout."""
        return not bool(self.values.any())

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


@dataclass(slots=True)
class _Heard:
    """What was found out about a track while it was read."""

    has_audio: bool = False
    is_silent: bool = True
    stop: int = 0
    """Sample after the last one that was decoded."""


def log_mel(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    window_clips: float = 2.0,
    num_steps: int = 200,
    num_mels: int = 40,
    sample_rate: int = 16000,
) -> LogMel:
    """Return one log-mel window per clip, of equal shape whatever the clip's length.

    All of them are in memory at once; `iter_log_mel` holds a batch at a time. Arguments and errors
    are those of `iter_log_mel`.

    Returns:
        `LogMel` with values ``[N, 1, M, S]`` in the order of ``clips``; 0 where nothing sounds.
    """
    heard = _Heard()
    shape = _Shape(window_clips, num_steps, num_mels, sample_rate)
    values = torch.zeros(len(clips), 1, num_mels, num_steps)
    for positions, part in _iter_spectra(reading, clips, shape, heard=heard):
        values[positions] = part
    return LogMel(values=values, has_audio=heard.has_audio)


def iter_log_mel(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    window_clips: float = 2.0,
    num_steps: int = 200,
    num_mels: int = 40,
    sample_rate: int = 16000,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield log-mel windows in batches, in time order; memory is flat in the length of the file.

    The paper gives 200 steps of 40 mel bins over a window twice the clip long; the rest is chosen
    here: mono at 16 kHz, Hann windows of 25 ms (longer if the steps are more than 12.5 ms apart),
    HTK mel bins from 0 Hz to half the sample rate. Outside the track there is silence. Only the
    surroundings of the windows are decoded where the codec allows it. A warning tells of a missing,
    silent or damaged track.

    Args:
        reading: a media file, of which no picture is looked at.
        clips: any clips; they may overlap.
        window_clips: length of a window in clips.
        num_steps: S, spectra per window.
        num_mels: M, mel bins.
        sample_rate: samples per second the sound is converted to.

    Yields:
        Positions of clips int64 ``[n]`` and their windows float32 ``[n, 1, M, S]``. Every clip has
        one window, unless there is no track or only silence in all windows: then nothing comes.

    Raises:
        UsageError: a size that is not positive.
        VideoError: the file cannot be opened at all.
    """
    shape = _Shape(window_clips, num_steps, num_mels, sample_rate)
    yield from _iter_spectra(reading, clips, shape, heard=_Heard())


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


@dataclass(frozen=True, slots=True)
class _Shape:
    """The settings of windows."""

    window_clips: float
    num_steps: int
    num_mels: int
    sample_rate: int

    def __post_init__(self) -> None:
        positive = min(self.num_steps, self.num_mels, self.sample_rate) >= 1
        if not positive or not self.window_clips > 0:
            raise UsageError(
                f"log-mel windows need positive sizes, got window_clips={self.window_clips}, "
                f"num_steps={self.num_steps}, num_mels={self.num_mels}, "
                f"sample_rate={self.sample_rate}"
            )

    def window(self, clip: Clip, *, position: int) -> Window:
        """Lay S spectra evenly over the window of a clip, a whole number of samples apart."""
        length = self.window_clips * (clip.end_seconds - clip.start_seconds)
        seconds = min(length, MAX_WINDOW_SECONDS)
        hop = max(1, round(seconds * self.sample_rate / self.num_steps))
        length = max(round(FRAME_SECONDS * self.sample_rate), 2 * hop)
        n_fft = 1 << (length - 1).bit_length()
        span = (self.num_steps - 1) * hop + n_fft
        middle = (clip.start_seconds + clip.end_seconds) / 2
        start = round(middle * self.sample_rate) - span // 2
        return Window(position, start, start + span, hop, length, n_fft)


def _iter_spectra(
    reading: Reading, clips: Sequence[Clip], shape: _Shape, *, heard: _Heard
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what `iter_log_mel` does, and note in ``heard`` whether there was anything."""
    windows = [shape.window(clip, position=position) for position, clip in enumerate(clips)]
    quiet: list[int] = []
    with open_container(reading.path) as container:
        stream = audio_stream(container)
        if stream is not None:
            rate = shape.sample_rate
            wanted = _joined(windows)
            with closing(
                iter_samples(
                    container,
                    stream,
                    sample_rate=rate,
                    stats=reading.stats,
                    warnings=reading.warnings,
                    wanted=wanted,
                )
            ) as chunks:
                for positions, values in _spectra(windows, chunks, shape, heard=heard):
                    if heard.is_silent and not values.any():
                        quiet += positions
                        continue
                    if heard.is_silent:
                        heard.is_silent = False
                        yield from _silence(quiet, shape)
                    yield torch.tensor(positions), values
    if not heard.has_audio:
        reading.warn(["no audio track that can be decoded: sound is taken as silence"])
    elif heard.is_silent and clips:
        reading.warn(["the audio track is silent wherever it was listened to"])
    elif clips:
        ends, wanted_until = heard.stop / shape.sample_rate, max(c.end_seconds for c in clips)
        if ends < wanted_until - SHORT_SECONDS:
            text = f"sound ends at {ends:.1f} s, before the pictures: the rest is taken as silence"
            reading.warn([text])


def _spectra(
    windows: Sequence[Window], chunks: Iterator[Chunk], shape: _Shape, *, heard: _Heard
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield positions and values ``[n, 1, M, S]``; exactly 0 where a window is silent."""
    first = next(chunks, None)
    if first is None:
        return
    heard.has_audio = True

    def told() -> Iterator[Chunk]:
        for chunk in chain([first], chunks):
            heard.stop = max(heard.stop, chunk.stop)
            yield chunk

    for batch in _batches(fill_windows(windows, told())):
        like = batch[0][0]
        samples = np.stack([samples for _, samples in batch])
        samples[np.abs(samples).max(axis=1) < SILENCE] = 0
        spectra = log_mel_spectra(
            torch.from_numpy(samples),
            sample_rate=shape.sample_rate,
            hop=like.hop,
            length=like.length,
            n_fft=like.n_fft,
            num_mels=shape.num_mels,
        )
        yield [window.position for window, _ in batch], spectra[:, None]


def _silence(quiet: Sequence[int], shape: _Shape) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the windows held back until it was known that there is sound."""
    for start in range(0, len(quiet), _BATCH_WINDOWS):
        positions = torch.tensor(quiet[start : start + _BATCH_WINDOWS])
        yield positions, torch.zeros(len(positions), 1, shape.num_mels, shape.num_steps)


def _joined(windows: Iterable[Window]) -> list[range]:
    """Return the samples that windows hold as ascending ranges that do not touch."""
    joined: list[range] = []
    for window in sorted(windows, key=lambda window: window.start):
        if joined and window.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, window.stop))
        else:
            joined.append(range(window.start, window.stop))
    return joined


def _batches(
    items: Iterable[tuple[Window, NDArray[np.float32]]],
) -> Iterator[list[tuple[Window, NDArray[np.float32]]]]:
    """Group neighboring windows of one shape, so that their spectra are computed together."""
    batch: list[tuple[Window, NDArray[np.float32]]] = []
    for item in items:
        full = sum(len(samples) for _, samples in batch) + len(item[1]) > _BATCH_SAMPLES
        if batch and (full or batch[0][0].hop != item[0].hop):
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
