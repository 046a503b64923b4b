"""Packets from any place of a file, each known by its number in the index.

Where a demuxer lands after a seek is a matter of format and luck. So every packet is recognized
after a jump, a landing that is too late is repaired from further ahead, and a file that cannot be
searched is read from its start.
"""

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from vidskim.io.container import main_video_stream, open_container, read_only
from vidskim.io.packets import UNKNOWN, Demuxed, VideoPacket, demux

MAX_SKIPPED_PACKETS = 128
"""A gap up to this many packets is read over; a longer one is jumped."""


class _Numbered(NamedTuple):
    """A packet and its number in the index."""

    number: int
    packet: VideoPacket


class PacketSource:
    """The packets of a video stream, from a chosen one on.

    Args:
        path: the file.
        demuxed: its packets, as indexed.

    Raises:
        VideoError: the file cannot be opened.
    """

    def __init__(self, path: str | Path, demuxed: Demuxed) -> None:
        self._path = path
        self._demuxed = demuxed
        self._names = demuxed.positions if demuxed.identity == "position" else demuxed.pts
        self._sorter = np.argsort(self._names, kind="stable") if demuxed.identity else None
        self._bytes_read = 0
        self._packets: Generator[VideoPacket, None, None]
        self._ahead: _Numbered | None
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def codec_context(self) -> VideoCodecContext:
        """The stream's decoder; a fresh one if the file had to be opened again."""
        return self._stream.codec_context

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick of presentation times."""
        return self._stream.time_base or Fraction(1, 1000)

    def take_bytes_read(self) -> int:
        """Return the bytes of the packets read since the last call."""
        taken, self._bytes_read = self._bytes_read, 0
        return taken

    def go_to(self, number: int) -> None:
        """Make packet ``number`` the next one, or the first after it that can be read."""
        ahead = self._look_ahead()
        if ahead is None or not 0 <= number - ahead.number <= MAX_SKIPPED_PACKETS:
            self._jump(number)
        while (ahead := self._look_ahead()) is not None and ahead.number < number:
            self._ahead = None

    def read_to(self, last: int, *, skip: NDArray[np.bool_]) -> Iterator[VideoPacket]:
        """Yield the packets from the current one up to number ``last``, but those in ``skip``."""
        while (ahead := self._look_ahead()) is not None and ahead.number <= last:
            self._ahead = None
            if not skip[ahead.number]:
                yield ahead.packet

    def _jump(self, number: int) -> None:
        """Seek so that packet ``number`` still lies ahead; else start the file again."""
        if self._demuxed.identity is not None:
            keys = np.flatnonzero(self._demuxed.is_key[: number + 1])[::-1][:2].tolist()
            for target in keys:
                if self._seek(target):
                    ahead = self._look_ahead()
                    if ahead is not None and ahead.number <= number:
                        return
        self._close()
        self._open()

    def _seek(self, number: int) -> bool:
        """Ask the demuxer for the place of one packet; return whether it moved at all."""
        pts, dts = int(self._demuxed.pts[number]), int(self._demuxed.dts[number])
        # Matroska's index holds presentation times, the others' decoding times
        times = (pts, dts) if self._container.format.name.startswith("matroska") else (dts, pts)
        time = next((time for time in times if time != UNKNOWN), None)
        if time is None:
            return False
        self._packets.close()
        self._ahead = None
        try:
            self._container.seek(time, stream=self._stream)
        except (av.error.FFmpegError, OSError):
            return False
        finally:
            self._packets = demux(self._container, self._stream)
            self._expected = number
        return True

    def _look_ahead(self) -> _Numbered | None:
        """Return the next packet of the index without taking it; None at the end of the file."""
        while self._ahead is None:
            packet = next(self._packets, None)
            if packet is None:
                return None
            self._bytes_read += packet.size
            number = self._recognize(packet) if packet.size else None
            if number is not None:
                self._ahead = _Numbered(number, packet)
                self._expected = number + 1
        return self._ahead

    def _recognize(self, packet: VideoPacket) -> int | None:
        """Find a packet's number: the expected one, else by its name; None if not in the index."""
        expected = self._expected
        if self._sorter is None:
            return expected if expected < len(self._names) else None
        name = packet.pos if self._demuxed.identity == "position" else packet.pts
        if name is None:
            return None
        if expected < len(self._names) and self._names[expected] == name:
            return expected
        place = int(np.searchsorted(self._names, name, sorter=self._sorter))
        if place == len(self._names):
            return None
        number = int(self._sorter[place])
        return number if self._names[number] == name else None

    def _open(self) -> None:
        """Open the file at its first packet."""
        self._container = open_container(self._path)
        self._stream = main_video_stream(self._container, self._path)
        read_only(self._container, self._stream)
        self._packets = demux(self._container, self._stream)
        self._ahead = None
        self._expected = 0

    def _close(self) -> None:
        self._packets.close()
        self._container.close()
