"""Sound files of every kind: tones, clicks, tracks that begin late or have holes."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidskim.clips.grid import split
from vidskim.types import Clip

RATE = 16000


def clips_of(seconds: float, *, length: float = 0.5) -> list[Clip]:
    """Clips that touch, ten frames each, over some seconds."""
    times = np.arange(round(seconds / length * 10)) * length / 10
    return split(times.tolist(), num_frames=10)


def write_sound(
    path: Path,
    samples: np.ndarray,
    *,
    codec: str = "pcm_s16le",
    rate: int = RATE,
    layout: str = "mono",
    start_seconds: Sequence[float] = (0.0,),
    block: int = 1000,
    options: dict[str, str] | None = None,
) -> None:
    """Write sound only; ``start_seconds`` gives the times at which equal parts of it begin."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
        format_name = stream.codec_context.codec.audio_formats[0].name
        parts = np.array_split(samples, len(start_seconds), axis=-1)
        for part, start in zip(parts, start_seconds):
            for offset in range(0, part.shape[-1], block):
                piece = np.atleast_2d(part)[:, offset : offset + block].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(piece), format="fltp", layout=layout
                )
                frame.sample_rate = rate
                frame.pts, frame.time_base = round(start * rate) + offset, Fraction(1, rate)
                resampler = av.AudioResampler(format=format_name, layout=layout, rate=rate)
                for converted in resampler.resample(frame):
                    container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def tone(seconds: float, hertz: float, *, rate: int = RATE, level: float = 0.5) -> np.ndarray:
    """A sine."""
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def clicks(seconds: float, at: Iterable[float], *, rate: int = RATE) -> np.ndarray:
    """Silence with bursts of 5 ms around some moments."""
    samples = np.zeros(round(seconds * rate))
    for moment in at:
        middle, half = round(moment * rate), round(0.0025 * rate)
        samples[middle - half : middle + half] = 0.9
    return samples


def add_sound(
    source: Path,
    target: Path,
    samples: np.ndarray,
    *,
    codec: str = "aac",
    rate: int = RATE,
    layout: str = "mono",
    start_seconds: float = 0.0,
) -> Path:
    """Copy a video and give it a sound track ``[channels, samples]`` that begins at some time."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        pictures = writer.add_stream_from_template(reader.streams.video[0])
        track = writer.add_stream(codec, rate=rate, layout=layout)
        kind = track.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(format=kind, layout=layout, rate=rate)
        packets = []
        for offset in range(0, samples.shape[-1], 1024):
            piece = np.atleast_2d(samples)[:, offset : offset + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(piece), format="fltp", layout=layout
            )
            frame.sample_rate = rate
            frame.pts = round(start_seconds * rate) + offset
            frame.time_base = Fraction(1, rate)
            for converted in resampler.resample(frame):
                packets += track.encode(converted)
        packets += track.encode(None)
        for packet in reader.demux(reader.streams.video[0]):
            if packet.size:
                packet.stream = pictures
                packets.append(packet)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            writer.mux(packet)
    return target
