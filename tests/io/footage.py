"""Footage in every codec and container, and FFmpeg's own plain decode of it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidskim.io.packets import PacketIndex
from vidskim.io.reading import Reading
from vidskim.io.walk import ReadStats
from vidskim.types import VideoInfo

STREAMS = {
    "h264_long_gop.mp4": ("h264", {"g": "250"}),
    "h264_open_gop.mp4": ("h264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
    "h264_open_gop.mkv": ("h264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
    "h264_no_b.mp4": ("h264", {"g": "8", "bf": "0"}),
    "h264_tiny_gop.mp4": ("h264", {"g": "2", "bf": "1"}),
    "h264.ts": ("h264", {"g": "12"}),
    "h264.flv": ("h264", {"g": "12"}),
    "h264_b.avi": ("h264", {"g": "12"}),
    "h264_no_b.avi": ("h264", {"g": "12", "bf": "0"}),
    "raw.h264": ("h264", {"g": "12"}),
    "mpeg4_b.mp4": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4_b.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "12"}),
    "hevc.mp4": ("hevc", {"g": "12"}),
    "hevc.mkv": ("hevc", {"g": "12"}),
    "vp9.webm": ("vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
}
"""File name to codec and encoder options; 64 frames each."""

NUM_FRAMES = 64


def moving_pictures(count: int, *, height: int = 64, width: int = 80) -> list[np.ndarray]:
    """Pictures uint8 ``[H, W, 3]`` of which no two are alike: a smooth texture that drifts."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 40, width // 8 + 40, 3), dtype=np.uint8)
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return [
        np.ascontiguousarray(texture[2 * t : 2 * t + height, 3 * t : 3 * t + width])
        for t in range(count)
    ]


def plain_decode(path: Path) -> list[np.ndarray]:
    """The independent truth: all frames in order, decoded by FFmpeg without any of our code."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def loop(source: Path, target: Path, *, times: int) -> None:
    """Repeat a file by copying its packets, without encoding again."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [
            (p.pts, p.dts, p.duration, p.is_keyframe, bytes(p))
            for p in reader.demux(stream)
            if p.size
        ]
        span = max(p[0] + p[2] for p in packets)
        for shift in range(0, times * span, span):
            for pts, dts, duration, is_key, data in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, duration
                packet.is_keyframe = is_key
                writer.mux(packet)


def write_timed(
    path: Path, pictures: list[np.ndarray], *, ticks: list[int], time_base: Fraction, **options: str
) -> None:
    """Write H.264 with chosen presentation times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        for picture, tick in zip(pictures, ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def reading_of(
    path: str | Path,
    index: PacketIndex | None = None,
    *,
    info: VideoInfo | None = None,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> Reading:
    """A file to read of which some is known: the packets of the file before it was damaged, say."""
    reading = Reading(
        Path(path),
        stats=ReadStats() if stats is None else stats,
        warnings=[] if warnings is None else warnings,
    )
    known = {"packets": index, "info": info}
    vars(reading).update({name: value for name, value in known.items() if value is not None})
    return reading
