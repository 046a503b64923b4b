"""A folder of JPEG frames as one video file, by stream copy: nothing is decoded or encoded.

A JPEG is a frame of Motion JPEG as it stands, so the packed video's pixels are the JPEGs' own. AVI
is written because frame n lies at exactly n / frame rate in it (Matroska rounds to milliseconds);
every frame is a key frame, so no order of display is lost.
"""

import io
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from vidskim.errors import UsageError, VideoError
from vidskim.io.container import MAX_PIXELS, check_size, describe
from vidskim.io.write.files import whole

MAX_FRAMES = 100_000
MAX_FRAME_BYTES = 64 * 2**20
"""Larger JPEGs are refused before they are read."""

_FRAME_NAME = re.compile(r"(\d{1,9})\.jpe?g", re.ASCII | re.IGNORECASE)
_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers that no length follows."""
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers (SOF) that tell a JPEG's size; the three left out are tables."""


def pack_jpegs(folder: str | Path, out: str | Path, *, frame_rate: Fraction | int = 12) -> int:
    """Pack the numbered JPEGs of a folder into one Motion JPEG video, their bytes unchanged.

    Equal frames give equal bytes. The file appears under its name only when it is complete.

    Args:
        folder: holds ``00001.jpg``, ``00002.jpg``, ... without gaps, from 0 or 1 on, all of one
            size; files with other names are passed over.
        out: a file that ends in .avi; its folder is made if missing.
        frame_rate: frames per second.

    Returns:
        The number of frames.

    Raises:
        UsageError: another suffix.
        VideoError: no frames, a gap, or a file that is no whole JPEG of the first one's size.
        OSError: the video cannot be written.
    """
    folder, out = Path(folder), Path(out)
    if out.suffix != ".avi":
        raise UsageError(f"{out}: packed frames are written as AVI; give a file that ends in .avi")
    paths = _numbered(folder)
    frames = _read_all(paths)
    first = next(frames)
    tick = 1 / Fraction(frame_rate)
    try:
        with (
            whole(out) as part,
            _as_stream(first, paths[0]) as source,
            av.open(str(part), "w", options={"fflags": "+bitexact"}) as container,
        ):
            stream = container.add_stream_from_template(source.streams.video[0])
            stream.time_base = tick
            for number in range(len(paths)):
                packet = av.Packet(first if number == 0 else next(frames))
                packet.stream, packet.time_base = stream, tick
                packet.pts = packet.dts = number
                packet.duration = 1
                packet.is_keyframe = True
                container.mux(packet)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # no room, no right to write: the caller's to tell
            raise
        raise VideoError(folder, f"its frames cannot be packed: {describe(error)}") from error
    return len(paths)


def _as_stream(data: bytes, path: Path) -> av.container.InputContainer:
    """Open one JPEG as a stream of Motion JPEG, for its parameters."""
    options = {"max_pixels": str(MAX_PIXELS)}
    try:
        return av.open(io.BytesIO(data), mode="r", format="mjpeg", options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(path, describe(error)) from error


def _numbered(folder: Path) -> list[Path]:
    """Return the frames of a folder in order.

    Raises:
        VideoError: none, too many, or a gap between their numbers.
    """
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                match = _FRAME_NAME.fullmatch(entry.name)
                if match and entry.is_file():
                    found.append((int(match[1]), Path(folder, entry.name)))
                if len(found) > MAX_FRAMES:
                    raise VideoError(folder, f"holds more than {MAX_FRAMES} frames: split it")
    except OSError as error:
        raise VideoError(folder, f"cannot be read ({error.strerror or error})") from error
    if not found:
        raise VideoError(folder, "holds no frames named 00001.jpg, 00002.jpg, ...")
    found.sort()
    start = min(found[0][0], 1)
    for expected, (number, path) in enumerate(found, start):
        if number < expected:
            raise VideoError(folder, f"frame {number} is there twice ({path.name}): remove one")
        if number > expected:
            raise VideoError(folder, f"frame {expected} is missing: unpack its archive again")
    return [path for _, path in found]


def _read_all(paths: list[Path]) -> Iterator[bytes]:
    """Yield whole JPEGs, all of the first one's size."""
    expected: tuple[int, int] | None = None
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FRAME_BYTES + 1)
        except OSError as error:
            raise VideoError(path, f"cannot be read ({error.strerror or error})") from error
        if len(data) > MAX_FRAME_BYTES:
            raise VideoError(path, f"is larger than {MAX_FRAME_BYTES // 2**20} MiB: no video frame")
        size = _size_of(data, path)
        check_size(path, width=size[0], height=size[1])
        if expected is not None and size != expected:
            raise VideoError(
                path,
                "is {}x{}, the first frame {}x{}: give frames of one size".format(*size, *expected),
            )
        expected = size
        yield data


def _size_of(data: bytes, path: Path) -> tuple[int, int]:
    """Return the width and height that a JPEG's frame header tells.

    Raises:
        VideoError: it is no JPEG, or is cut off.
    """
    place = 2 if data[:3] == bytes((0xFF, _START, 0xFF)) else len(data)
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAME_HEADERS:
            if data.rfind(bytes((0xFF, _END))) < place:
                raise VideoError(path, "is cut off: unpack its archive again")
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            width = int.from_bytes(data[place + 7 : place + 9], "big")
            if width and height:
                return width, height
            break
        if marker in (_SCAN, _END):
            break
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _BARE:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise VideoError(path, "is no JPEG: unpack its archive again")
