"""Frames and sound to a video file: synthetic data, reels and test files are written here."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from vidskim.errors import UsageError
from vidskim.io.write.files import whole

ENCODERS = {"h264": "libx264", "mpeg4": "mpeg4", "hevc": "libx265", "vp9": "libvpx-vp9"}
"""Codec name to FFmpeg's encoder."""


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    frame_rate: Fraction | int = 25,
    codec: str = "h264",
    options: Mapping[str, str] | None = None,
    audio: np.ndarray | None = None,
    sample_rate: int = 16000,
) -> None:
    """Encode RGB frames, and mono sound if there is any, into the container the suffix names.

    The file appears under its name only when it is complete.

    Args:
        path: where to write; the suffix chooses the container (.mp4, .mkv, .avi, ...).
        frames: uint8 ``[H, W, 3]`` each, all of one even size.
        frame_rate: frames per second.
        codec: one of `ENCODERS`.
        options: encoder options, for example ``{"g": "12", "bf": "0"}``.
        audio: float32 ``[samples]`` in [-1, 1], written as AAC.
        sample_rate: samples per second of ``audio``.

    Raises:
        UsageError: an unknown codec, or no frames.
    """
    if codec not in ENCODERS:
        raise UsageError(f"cannot write codec {codec!r}; choose one of {sorted(ENCODERS)}")
    path = Path(path)
    rate = Fraction(frame_rate)
    count = 0
    with whole(path) as part, av.open(str(part), "w") as container:
        stream = cast(
            "av.VideoStream",
            container.add_stream(ENCODERS[codec], rate=rate, options=dict(options or {})),
        )
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if codec == "hevc":
            stream.codec_context.options = {**dict(options or {}), "x265-params": "log-level=1"}
        voice: av.AudioStream | None = None
        if audio is not None:
            voice = container.add_stream("aac", rate=sample_rate, layout="mono")
            voice.bit_rate = 48_000
        for count, image in enumerate(frames, start=1):
            if count == 1:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = count - 1, 1 / rate
            container.mux(stream.encode(frame))
        if count == 0:
            raise UsageError(f"{path}: no frames to write")
        container.mux(stream.encode(None))
        if audio is not None and voice is not None:
            _encode_audio(container, voice, audio, sample_rate=sample_rate)


def _encode_audio(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    audio: np.ndarray,
    *,
    sample_rate: int,
) -> None:
    """Encode mono samples ``[S]`` in AAC frames of 1024."""
    samples = np.ascontiguousarray(audio, dtype=np.float32)[None]
    for start in range(0, samples.shape[1], 1024):
        block = av.AudioFrame.from_ndarray(
            samples[:, start : start + 1024], format="fltp", layout="mono"
        )
        block.sample_rate, block.pts = sample_rate, start
        block.time_base = Fraction(1, sample_rate)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))
