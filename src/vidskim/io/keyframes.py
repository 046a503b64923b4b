"""The key frame of each clip: the one picture of a group that stands on its own.

Only key frames are decoded, each once: about a fifteenth of the cost of decoding a file whose key
frames are ten seconds apart, half of it where they are half a second apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError, VideoError
from vidskim.io.frames import RgbConverter
from vidskim.io.reading import Reading
from vidskim.io.source import PacketSource
from vidskim.io.walk import ReadStats, configure
from vidskim.types import Clip


@dataclass(frozen=True, slots=True)
class ClipKeyFrames:
    """The key frames of N clips, in the order of the clips."""

    images: Tensor
    """uint8 RGB ``[N, 3, H, W]``, as displayed."""
    frame_number: Tensor
    """int64 ``[N]``, in presentation order."""

    def __repr__(self) -> str:
        return f"KeyFrames(images={tuple(self.images.shape)})"


def key_frames(reading: Reading, clips: Sequence[Clip]) -> ClipKeyFrames:
    """Return one key frame per clip: the first inside it, else the last before it.

    Clips that share a key frame hold equal copies; `iter_key_frames` does without them. A key frame
    that cannot be decoded is replaced by that of the nearest clip, and a warning says so.

    Args:
        reading: a video file.
        clips: any clips of it, at least one.

    Returns:
        `ClipKeyFrames` in the order of ``clips``.

    Raises:
        UsageError: no clips.
        VideoError: the file cannot be opened, or none of its key frames can be decoded.
    """
    if not clips:
        raise UsageError("key_frames() needs at least one clip, got none: pass clips of the video")
    images: Tensor | None = None
    numbers = torch.zeros(len(clips), dtype=torch.int64)
    for positions, number, image in iter_key_frames(reading, clips):
        if images is None:
            images = torch.empty(len(clips), *image.shape, dtype=torch.uint8)
        images[positions] = image
        numbers[positions] = number
    assert images is not None  # there are clips, so there was a picture or an error
    return ClipKeyFrames(images=images, frame_number=numbers)


def iter_key_frames(
    reading: Reading, clips: Sequence[Clip]
) -> Iterator[tuple[list[int], int, Tensor]]:
    """Yield each key frame once, with the clips it stands for, in time order.

    Two pictures are held at a time: one that cannot be decoded is replaced by the one before or
    after it, whichever has a clip that starts nearer, and a warning says so.

    Args:
        reading: a video file.
        clips: any clips of it.

    Yields:
        Positions of clips, ascending, the frame number, and uint8 RGB ``[3, H, W]``. Every clip is
        named once.

    Raises:
        VideoError: the file cannot be opened, or none of its key frames can be decoded.
    """
    if not clips:
        return
    held: _Shared | None = None
    waiting: list[int] = []
    num_lost = 0
    for shared in _iter_shared(reading, clips):
        if shared.image is None:
            waiting += shared.positions
            num_lost += len(shared.positions)
            continue
        for position in waiting:
            nearer = shared
            if held is not None and _gap(clips, position, held) <= _gap(clips, position, shared):
                nearer = held
            nearer.lost.append(position)
        waiting = []
        if held is not None:
            yield held.finish()
        held = shared
    if held is None:
        raise VideoError(reading.path, "not one of its key frames can be decoded: it is damaged")
    held.lost.extend(waiting)
    yield held.finish()
    _warn_lost(num_lost, reading)


def choose_key_frames(is_key: NDArray[np.bool_], clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Return for each clip the first key frame in its span, else the last before, else the first.

    Args:
        is_key: bool ``[F]``.
        clips: any clips of the video.

    Returns:
        int64 ``[N]`` frame numbers; frame 0 stands in where there is no key frame at all.
    """
    keys = np.flatnonzero(is_key)
    if len(keys) == 0:
        keys = np.zeros(1, np.int64)
    starts = np.array([clip.start_frame for clip in clips], np.int64)
    stops = np.array([clip.stop_frame for clip in clips], np.int64)
    place = np.searchsorted(keys, starts)
    following = keys[np.minimum(place, len(keys) - 1)]
    inside = (following >= starts) & (following < stops)
    return np.where(inside, following, keys[np.maximum(place - 1, 0)])


@dataclass(slots=True)
class _Shared:
    """A key frame and the clips it stands for."""

    positions: list[int]
    number: int
    image: Tensor | None
    lost: list[int] = field(default_factory=list)
    """Positions of clips whose own key frame cannot be decoded."""

    def finish(self) -> tuple[list[int], int, Tensor]:
        """Return it as `iter_key_frames` yields it."""
        assert self.image is not None
        return sorted(self.positions + self.lost), self.number, self.image


def _gap(clips: Sequence[Clip], position: int, shared: _Shared) -> int:
    """Return the frames between the start of a clip and that of the nearest of others."""
    start = clips[position].start_frame
    return min(abs(clips[other].start_frame - start) for other in shared.positions)


def _iter_shared(reading: Reading, clips: Sequence[Clip]) -> Iterator[_Shared]:
    """Yield the key frames of clips in time order, decoded or not."""
    index = reading.packets
    numbers = choose_key_frames(index.is_key, clips).tolist()
    ordered = sorted(range(len(clips)), key=lambda position: numbers[position])
    convert = RgbConverter()
    nothing = np.zeros(len(index.demuxed.is_key), np.bool_)
    with PacketSource(reading.path, index.demuxed) as source:
        for number, sharing in groupby(ordered, key=lambda position: numbers[position]):
            packet_number = int(index.decode_order[number])
            image = _decode_one(source, packet_number, convert, skip=nothing, stats=reading.stats)
            yield _Shared(list(sharing), number, image)


def _decode_one(
    source: PacketSource,
    packet_number: int,
    convert: RgbConverter,
    *,
    skip: NDArray[np.bool_],
    stats: ReadStats,
) -> Tensor | None:
    """Decode one packet by itself; None if nothing comes out."""
    source.go_to(packet_number)
    context = source.codec_context
    if context.is_open:
        context.flush_buffers()
    else:
        configure(context)
    frames = []
    try:
        for packet in source.read_to(packet_number, skip=skip):
            frames += context.decode(packet)
        frames += context.decode(None)
    except av.error.FFmpegError:
        pass
    stats.bytes_read += source.take_bytes_read()
    stats.frames_decoded += len(frames)
    if not frames:
        return None
    return torch.from_numpy(convert(frames[0]).transpose(2, 0, 1).copy())


def _warn_lost(num_lost: int, reading: Reading) -> None:
    """Say, once, how many key frames could not be decoded."""
    if num_lost:
        reading.warn([f"damaged: could not decode the key frames of {num_lost} of the clips"])
