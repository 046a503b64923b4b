"""RGB frames of clips, as a viewer sees them: turned upright, in the file's own colors.

All clips are served by one pass over the file. A frame is converted once and copied into every clip
that holds it; memory holds the clips being filled and nothing else, whatever the video's length.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError, VideoError
from vidskim.io.probe import rotation_degrees
from vidskim.io.reading import Reading
from vidskim.io.walk import Damage, walk
from vidskim.types import Clip


class RgbConverter:
    """Decoded frames to RGB pictures of one size: that of the first frame.

    One conversion context serves all frames, at half the cost of one per frame.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return uint8 ``[H, W, 3]``, turned upright: a view of the converted frame."""
        if self._size is None:
            self._size = frame.width, frame.height
        width, height = self._size
        plane = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", threads=1
        ).planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        image = rows[:, : width * 3].reshape(height, width, 3)
        return np.rot90(image, k=-rotation_degrees(frame) // 90)


def read_clips(reading: Reading, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Tensor]]:
    """Read the frames of clips, in time order.

    A frame that cannot be decoded is replaced by the nearest one of its clip; a clip without a
    single one is left out. A warning tells of either.

    Args:
        reading: the file.
        clips: any clips of it, overlapping or not, in any order.

    Yields:
        The clip and its frames, uint8 RGB ``[T, 3, H, W]``, stored as ``[T, H, W, 3]``.

    Raises:
        VideoError: the file cannot be opened.
    """
    waiting = deque(sorted(clips, key=lambda clip: (clip.start_frame, clip.index)))
    filling: deque[Filling] = deque()
    damage = Damage()
    unread = 0
    convert = RgbConverter()
    wanted = wanted_ranges(clips)
    for number, frame in walk(
        reading.path, reading.packets, wanted, stats=reading.stats, damage=damage
    ):
        while waiting and waiting[0].start_frame <= number:
            filling.append(Filling(waiting.popleft()))
        image = convert(frame)
        for item in filling:
            item.put(number, image)
        while filling and filling[0].last_frame <= number:
            clip, frames = filling.popleft().finish()
            if frames is not None:
                yield clip, frames
            unread += frames is None
            del frames  # the reader of the clip may be done with it while the next one arrives
    for clip, frames in [item.finish() for item in filling]:
        if frames is not None:
            yield clip, frames
        unread += frames is None
    report_damage(
        reading.warnings,
        num_wanted=sum(stop - start for start, stop in wanted),
        num_missing=len(damage.numbers_missing),
        num_corrupt=damage.frames_corrupt,
        num_unread=unread + len(waiting),
    )


def stack_clips(reading: Reading, clips: Sequence[Clip]) -> Tensor:
    """Return the frames of clips, uint8 ``[N, T, 3, H, W]``, in the order given.

    Args:
        reading: the file.
        clips: any clips of it, of one length.

    Raises:
        UsageError: no clips, or clips of unequal length.
        VideoError: not one frame of a clip can be decoded.
    """
    lengths = {clip.num_frames for clip in clips}
    if len(lengths) != 1:
        raise UsageError(
            f"frames() stacks clips of one length, got {sorted(lengths) or 'none'}: use "
            "iter_frames() for others"
        )
    places: dict[Clip, list[int]] = {}
    for place, clip in enumerate(clips):
        places.setdefault(clip, []).append(place)
    stacked: Tensor | None = None
    for clip, frames in read_clips(reading, list(places)):
        if stacked is None:
            shape = (len(clips), *frames.permute(0, 2, 3, 1).shape)
            stacked = torch.empty(shape, dtype=torch.uint8).permute(0, 1, 4, 2, 3)
        for place in places.pop(clip):
            stacked[place] = frames
    if stacked is None or places:
        lost = min(places, key=lambda clip: clip.start_frame)
        raise VideoError(
            reading.path,
            f"not one frame of clip {lost.index} (from {lost.start_seconds:.2f} s) can be "
            "decoded: the file is damaged there, leave this clip out",
        )
    return stacked


def wanted_ranges(clips: Sequence[Clip]) -> list[tuple[int, int]]:
    """Return the frames that clips hold as sorted half-open ranges that do not touch."""
    if not clips:
        return []
    numbers = np.unique([number for clip in clips for number in clip.frame_indices])
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    starts, stops = numbers[np.r_[0, breaks + 1]], numbers[np.r_[breaks, -1]] + 1
    return list(zip(starts.tolist(), stops.tolist()))


class Filling:
    """A clip whose frames are arriving."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.last_frame = clip.frame_indices[-1]
        self._images: NDArray[np.uint8] | None = None
        self._arrived = np.zeros(clip.num_frames, np.bool_)

    def holds(self, number: int) -> bool:
        """Whether a frame is one of the clip's."""
        return bool(self._places(number))

    def put(self, number: int, image: NDArray[np.uint8]) -> None:
        """Copy a frame ``[H, W, 3]`` to its place or places, if the clip holds it."""
        places = self._places(number)
        if not places:
            return
        if self._images is None:
            self._images = np.empty((self.clip.num_frames, *image.shape), np.uint8)
        self._images[places.start : places.stop] = image
        self._arrived[places.start : places.stop] = True

    def _places(self, number: int) -> range:
        """Return the places of a frame in the clip, none past the end of the video."""
        numbers, num_valid = self.clip.frame_indices, self.clip.num_valid
        first = bisect_left(numbers, number, hi=num_valid)
        return range(first, bisect_right(numbers, number, lo=first, hi=num_valid))

    def finish(self) -> tuple[Clip, Tensor | None]:
        """Return the frames ``[T, 3, H, W]``, holes filled; None if not one has arrived."""
        if self._images is None:
            return self.clip, None
        present = np.flatnonzero(self._arrived)
        for step in np.flatnonzero(~self._arrived):
            nearest = present[np.abs(present - step).argmin()]
            self._images[step] = self._images[nearest]
        return self.clip, torch.from_numpy(self._images).permute(0, 3, 1, 2)


def report_damage(
    warnings: list[str], *, num_wanted: int, num_missing: int, num_corrupt: int, num_unread: int
) -> None:
    """Say what could not be read, each thing once: frames of ``num_wanted``, and whole clips."""
    texts = []
    if num_missing:
        texts.append(f"{num_missing} of {num_wanted} frames could not be decoded")
    if num_corrupt:
        texts.append(f"{num_corrupt} of {num_wanted} frames are damaged")
    if num_unread:
        texts.append(f"{num_unread} clips are left out: not one of their frames could be decoded")
    warnings.extend(text for text in texts if text not in warnings)
