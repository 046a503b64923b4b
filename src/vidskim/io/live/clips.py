"""Clips of a video that is still being written or sent, each as soon as its frames are there.

The grid is that of `vidskim.clips.grid.split` and the frames are those of `vidskim.io.frames`, bit
for bit, though neither the length of the video nor any packet to come is known::

    frames    0 . . . . . . . 8 . . . . . . . 16 . .
    T = 8     |---- a ------|---- b ------|          (rest: known only at the end of the stream)
    given                   a             b

Memory holds one clip and what the decoder holds back.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from av.container import InputContainer
from torch import Tensor

from vidskim.clips.grid import check_grid, is_kept, lay_clip
from vidskim.errors import VideoError
from vidskim.io.container import main_video_stream, open_container, open_forward, read_only
from vidskim.io.frames import Filling, RgbConverter, report_damage
from vidskim.io.live.arrival import Arrival
from vidskim.io.live.boxes import is_whole
from vidskim.io.live.forward import Forward
from vidskim.io.live.growing import REMEDY, Feed
from vidskim.io.walk import ReadStats
from vidskim.types import Clip, VideoInfo

ANALYZE_SECONDS = 0.5
"""So much of a stream FFmpeg may look at before the first packet; by default it is 5 s."""


class LiveClips:
    """Clips of a growing file or a pipe, in time order, at constant memory.

    Use it in ``with`` and iterate over it once. Each item is a clip and its frames, uint8 RGB
    ``[T, 3, H, W]``. A frame that cannot be decoded is replaced by the nearest one of its clip, a
    clip without a single one is left out.

    The clip's end is the time of the frame after it. Where that frame's packet has not come yet,
    it is the end of the clip's last frame as the stream tells it, which is the same but for the
    rounding of times.

    Args:
        source: a path, ``"-"`` for standard input, or a binary object; see `Feed`.
        num_frames: T, frames per clip.
        stride: distance between neighboring frames of a clip.
        idle_seconds: a file that has not grown for so long is finished; 0 takes it as it is.
        stats: cost is added here.
        warnings: what could not be read is added here, most of it at the end of the stream.

    Raises:
        UsageError: an impossible grid or source.
        VideoError: here or while iterating: the source cannot be read, holds no video, ends before
            its first frame, or is in a format that cannot be read front to back.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        num_frames: int = 16,
        stride: int = 1,
        idle_seconds: float = 10.0,
        stats: ReadStats | None = None,
        warnings: list[str] | None = None,
    ) -> None:
        check_grid(num_frames=num_frames, stride=stride)
        self.stats = ReadStats() if stats is None else stats
        self.warnings: list[str] = [] if warnings is None else warnings
        self._closing = ExitStack()
        self._feed = Feed(source, idle_seconds=idle_seconds)
        self._closing.callback(self._feed.close)
        self.path = self._feed.path
        self._info: VideoInfo | None = None
        self._grid = _Grid(num_frames=num_frames, stride=stride)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Clip, Tensor]]:
        try:
            yield from self._read()
        finally:
            self.close()

    def __repr__(self) -> str:
        return f"LiveClips({self.path!r})"

    @property
    def info(self) -> VideoInfo:
        """What the video is; its length is what has been given so far.

        Raises:
            VideoError: nothing has been decoded yet.
        """
        if self._info is None:
            raise VideoError(self.path, "nothing of it has been read yet")
        return self._info

    def close(self) -> None:
        """Close what was opened; reading ends."""
        self._closing.close()

    def _read(self) -> Iterator[tuple[Clip, Tensor]]:
        """Open the source, read it to its end and tell what was damaged."""
        container = self._open()
        stream = main_video_stream(container, self.path)
        read_only(container, stream)
        reading = Forward(container, stream, self.path, stats=self.stats)
        for arrival in reading.frames():
            self._feed.check()
            found = self._grid.take(arrival, reading)
            self._info = reading.info()
            if found is not None:
                yield found
            del found  # the reader of the clip may be done with it while the next one arrives
        self._feed.check()
        found = self._grid.finish(reading)
        self.warnings += [text for text in reading.damage() if text not in self.warnings]
        report_damage(
            self.warnings,
            num_wanted=self._grid.num_wanted,
            num_missing=self._grid.num_missing,
            num_corrupt=self._grid.num_corrupt,
            num_unread=self._grid.num_unread,
        )
        if found is not None:
            yield found
        elif self._grid.num_read == 0:
            raise VideoError(self.path, f"none of its clips can be read ({self.warnings[-1]})")

    def _open(self) -> InputContainer:
        """Open the stream, which may mean to wait for it; a whole MP4 is read as any file is."""
        self._feed.begin()
        if self._feed.is_file and is_whole(self.path):
            return self._closing.enter_context(open_container(self.path))
        try:
            if not self._feed.needs_seeking:
                container = open_forward(
                    self._feed, name=self.path, analyze_seconds=ANALYZE_SECONDS
                )
                return self._closing.enter_context(container)
        except VideoError as error:
            self._feed.check()
            if not self._feed.needs_seeking:
                remedy = REMEDY
                if self._feed.waited_seconds:
                    waited = f"{self._feed.waited_seconds:g} s"
                    remedy = f"it has not grown for {waited}: wait longer if it is still written"
                raise VideoError(self.path, f"{error.reason}; {remedy}") from error
        where = "is not written yet: wait until it is finished"
        if not self._feed.is_file:
            where = "is beyond reach in a pipe: give the file"
        raise VideoError(self.path, f"is an MP4 whose index comes last and {where}; {REMEDY}")


class _Grid:
    """The touching clips of a video of unknown length, filled one after another."""

    def __init__(self, *, num_frames: int, stride: int) -> None:
        self.num_wanted = self.num_missing = self.num_corrupt = 0
        """Frames that clips hold, those that were not decoded, those that came out damaged."""
        self.num_read = self.num_unread = 0
        """Clips given, and clips of which no frame was decoded."""
        self._num_frames = num_frames
        self._stride = stride
        self._convert = RgbConverter()
        self._filling: Filling | None = None
        self._index = 0
        self._own = [0, 0, 0]

    def take(self, arrival: Arrival, reading: Forward) -> tuple[Clip, Tensor] | None:
        """Put the next frame into its clip; return the clip if that was its last one."""
        start = self._index * self._num_frames * self._stride
        if self._filling is None and arrival.number == start:
            self._filling = Filling(
                lay_clip(
                    start,
                    num_frames=self._num_frames,
                    stride=self._stride,
                    index=self._index,
                    start_seconds=reading.seconds,
                    end_seconds=reading.seconds,
                )
            )
        filling = self._filling
        if filling is None or not filling.holds(arrival.number):
            return None
        self._own[0] += 1
        if arrival.frame is None:
            self._own[1] += 1
        else:
            self._own[2] += bool(arrival.frame.is_corrupt)
            filling.put(arrival.number, self._convert(arrival.frame))
        if arrival.number < filling.last_frame:
            return None
        return self._give(
            replace(filling.clip, end_seconds=reading.seconds_ahead(self._stride)), filling
        )

    def finish(self, reading: Forward) -> tuple[Clip, Tensor] | None:
        """Return the clip that the end of the stream has cut short, if it is one of the grid."""
        filling = self._filling
        if filling is None:
            return None
        clip = lay_clip(
            filling.clip.start_frame,
            num_frames=self._num_frames,
            stride=self._stride,
            total=reading.num_frames,
            index=filling.clip.index,
            start_seconds=filling.clip.start_seconds,
            end_seconds=reading.end_seconds,
        )
        if not is_kept(clip.num_valid, num_frames=self._num_frames, index=clip.index):
            return None
        return self._give(clip, filling)

    def _give(self, clip: Clip, filling: Filling) -> tuple[Clip, Tensor] | None:
        """Return a clip and its frames, None if there are none, and go on to the next one."""
        self._filling = None
        self._index += 1
        wanted, missing, corrupt = self._own
        self._own = [0, 0, 0]
        self.num_wanted += wanted
        self.num_missing += missing
        self.num_corrupt += corrupt
        _, frames = filling.finish()
        self.num_read += frames is not None
        self.num_unread += frames is None
        return None if frames is None else (clip, frames)
