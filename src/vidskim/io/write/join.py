"""Joining files by stream copy: packets are copied, nothing is decoded and encoded again.

Files whose streams share one codec header can stand one after another in one stream. Frames keep
their pixels and motion vectors bit for bit; only their times change: frame n of the joined file is
shown at n / frame rate, whatever empty slots the parts' own indices have. MP4 is written, because
it stores a presentation time for every frame (AVI none, Matroska rounded to milliseconds).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from vidskim.errors import UsageError, VideoError
from vidskim.io.container import (
    describe,
    main_video_stream,
    open_container,
    origin_seconds,
    read_only,
)
from vidskim.io.packets import PacketIndex, demux, read_packets
from vidskim.io.walk import Damage, walk
from vidskim.io.write.files import whole

CODECS = ("h264", "hevc", "mpeg4", "vp9")
"""Codecs whose key frames need nothing of what came before, and that were tried."""

_VOP = b"\0\0\1\xb6"
"""Opens a picture of MPEG-4 Part 2."""


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What two files must have in common to be joined."""

    codec: str
    width: int
    height: int
    pixel_format: str
    frame_rate: Fraction
    rotation: int
    """Degrees that a player turns the pictures by."""
    extradata: bytes

    def __str__(self) -> str:
        digest = hashlib.sha256(self.extradata).hexdigest()[:8]
        return (
            f"{self.codec} {self.width}x{self.height} {self.pixel_format} "
            f"{float(self.frame_rate):.6g} fps, header {digest}"
        )


@dataclass(frozen=True, slots=True)
class Sound:
    """What the sound of two files must have in common to be joined."""

    codec: str
    sample_rate: int
    layout: str
    extradata: bytes


@dataclass(frozen=True, slots=True)
class JoinableFile:
    """A file that was read through and can be joined to others of the same ``header``."""

    path: Path
    header: StreamHeader
    sound: Sound | None
    frame_numbers: tuple[int, ...]
    """Place in the order of display of each packet, in the order of the file."""
    num_bytes: int
    """Of all packets of the video."""

    @property
    def num_frames(self) -> int:
        """The number of its frames."""
        return len(self.frame_numbers)


def read_part(path: str | Path) -> JoinableFile:
    """Read a file through and decode it once, to be sure that joining it loses nothing.

    Args:
        path: a video file.

    Raises:
        VideoError: the file cannot be read whole, or cannot stand in a joined stream; the message
            tells why.
    """
    index = read_packets(path)
    if index.warnings:
        raise VideoError(path, f"is not whole ({index.warnings[0]})")
    _check_order(path, index)
    rotation = _check_frames(path, index)
    with open_container(path) as container:
        stream = main_video_stream(container, path)
        header = _header(path, stream, rotation=rotation)
        sound = _sound(container)
        read_only(container, stream)
        if header.codec == "mpeg4" and any(
            bytes(packet).count(_VOP) > 1 for packet in demux(container, stream) if packet.size
        ):
            raise VideoError(path, "packs two pictures in one packet (packed B-frames)")
    numbers = tuple(index.demuxed.frame_numbers.tolist())
    return JoinableFile(Path(path), header, sound, numbers, index.bytes_total)


def join(parts: Sequence[JoinableFile], out: str | Path) -> bool:
    """Write the parts one after another into one MP4, frame n at n / frame rate.

    Sound is copied where every part has one stream of the same parameters: the packets of each part
    keep their time within the part, those before its first frame and past its last are dropped.
    Equal parts give equal bytes. The file appears under its name only when it is complete.

    Args:
        parts: at least one, all of one ``header``; a part may stand more than once.
        out: a file that ends in .mp4.

    Returns:
        Whether the sound was copied; False too where no part has any.

    Raises:
        UsageError: no parts, another suffix, or parts that cannot be joined.
        VideoError: a part has changed since it was read.
        OSError: the file cannot be written.
    """
    out = Path(out)
    if not parts or out.suffix != ".mp4":
        raise UsageError(f"{out}: give at least one part, and a file that ends in .mp4")
    for part in parts:
        if part.header != parts[0].header:
            raise UsageError(
                f"{part.path} ({part.header}) cannot be joined to {parts[0].path} "
                f"({parts[0].header}); join files of one encoder and one size"
            )
    with_sound = parts[0].sound is not None and len({part.sound for part in parts}) == 1
    try:
        with (
            whole(out) as half,
            av.open(str(half), "w", options={"fflags": "+bitexact"}) as container,
        ):
            writer = _Writer(container, parts, with_sound=with_sound)
            for part in parts:
                writer.add(part)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # no room, no right to write: the caller's to tell
            raise
        raise VideoError(out, f"cannot be joined of these parts: it {describe(error)}") from error
    return with_sound


class _Writer:
    """Counts the frames written so far; the next part starts there."""

    def __init__(
        self, container: OutputContainer, parts: Sequence[JoinableFile], *, with_sound: bool
    ) -> None:
        self._container = container
        self._tick = 1 / parts[0].header.frame_rate
        self._with_sound = with_sound
        self._num_frames = 0
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        # Decoding runs ahead of display by the most that any part needs.
        self._delay = max(
            place - number for part in parts for place, number in enumerate(part.frame_numbers)
        )

    def add(self, part: JoinableFile) -> None:
        """Copy the packets of one part."""
        with open_container(part.path) as container:
            stream = main_video_stream(container, part.path)
            audio = container.streams.audio[0] if self._with_sound else None
            if self._video is None:
                self._video = self._container.add_stream_from_template(stream)
                self._video.time_base = self._tick
                if audio is not None:
                    self._audio = self._container.add_stream_from_template(audio)
            if audio is None:
                read_only(container, stream)
            origin = origin_seconds(container)
            place = 0
            for packet in container.demux():
                if packet.size == 0:
                    continue
                if packet.stream_index == stream.index:
                    if place < part.num_frames:
                        self._copy_frame(packet, part.frame_numbers[place], place)
                    place += 1
                elif audio is not None and packet.stream_index == audio.index:
                    self._copy_sound(packet, part, origin)
        if place != part.num_frames:
            raise VideoError(part.path, "has changed while it was used: start again")
        self._num_frames += part.num_frames

    def _copy_frame(self, packet: "av.Packet[Any]", number: int, place: int) -> None:
        packet.stream = self._video  # both streams were added with the first part
        packet.time_base = self._tick
        packet.pts = self._num_frames + number
        packet.dts = self._num_frames + place - self._delay
        packet.duration = 1
        self._container.mux(packet)

    def _copy_sound(self, packet: "av.Packet[Any]", part: JoinableFile, origin: float) -> None:
        """Copy a packet that starts within its part, at the same place of the joined file."""
        if packet.pts is None or part.sound is None:
            return
        start = packet.pts * packet.time_base - Fraction(origin).limit_denominator(1_000_000)
        length = (packet.duration or 0) * packet.time_base
        if not 0 <= start < part.num_frames * self._tick - length / 2:
            return
        sample = round((self._num_frames * self._tick + start) * part.sound.sample_rate)
        packet.stream, packet.time_base = self._audio, Fraction(1, part.sound.sample_rate)
        packet.pts = packet.dts = sample
        packet.duration = round(length * part.sound.sample_rate)
        self._container.mux(packet)


def _header(path: str | Path, stream: VideoStream, *, rotation: int) -> StreamHeader:
    context = stream.codec_context
    codec = context.codec.canonical_name
    if codec not in CODECS:
        raise VideoError(path, f"is {codec}, which is not joined (only {', '.join(CODECS)})")
    rate = stream.guessed_rate or stream.average_rate
    if rate is None or rate <= 0:
        raise VideoError(path, "does not tell its frame rate")
    return StreamHeader(
        codec,
        context.width,
        context.height,
        context.pix_fmt or "unknown",
        Fraction(rate),
        rotation,
        bytes(context.extradata or b""),
    )


def _sound(container: InputContainer) -> Sound | None:
    """Return what the sound is; None where there is none or more than one."""
    if len(container.streams.audio) != 1:
        return None
    context = container.streams.audio[0].codec_context
    return Sound(
        context.codec.canonical_name,
        context.sample_rate,
        context.layout.name,
        bytes(context.extradata or b""),
    )


def _check_order(path: str | Path, index: PacketIndex) -> None:
    """Refuse a file whose frames cannot be put behind those of another one."""
    demuxed = index.demuxed
    if not index.timed:
        raise VideoError(path, "does not tell the order of its frames (B-frames without times)")
    if (demuxed.frame_numbers < 0).any():
        raise VideoError(path, "hides some of its frames (an edit list): they would be shown")
    if not demuxed.is_key[0] or demuxed.frame_numbers[0] != 0:
        raise VideoError(path, "does not start with a key frame that is shown first")


def _check_frames(path: str | Path, index: PacketIndex) -> int:
    """Decode every frame once: what is damaged here would be damaged in every joined file.

    Returns:
        The rotation of the pictures in degrees.
    """
    damage = Damage()
    rotation = whole = 0
    for _, frame in walk(path, index, [(0, len(index))], damage=damage):
        rotation = frame.rotation
        whole += not frame.is_corrupt
    if damage.packets_refused or whole != len(index):
        raise VideoError(path, f"is damaged: {whole} of {len(index)} frames decode cleanly")
    return rotation
