"""What a file is: size, rate, codec, sound, rotation, after a look at its first frame."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidskim.errors import VideoError
from vidskim.io.container import check_size, main_video_stream, open_container, read_only
from vidskim.io.packets import PacketIndex, demux
from vidskim.io.walk import ReadStats, configure
from vidskim.types import VideoInfo

MAX_PACKETS = 300
"""A file none of whose first packets decodes is given up."""


def probe(path: str | Path, index: PacketIndex, *, stats: ReadStats | None = None) -> VideoInfo:
    """Describe a file; the first frame is decoded, for only frames tell their rotation.

    Args:
        path: the file.
        index: its packets: the number of frames and the duration come from there.
        stats: cost is added here.

    Raises:
        VideoError: not one frame can be decoded, or the file cannot be opened.
    """
    with open_container(path) as container:
        stream = main_video_stream(container, path)
        codec = stream.codec_context.codec.canonical_name
        has_audio = bool(container.streams.audio)
        rate = frame_rate(stream, num_frames=len(index), duration_seconds=index.duration_seconds)
        frame = _first_frame(container, stream, path, ReadStats() if stats is None else stats)
    width, height, rotation = displayed(frame, path)
    return VideoInfo(
        path=str(path),
        duration_seconds=index.duration_seconds,
        num_frames=len(index),
        frame_rate=rate,
        width=width,
        height=height,
        codec=codec,
        has_audio=has_audio,
        rotation=rotation,
    )


class Displayed(NamedTuple):
    """How a frame is shown: pixels after rotation, and clockwise degrees."""

    width: int
    height: int
    rotation: int


def displayed(frame: VideoFrame, path: str | Path) -> Displayed:
    """Return how a frame is shown.

    Raises:
        VideoError: it has an absurd size.
    """
    check_size(path, width=frame.width, height=frame.height)
    rotation = rotation_degrees(frame)
    if rotation % 180:
        return Displayed(frame.height, frame.width, rotation)
    return Displayed(frame.width, frame.height, rotation)


def rotation_degrees(frame: VideoFrame) -> int:
    """Return how far to turn a frame clockwise for display: 0, 90, 180 or 270."""
    return round(-frame.rotation / 90) * 90 % 360


def undecodable(path: str | Path, *, codec: str, encrypted: bool) -> VideoError:
    """Return the error for a track of which no frame decodes."""
    if encrypted:
        return VideoError(path, f"its {codec} track is encrypted (DRM): give a decrypted copy")
    return VideoError(path, f"not one frame of its {codec} track can be decoded: it is damaged")


def frame_rate(stream: VideoStream, *, num_frames: int, duration_seconds: float) -> Fraction:
    """Return the average rate the container tells, else the one its times tell."""
    declared = stream.average_rate or stream.guessed_rate
    if declared:
        return Fraction(declared)
    return Fraction(num_frames / max(duration_seconds, 1e-3)).limit_denominator(1001)


def _first_frame(
    container: InputContainer, stream: VideoStream, path: str | Path, stats: ReadStats
) -> VideoFrame:
    """Decode until a frame comes out."""
    read_only(container, stream)
    context = stream.codec_context
    codec = context.codec.canonical_name
    configure(context)
    encrypted = False
    for count, packet in enumerate(demux(container, stream)):
        stats.bytes_read += packet.size
        encrypted = encrypted or packet.has_sidedata("encryption_info")
        try:
            frames = context.decode(packet)  # the last, empty packet drains the decoder
        except av.error.FFmpegError:
            frames = []
        if frames:
            stats.frames_decoded += len(frames)
            return frames[0]
        if count >= MAX_PACKETS:
            break
    raise undecodable(path, codec=codec, encrypted=encrypted)
