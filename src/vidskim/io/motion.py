"""Motion maps of clips from the vectors the codec already computed (SCSampler, section 3.2).

One single-threaded decode to YUV, nothing else: no RGB, no optical flow. Frame threading corrupts
H.264 vectors on streams with B-frames, so many videos are read in parallel, never one.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vidskim.io.gather import gather, join_parts, spans
from vidskim.io.reading import Reading
from vidskim.io.records import exports_motion, iter_records, predicted_kinds
from vidskim.io.references import References, find_references
from vidskim.io.vectors import CELL, motion_maps, turn_vectors
from vidskim.io.walk import Damage
from vidskim.types import Clip, VideoInfo

_BATCH_RECORDS, _BATCH_FRAMES = 8192, 32


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion maps of P predicted frames, packed over clips, in time order within each clip.

    I-frames have no map. A predicted frame coded wholly without vectors has one, with ``intra`` 1
    everywhere: nothing is known of its motion, which is not the same as no motion.
    """

    vectors: Tensor
    """float32 ``[P, 2, h, w]``: displacement of content (dx, dy) in source pixels per frame, +x
    right, +y down; h = ceil(H / 16), w = ceil(W / 16)."""
    clip_index: Tensor
    """int64 ``[P]``: position of the frame's clip among the clips asked for."""
    frame_number: Tensor
    """int64 ``[P]``, in presentation order."""
    intra: Tensor
    """float32 ``[P, h, w]``: share of each cell's area without any vector."""

    def __repr__(self) -> str:
        return f"Motion(vectors={tuple(self.vectors.shape)}, intra={tuple(self.intra.shape)})"


class FrameMap(NamedTuple):
    """One frame's vectors ``[2, h, w]`` and intra share ``[h, w]``, as displayed."""

    vectors: np.ndarray
    intra: np.ndarray


def motion(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    b_frames: bool = True,
) -> Motion:
    """Return the motion maps of all clips, those of the first clip given first.

    Args:
        reading: a video file.
        clips: any clips of it; they may overlap.
        b_frames: False leaves B-frames out of clips that have P-frames.

    Returns:
        `Motion` whose ``clip_index`` counts in the order of ``clips``.

    Raises:
        VideoError: the file cannot be opened.
    """
    nothing = pack_motion([], [], position=0, grid=cells(reading.info.width, reading.info.height))
    return join_parts(nothing, iter_motion(reading, clips, b_frames=b_frames))


def iter_motion(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    b_frames: bool = True,
) -> Iterator[tuple[Clip, Motion]]:
    """Yield each clip with the maps of all predicted frames it spans, in time order, in one pass.

    Memory holds the maps of the clips being read and no frame. The papers take every P-frame of a
    clip; B-frames count as predicted frames here, their future vectors turned about. Without them
    B-frames that nothing refers to are not decoded: half the time and a quarter of the maps where
    an encoder makes three B-frames for each P-frame, as x264 does. A codec whose decoder exports
    no vectors (HEVC, VP9, AV1, ...) gives empty maps and one warning, and nothing is decoded.

    Args:
        reading: a video file.
        clips: any clips of it; they may overlap.
        b_frames: False leaves B-frames out of clips that have P-frames.

    Yields:
        The clip and its `Motion`.

    Raises:
        VideoError: the file cannot be opened.
    """
    info = reading.info
    grid = cells(info.width, info.height)
    references = find_references(reading.packets)
    wanted = plan_motion(clips, references=references, codec=info.codec, b_frames=b_frames)
    arrivals: Iterator[tuple[int, FrameMap]] = iter(())
    damage = Damage()
    if exports_motion(info.codec, warnings=reading.warnings):
        arrivals = _maps(reading, wanted, references=references, damage=damage)
    for gathered in gather(clips, arrivals, wanted=wanted):
        motion = pack_motion(
            gathered.items, gathered.numbers, position=gathered.position, grid=grid
        )
        yield gathered.clip, motion
    warn_missing(damage, reading)


def plan_motion(
    clips: Sequence[Clip], *, references: References, codec: str, b_frames: bool
) -> list[Collection[int]]:
    """Return the numbers of the frames of each clip that are looked at for motion.

    Args:
        clips: any clips.
        references: of all frames of the video.
        codec: what it is coded in.
        b_frames: True takes whatever a clip spans, False its P-frames; B-frames if it has none.
    """
    wanted: list[Collection[int]] = []
    kinds = predicted_kinds(references, codec=codec)
    for span in spans(clips, total=len(references.past)):
        found = (span.start + np.flatnonzero(kind[span.start : span.stop]) for kind in kinds)
        numbers = next((part for part in found if len(part)), None)
        wanted.append(span if b_frames or numbers is None else frozenset(numbers.tolist()))
    return wanted


def runs(wanted: Iterable[Collection[int]]) -> list[range]:
    """Return the frames that clips want, as ranges."""
    ranges: list[range] = []
    for numbers in wanted:
        if isinstance(numbers, range):
            ranges.append(numbers)
        else:
            ranges += [range(number, number + 1) for number in sorted(numbers)]
    return ranges


def cells(width: int, height: int) -> tuple[int, int]:
    """Return the cells (h, w) of a map of frames of a size in pixels."""
    return -(-height // CELL), -(-width // CELL)


def warn_missing(damage: Damage, reading: Reading) -> None:
    """Say, once, how many of the frames that were looked at could not be decoded or are damaged."""
    texts = []
    if damage.numbers_missing:
        missing = len(damage.numbers_missing)
        texts.append(f"damaged: could not decode {missing} of the frames to look at")
    if damage.frames_corrupt:
        texts.append(
            f"damaged: {damage.frames_corrupt} of the frames looked at are in part guessed"
        )
    reading.warn(texts)


def _maps(
    reading: Reading, wanted: Sequence[Collection[int]], *, references: References, damage: Damage
) -> Iterator[tuple[int, FrameMap]]:
    """Decode the wanted frames and yield the maps of the predicted ones, as displayed."""
    batch = MapBatch(references, info=reading.info)
    for number, records in iter_records(reading, runs(wanted), damage=damage):
        batch.add(number, records)
        if batch.is_full:
            yield from batch.take()
    yield from batch.take()


class MapBatch:
    """Collects the vectors of frames until there is enough to compute.

    Args:
        references: of all frames of the file.
        info: its size, rotated or not.
    """

    def __init__(self, references: References, *, info: VideoInfo) -> None:
        self._references = references
        self._rotation = info.rotation
        turned = info.rotation % 180 != 0
        self._grid = cells(info.height, info.width) if turned else cells(info.width, info.height)
        self._numbers: list[int] = []
        self._records: list[np.ndarray] = []
        self._num_records = 0

    @property
    def is_full(self) -> bool:
        """Whether to compute now."""
        return self._num_records >= _BATCH_RECORDS or len(self._numbers) >= _BATCH_FRAMES

    def add(self, number: int, records: np.ndarray) -> None:
        """Add the vectors of one frame, `RECORD` ``[R]``."""
        self._numbers.append(number)
        self._records.append(records)
        self._num_records += len(records)

    def take(self) -> Iterator[tuple[int, FrameMap]]:
        """Yield the maps of the frames added, as displayed, and be empty."""
        numbers, records = self._numbers, self._records
        self._numbers, self._records, self._num_records = [], [], 0
        if not numbers:
            return
        vectors, intra = motion_maps(
            records,
            grid=self._grid,
            past=self._references.past[numbers],
            future=self._references.future[numbers],
        )
        for number, vector, share in zip(numbers, vectors, intra):
            turned = turn_vectors(vector, rotation=self._rotation)
            yield number, FrameMap(turned, np.rot90(share, k=-(self._rotation // 90)))


def pack_motion(
    maps: Sequence[FrameMap], numbers: Sequence[int], *, position: int, grid: tuple[int, int]
) -> Motion:
    """Stack the maps of one clip; without any, P is 0 and the grid is kept."""
    height, width = grid
    vectors = np.empty((len(maps), 2, height, width), np.float32)
    intra = np.empty((len(maps), height, width), np.float32)
    for place, item in enumerate(maps):
        vectors[place], intra[place] = item.vectors, item.intra
    return Motion(
        vectors=torch.from_numpy(vectors),
        clip_index=torch.from_numpy(np.full(len(maps), position, np.int64)),
        frame_number=torch.from_numpy(np.array(numbers, np.int64)),
        intra=torch.from_numpy(intra),
    )
