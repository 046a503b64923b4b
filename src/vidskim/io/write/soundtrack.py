"""The sound of stretches of a file, cut at the sample."""

from collections.abc import Iterator, Sequence

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from vidskim.io.samples import Chunk, iter_samples
from vidskim.io.walk import ReadStats

BLOCK = 8192
"""Samples that are passed on at once."""


def sound_of(
    container: InputContainer,
    stream: AudioStream,
    spans: Sequence[tuple[float, float]],
    *,
    sample_rate: int,
    layout: str,
    warnings: list[str],
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of stretches of time, one right after the other.

    Where the track has none there is silence.

    Args:
        container: an open file.
        stream: one of its audio streams.
        spans: (start, end) in seconds from the start of the file, ascending, not overlapping.
        sample_rate: samples per second of the result.
        layout: "mono" or "stereo".
        warnings: damage is told here.

    Yields:
        float32 ``[samples, channels]``.
    """
    ranges = [range(round(a * sample_rate), round(b * sample_rate)) for a, b in spans]
    chunks = iter_samples(
        container,
        stream,
        sample_rate=sample_rate,
        stats=ReadStats(),
        warnings=warnings,
        wanted=_apart(ranges),
        layout=layout,
    )
    yield from _cut(chunks, ranges, channels=2 if layout == "stereo" else 1)


def _cut(
    chunks: Iterator[Chunk], ranges: Sequence[range], *, channels: int
) -> Iterator[NDArray[np.float32]]:
    held: Chunk | None = next(chunks, None)
    for wanted in ranges:
        place = wanted.start
        while place < wanted.stop:
            if held is not None and held.stop <= place:
                held = next(chunks, None)
                continue
            if held is None or held.start > place:
                end = wanted.stop if held is None else min(held.start, wanted.stop)
                piece = np.zeros((min(BLOCK, end - place), channels), np.float32)
            else:
                end = min(held.stop, wanted.stop, place + BLOCK)
                piece = held.samples[place - held.start : end - held.start].reshape(-1, channels)
            yield piece
            place += len(piece)


def _apart(ranges: Sequence[range]) -> list[range]:
    """Join ranges that touch."""
    joined: list[range] = []
    for piece in ranges:
        if joined and piece.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(piece.stop, joined[-1].stop))
        else:
            joined.append(piece)
    return joined
