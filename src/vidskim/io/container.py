"""Opening a file: local regular files in real media formats, nothing else.

FFmpeg opens far more than files: ``http:`` and ``concat:`` are protocols, a playlist is a demuxer
that opens what it lists, a QuickTime reference points at another file. A path that a stranger chose
must reach none of that, so the path always goes through the ``file:`` protocol, only demuxers that
read a single file are allowed, and external references stay off.

FFmpeg's own messages stay silent, as PyAV sets them by default: what matters becomes a `VideoError`
or a warning. ``av.logging.set_level(av.logging.WARNING)`` shows them.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from vidskim.errors import VideoError

FORMATS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "ogg", "asf"),
    *("m4v", "h264", "hevc", "av1", "obu", "ivf", "mjpeg", "yuv4mpegpipe", "nut", "mxf", "rm"),
    *("dv", "gif", "vc1", "wtv", "wav", "w64", "aiff", "mp3", "aac", "flac"),
)
"""FFmpeg demuxers that may be used; each reads the one file it is given."""

MAX_SIDE = 16384
MAX_PIXELS = 100_000_000
STALL_SECONDS = 60.0
"""One read of a local file that takes longer than this is given up."""

_PROBE_OPTIONS = {"max_pixels": str(MAX_PIXELS)}
"""Bounds what FFmpeg decodes on its own while it probes the streams."""
_DEMUXER_OPTIONS = {"format_whitelist": ",".join(FORMATS), "enable_drefs": "0"}

_REASONS: dict[type[BaseException], str] = {
    av.error.InvalidDataError: "is not readable as video: it is damaged, cut off or no video file",
    av.error.ArgumentError: "is not in a supported video format (playlists and lists are refused)",
    av.error.PermissionError: "may not be read: check its permissions",
    av.error.EOFError: "ends before any video data: it is cut off",
    av.error.ExitError: f"could not be read within {STALL_SECONDS:.0f} s",
}


def open_container(path: str | Path) -> InputContainer:
    """Open a local media file for reading.

    Args:
        path: an existing regular file (or a link to one).

    Returns:
        The container; close it, or use it in ``with``.

    Raises:
        VideoError: the path is no regular file, is empty, or holds no format of `FORMATS`.
    """
    _check_regular_file(path)
    try:
        return av.open(
            "file:" + os.path.abspath(path),
            options=_PROBE_OPTIONS,
            container_options={"protocol_whitelist": "file", **_DEMUXER_OPTIONS},
            timeout=STALL_SECONDS,
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoError(path, describe(error)) from error


def open_forward(reader: "Reader", *, name: str, analyze_seconds: float) -> InputContainer:
    """Open what can only be read front to back; no protocol is allowed at all.

    Args:
        reader: where the bytes come from. Its ``name`` helps FFmpeg to guess a raw format.
        name: of the source, for messages.
        analyze_seconds: how much of the stream may be looked at before the first packet is given.

    Raises:
        VideoError: no format of `FORMATS`, or one that cannot be read without seeking.
    """
    try:
        return av.open(
            reader,
            mode="r",
            options=_PROBE_OPTIONS,
            container_options={
                "protocol_whitelist": "",
                "analyzeduration": str(round(analyze_seconds * av.time_base)),
                **_DEMUXER_OPTIONS,
            },
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoError(name, describe(error)) from error


class Reader(Protocol):
    """Bytes in order, without a way back."""

    @property
    def name(self) -> str:
        """A file name whose suffix tells the format, as far as it is known."""
        ...

    @property
    def read(self) -> Callable[[int], bytes]:
        """A function that returns 1 to n bytes, none at the end; it raises nothing."""
        ...


def main_video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """Return the stream to watch: FFmpeg's best one, never an attached cover picture.

    Args:
        container: an open file.
        path: its name, for messages.

    Raises:
        VideoError: no video stream, an unknown codec, or an absurd frame size.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not moving:
        audio = " (audio only)" if container.streams.audio else ""
        raise VideoError(path, f"has no video stream{audio}: give a file with moving pictures")
    best = container.streams.best("video")
    stream = best if best in moving else moving[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(path, "its video codec is unknown to this FFmpeg: convert it to H.264")
    check_size(path, width=context.width, height=context.height)
    return stream


def check_size(path: str | Path, *, width: int, height: int) -> None:
    """Refuse frames that no real video has, before memory is spent on them.

    Raises:
        VideoError: a side above `MAX_SIDE` or more than `MAX_PIXELS` pixels.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise VideoError(
            path,
            f"declares frames of {width}x{height}; at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels are read: scale it down first",
        )


def read_only(container: InputContainer, stream: av.stream.Stream) -> None:
    """Tell the demuxer to skip the data of all other streams."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def origin_seconds(container: InputContainer) -> float:
    """Return the presentation time at which the file starts, in seconds.

    Players and FFmpeg count from the earliest stream: an MPEG-TS file may start at hours. Times of
    frames and of sound are given relative to this, so that they agree. A start below zero (the
    encoder delay of sound) moves nothing.
    """
    return max(container.start_time or 0, 0) / av.time_base


def describe(error: BaseException) -> str:
    """Turn an FFmpeg error into one line that ends with what to do."""
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    text = getattr(error, "strerror", None) or str(error)
    return f"cannot be read ({' '.join(text.split())})"


def check_reachable(path: str | Path) -> os.stat_result:
    """Return the state of what a path names, without opening it.

    Raises:
        VideoError: nothing is there, it cannot be reached, or it is a folder.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise VideoError(path, "does not exist: check the path") from error
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise VideoError(path, f"cannot be reached ({text}): check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(path, "is a folder: give a video file")
    return status


def _check_regular_file(path: str | Path) -> None:
    """Raise for anything but a readable file with bytes in it, without opening it."""
    status = check_reachable(path)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "is a pipe or device, not a regular file: save it to a file first")
    if status.st_size == 0:
        raise VideoError(path, "is empty (0 bytes): the download or recording failed")
