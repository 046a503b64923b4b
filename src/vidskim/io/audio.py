"""Sound to log-mel windows, one per clip (SCSampler, section 3.2).

The track is decoded once, front to back; only the samples that open windows still need are held::

    clip            |-- a --|-- b --|-- c --|
    window of b         |------ b ------|        twice the clip long, centered on it

Sound costs about a quarter of decoding the pictures and often tells where to look.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.io.container import open_container
from vidskim.io.mel import log_mel_spectra
from vidskim.io.samples import Chunk, audio_stream, iter_samples
from vidskim.io.walk import ReadStats
from vidskim.types import Clip

FRAME_SECONDS = 0.025
"""Shortest stretch under one spectrum."""
MAX_WINDOW_SECONDS = 120.0
"""Longest window; where a gap in the pictures makes a clip longer, its middle is heard."""
_BATCH_SAMPLES = 300_000
"""Spectra of about this many samples are computed at once: 16 windows of half-second clips."""


@dataclass(frozen=True, slots=True)
class LogMel:
    """Log-mel windows of N clips."""

    values: Tensor
    """float32 ``[N, 1, M, S]``: log(1 + power / 1e-8), so 0 is silence and full scale about 17."""
    has_audio: bool
    """False if there is no track or nothing of it can be decoded; values are then 0."""

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
        stream = audio_stream(container)
        has_audio = False
        if stream is not None:
            stats = ReadStats() if stats is None else stats
            with closing(
                iter_samples(
                    container, stream, sample_rate=sample_rate, stats=stats, warnings=warnings
                )
            ) as chunks:
                has_audio = _spectra_into(values, windows, chunks, sample_rate=sample_rate)
        if not has_audio:
            text = "no audio track that can be decoded: sound is taken as silence"
            warnings += [] if text in warnings else [text]
        return LogMel(values=values, has_audio=has_audio)


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


def _spectra_into(
    values: Tensor, windows: Sequence[Window], chunks: Iterator[Chunk], *, sample_rate: int
) -> bool:
    """Fill in values ``[N, 1, M, S]`` as windows are heard; return whether there was any sound."""
    first = next(chunks, None)
    if first is None:
        return False
    for batch in _batches(fill_windows(windows, chain([first], chunks))):
        shape = batch[0][0]
        samples = torch.from_numpy(np.stack([samples for _, samples in batch]))
        values[[window.position for window, _ in batch], 0] = log_mel_spectra(
            samples,
            sample_rate=sample_rate,
            hop=shape.hop,
            length=shape.length,
            n_fft=shape.n_fft,
            num_mels=values.shape[2],
        )
    return True


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
