"""The packet index: what a file tells of every frame without decoding one.

One pass over the packets gives each frame's size, time, key flag and picture type, sorted by
presentation. It costs a few microseconds a frame, and everything else hangs on it: clips are laid
on its times, frames are found by its numbers, and packet sizes are the cheapest saliency there is.
"""

from array import array
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidskim.errors import VideoError
from vidskim.io.container import (
    describe,
    main_video_stream,
    open_container,
    origin_seconds,
    read_only,
)
from vidskim.io.picture_type import picture_type_reader

VideoPacket: TypeAlias = "av.Packet[VideoStream]"

MAX_PACKETS = 10_000_000
"""Two days at 60 frames per second; a longer index is a hostile file."""
MAX_READ_ERRORS = 8
SLACK_SECONDS = 0.25
"""A video may end this much before its declared end and still be whole."""
_NO_TIMES = ("avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "obu", "mjpeg")
"""Formats that store no presentation times: FFmpeg counts packets in their order in the file."""
UNKNOWN = int(np.iinfo(np.int64).min)
"""Stands for a time the file does not tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Demuxed:
    """Every packet of the stream in file order, frames that are never displayed included.

    Arrays are ``[R]``, R packets. ``frame_numbers`` is -1 where an edit list or the codec hides the
    frame; ``is_disposable`` says that no other frame refers to this one. ``identity`` is the column
    that names each packet wherever reading starts ("position" or "pts"); it is None where the file
    offers none, and then nobody may seek.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    is_disposable: NDArray[np.bool_]
    frame_numbers: NDArray[np.int64]
    positions: NDArray[np.int64]
    identity: str | None


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """One entry per displayed frame, in presentation order; F frames.

    ``timestamps_seconds`` counts from the start of the file and never decreases. ``picture_types``
    holds ``"I"``, ``"P"``, ``"B"`` or ``"?"``. ``decode_order[n]`` is frame n's packet in
    ``demuxed``. ``timed`` is False where the file's times do not tell the order of display
    (B-frames in AVI): frames are then counted as the decoder emits them.
    """

    sizes: NDArray[np.int64]
    timestamps_seconds: NDArray[np.float64]
    is_key: NDArray[np.bool_]
    picture_types: NDArray[np.str_]
    decode_order: NDArray[np.int64]
    pts: NDArray[np.int64]
    end_seconds: float
    bytes_total: int
    timed: bool
    demuxed: Demuxed
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return (
            f"PacketIndex({len(self)} frames, {int(self.is_key.sum())} key, "
            f"{self.bytes_total} bytes, {self.end_seconds:.3f} s)"
        )

    @property
    def num_frames(self) -> int:
        """F, the true number of frames."""
        return len(self.sizes)

    @property
    def duration_seconds(self) -> float:
        """From the start of the first frame to the end of the last."""
        return self.end_seconds - float(self.timestamps_seconds[0])


def read_packets(path: str | Path) -> PacketIndex:
    """Index the main video stream of a file.

    Args:
        path: a local file.

    Returns:
        The index; a file that breaks half-way gives what was readable and says so in ``warnings``.

    Raises:
        VideoError: the file cannot be opened, has no video, or no frame.
    """
    with open_container(path) as container:
        stream = main_video_stream(container, path)
        read_only(container, stream)
        table = _Table(stream)
        stopped = table.fill(container, stream)
        if not any(table.shown):
            raise VideoError(path, "has a video stream without any frame: it is cut off or damaged")
        return _index(table, container, stream, stopped=stopped)


def demux(
    container: InputContainer, stream: VideoStream, *, errors: list[str] | None = None
) -> Generator[VideoPacket, None, None]:
    """Yield the packets of a stream, past damaged places where FFmpeg finds its way.

    Args:
        container: an open file.
        stream: one of its streams.
        errors: one line is appended per failed reading; after `MAX_READ_ERRORS` of them, or one
            that stalls, the rest of the file is given up.
    """
    num_errors = 0
    while num_errors < MAX_READ_ERRORS:
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # PyAV knows no stream that appears only after the start: not ours
            continue
        except (av.error.FFmpegError, OSError) as error:
            num_errors += 1
            if errors is not None:
                errors.append(describe(error))
            if isinstance(error, av.error.ExitError):
                return


def is_hidden_vp8(view: memoryview) -> bool:
    """Whether a VP8 frame is never displayed: bit 4 is its show_frame flag (RFC 6386, 9.1)."""
    return not view[0] & 16


def is_timeless(container: InputContainer) -> bool:
    """Whether the format stores no presentation times."""
    return any(name in _NO_TIMES for name in container.format.name.split(","))


class _Table:
    """Columns that grow by one per packet, eight bytes a value."""

    def __init__(self, stream: VideoStream) -> None:
        self.pts, self.dts, self.sizes, self.positions, self.durations = (
            array("q") for _ in range(5)
        )
        self.is_key, self.shown, self.types = bytearray(), bytearray(), bytearray()
        self.num_incomplete = 0
        self.codec = stream.codec_context.name
        self.type_of = picture_type_reader(self.codec, stream.codec_context.extradata)

    def fill(self, container: InputContainer, stream: VideoStream) -> bool:
        """Read all packets; return whether reading failed somewhere."""
        errors: list[str] = []
        hides = self.codec == "vp8"
        for packet in demux(container, stream, errors=errors):
            if len(self.sizes) >= MAX_PACKETS:
                return True
            size = packet.size
            if size == 0:  # an empty slot of an AVI index, or the end of the stream
                continue
            pts, dts, position, key = packet.pts, packet.dts, packet.pos, packet.is_keyframe
            view = memoryview(packet)
            self.pts.append(UNKNOWN if pts is None else pts)
            self.dts.append(UNKNOWN if dts is None else dts)
            self.sizes.append(size)
            self.positions.append(-1 if position is None else position)
            self.durations.append(packet.duration or 0)
            self.is_key.append(key)
            self.shown.append(not packet.is_discard and not (hides and is_hidden_vp8(view)))
            self.types.append(ord("I") if key else ord(self.type_of(view)))
            self.num_incomplete += packet.is_corrupt
        return bool(errors)


def _index(
    table: _Table, container: InputContainer, stream: VideoStream, *, stopped: bool
) -> PacketIndex:
    """Sort the packets by presentation and check what the file says of them."""
    pts, dts = np.array(table.pts, np.int64), np.array(table.dts, np.int64)
    sizes, is_key = np.array(table.sizes, np.int64), np.array(table.is_key, np.bool_)
    shown = np.flatnonzero(np.array(table.shown, np.bool_))
    timeless = is_timeless(container)
    timed = _times_tell_order(pts[shown], timeless=timeless, stream=stream)
    order = shown[np.argsort(pts[shown], kind="stable")] if timed else shown
    numbers = np.full(len(pts), -1, np.int64)
    numbers[order] = np.arange(len(order))
    ticks = _times_without_order(pts[order], dts[order]) if timeless or not timed else pts[order]
    unit = stream.time_base or Fraction(1, 1000)
    seconds = _seconds(ticks, unit, stream) - origin_seconds(container)
    end = seconds[-1] + _last_duration(seconds, table.durations[order[-1]] * float(unit), stream)
    positions = np.array(table.positions, np.int64)
    types = np.frombuffer(bytes(table.types), np.uint8)
    is_disposable = types >= ord("a")
    return PacketIndex(
        sizes=sizes[order],
        timestamps_seconds=seconds,
        is_key=is_key[order],
        picture_types=np.char.upper(types.view("S1").astype("U1"))[order],
        decode_order=order,
        pts=pts[order],
        end_seconds=float(end),
        bytes_total=int(sizes.sum()),
        timed=timed,
        demuxed=Demuxed(
            pts, dts, is_key, is_disposable, numbers, positions, _identity(positions, pts)
        ),
        warnings=tell_damage(
            container,
            stream,
            end_seconds=float(end),
            num_packets=len(table.sizes),
            num_incomplete=table.num_incomplete,
            stopped=stopped,
        ),
    )


def _times_tell_order(pts: NDArray[np.int64], *, timeless: bool, stream: VideoStream) -> bool:
    """Whether sorting by presentation time gives the order of display."""
    if (pts == UNKNOWN).any() or len(np.unique(pts)) < len(pts):
        return False
    return not (timeless and stream.codec_context.has_b_frames)


def _times_without_order(pts: NDArray[np.int64], dts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted times for frames counted in the order of decoding: the k-th frame gets the k-th."""
    return np.sort(np.where(dts == UNKNOWN, pts, dts))


def _seconds(ticks: NDArray[np.int64], unit: Fraction, stream: VideoStream) -> NDArray[np.float64]:
    """Ticks to seconds; evenly spaced where a time is unknown."""
    if (ticks == UNKNOWN).any():
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return np.arange(len(ticks)) / float(rate)
    return ticks * unit.numerator / unit.denominator


def _last_duration(seconds: NDArray[np.float64], declared: float, stream: VideoStream) -> float:
    """How long the last frame shows: as declared, else as long as the others."""
    if declared > 0:
        return declared
    if len(seconds) > 1:
        return float(np.median(np.diff(seconds)))
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return float(1 / rate)


def _identity(positions: NDArray[np.int64], pts: NDArray[np.int64]) -> str | None:
    """Choose what names a packet: its byte position, else its time."""
    if (positions >= 0).all() and len(np.unique(positions)) == len(positions):
        return "position"
    if (pts != UNKNOWN).all() and len(np.unique(pts)) == len(pts):
        return "pts"
    return None


def tell_damage(
    container: InputContainer,
    stream: VideoStream,
    *,
    end_seconds: float,
    num_packets: int,
    num_incomplete: int,
    stopped: bool,
) -> tuple[str, ...]:
    """Say that a file is cut off or damaged, if it is.

    Args:
        container: the file, read to its end.
        stream: the stream that was read.
        end_seconds: end of its last frame.
        num_packets: packets that were read.
        num_incomplete: those of them that lack bytes.
        stopped: whether reading failed somewhere.
    """
    declared = _declared_seconds(container, stream)
    own = stream.duration is not None or not container.streams.audio
    short = declared - end_seconds > (SLACK_SECONDS if own else max(1.0, 0.2 * declared))
    if short:
        read = max(end_seconds, 0.0)
        return (f"cut off: {read:.1f} of the declared {declared:.1f} s can be read",)
    if num_incomplete:
        return (f"damaged: {num_incomplete} of {num_packets} packets are incomplete",)
    if stopped:
        return (f"damaged: reading failed after {num_packets} packets",)
    return ()


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    """How long the file says the video is; where only the whole file tells, sound counts too."""
    if stream.duration is None or stream.time_base is None:
        return (container.duration or 0) / av.time_base
    ticks = stream.duration
    if container.format.name == "avi":  # FFmpeg shortens the duration of a file cut off
        ticks = max(ticks, stream.frames)
    return float(ticks * stream.time_base)
