"""Motion maps of clips from the vectors the codec already computed (SCSampler, section 3.2).

One single-threaded decode to YUV, nothing else: no RGB, no optical flow. Frame threading corrupts
H.264 vectors on streams with B-frames, so many videos are read in parallel, never one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame
from torch import Tensor

from vidskim.io.gather import gather, spans
from vidskim.io.packets import PacketIndex
from vidskim.io.probe import probe
from vidskim.io.references import find_references
from vidskim.io.vectors import (
    CELL,
    RECORD,
    motion_maps,
    turn_vectors,
)
from vidskim.io.walk import Damage, ReadStats, walk
from vidskim.types import Clip, VideoInfo

MOTION_CODECS = frozenset(
    {"h264", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv1", "msmpeg4v2", "msmpeg4v3"}
    | {"wmv1", "wmv2"}
)
"""Codecs whose FFmpeg decoder exports motion vectors."""

WITHOUT_B_VECTORS = frozenset({"mpeg4"})
"""Codecs whose decoder exports nothing but zeros for B-frames: they get no map."""

DELAYED = frozenset({"mpeg4", "mpeg1video", "mpeg2video"})
"""Codecs whose decoder adds the vectors of a P-frame only when the next P- or I-frame arrives."""

_BATCH_RECORDS, _BATCH_FRAMES = 8192, 32
_INTRA = frozenset({PictureType.I, PictureType.SI, PictureType.BI})


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


class _Map(NamedTuple):
    """One frame's vectors ``[2, h, w]`` and intra share ``[h, w]``, as displayed."""

    vectors: np.ndarray
    intra: np.ndarray


def motion(
    path: str | Path,
    index: PacketIndex,
    clips: Sequence[Clip],
    *,
    info: VideoInfo | None = None,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> Motion:
    """Return the motion maps of all clips, those of the first clip given first.

    Args:
        path: a video file.
        index: its packet index.
        clips: any clips of it; they may overlap.
        info: what `vidskim.io.probe` says of the file, if known; saves opening it once more.
        stats: what is read is added here.
        warnings: what went wrong is added here, once.

    Returns:
        `Motion` whose ``clip_index`` counts in the order of ``clips``.

    Raises:
        VideoError: the file cannot be opened.
    """
    info = info or probe(path, index, stats=stats)
    arriving = iter_motion(path, index, clips, info=info, stats=stats, warnings=warnings)
    parts = [part for _, part in arriving]
    if not parts:
        return _pack([], [], position=0, grid=cells(info.width, info.height))
    parts.sort(key=lambda part: int(part.clip_index[0]) if len(part.clip_index) else -1)
    return Motion(
        vectors=torch.cat([part.vectors for part in parts]),
        clip_index=torch.cat([part.clip_index for part in parts]),
        frame_number=torch.cat([part.frame_number for part in parts]),
        intra=torch.cat([part.intra for part in parts]),
    )


def iter_motion(
    path: str | Path,
    index: PacketIndex,
    clips: Sequence[Clip],
    *,
    info: VideoInfo | None = None,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> Iterator[tuple[Clip, Motion]]:
    """Yield each clip with the maps of all predicted frames it spans, in time order, in one pass.

    Memory holds the maps of the clips being read and no frame. The papers take every P-frame of a
    clip; B-frames count as predicted frames here, their future vectors turned about. A codec whose
    decoder exports no vectors (HEVC, VP9, AV1, ...) gives empty maps and one warning, and nothing
    is decoded.

    Args:
        path: a video file.
        index: its packet index.
        clips: any clips of it; they may overlap.
        info: what `vidskim.io.probe` says of the file, if known; saves opening it once more.
        stats: what is read is added here.
        warnings: what went wrong is added here, once.

    Yields:
        The clip and its `Motion`.

    Raises:
        VideoError: the file cannot be opened.
    """
    info = info or probe(path, index, stats=stats)
    grid = cells(info.width, info.height)
    wanted = spans(clips, total=len(index))
    arrivals: Iterator[tuple[int, _Map]] = iter(())
    damage = Damage()
    if exports_motion(info.codec, warnings=warnings):
        arrivals = _maps(path, index, wanted, info=info, stats=stats, damage=damage)
    for gathered in gather(clips, arrivals, wanted=wanted):
        motion = _pack(gathered.items, gathered.numbers, position=gathered.position, grid=grid)
        yield gathered.clip, motion
    warn_missing(damage, warnings=warnings)


def cells(width: int, height: int) -> tuple[int, int]:
    """Return the cells (h, w) of a map of frames of a size in pixels."""
    return -(-height // CELL), -(-width // CELL)


def exports_motion(codec: str, *, warnings: list[str] | None) -> bool:
    """Say whether a codec's decoder exports vectors; if not, warn once."""
    if codec in MOTION_CODECS:
        return True
    text = (
        f"codec {codec} exports no motion vectors: key frames, packet sizes and sound are "
        f"left to look at (H.264 and MPEG-4 have vectors)"
    )
    if warnings is not None and text not in warnings:
        warnings.append(text)
    return False


def iter_records(
    path: str | Path,
    index: PacketIndex,
    wanted: Iterable[range],
    *,
    codec: str,
    stats: ReadStats | None = None,
    damage: Damage | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the vectors of predicted frames, those of any choice equal to those of a whole read.

    Args:
        path: a video file.
        index: its packet index.
        wanted: frame numbers.
        codec: one of `MOTION_CODECS`.
        stats: what is read is added here.
        damage: what could not be decoded is added here.

    Yields:
        Frame number, ascending, and structured `RECORD` ``[R]``, empty where all is coded without
        vectors. Left out: I-frames, B-frames of `WITHOUT_B_VECTORS`, and the last frame of a file
        where the decoder never delivers its vectors (`DELAYED`).
    """
    ranges = [(numbers.start, numbers.stop) for numbers in wanted]
    asked = np.zeros(len(index), bool)
    for start, stop in ranges:
        asked[start:stop] = True
    delivery = Delivery(index, codec=codec)
    frames = walk(
        path,
        index,
        delivery.extend(ranges),
        stats=stats,
        damage=damage,
        motion_vectors=True,
        exact_pixels=False,
    )
    for number, frame in frames:
        if asked[number]:
            records = delivery.records(number, frame)
            if records is not None:
                yield number, records


class Delivery:
    """Which frames of a file come with their vectors, and what must be decoded to get them.

    Args:
        index: the packet index of a file.
        codec: one of `MOTION_CODECS`.
    """

    def __init__(self, index: PacketIndex, *, codec: str) -> None:
        self._without_b = codec in WITHOUT_B_VECTORS
        self._num_frames = len(index)
        self._references: np.ndarray | None = None
        if codec in DELAYED:
            self._references = np.flatnonzero(~find_references(index).is_b)

    def extend(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return ranges of frames that reach on to the next reference where vectors come late."""
        if self._references is None:
            return list(ranges)
        following = np.append(self._references, self._num_frames)
        place = self._references.searchsorted
        return [(start, int(following[place(stop)]) + 1) for start, stop in ranges]

    def records(self, number: int, frame: VideoFrame) -> np.ndarray | None:
        """Return the vectors of a decoded frame; None if it has none to tell, as `iter_records`."""
        kind = frame.pict_type
        if kind in _INTRA or (self._without_b and kind == PictureType.B):
            return None
        records = frame_records(frame)
        if self._references is not None and len(records) == 0:
            never_comes = number == int(self._references.max(initial=0))
            return None if never_comes else records
        return records


def frame_records(frame: VideoFrame) -> np.ndarray:
    """Return a copy of a decoded frame's motion vectors, `RECORD` ``[R]``, empty if it has none.

    ``frame.side_data`` would tie the frame into a reference cycle that keeps its pixels alive until
    the garbage collector comes by, 830 MB in a minute of 720p. A container of our own holds the
    frame but is not held by it.
    """
    for found in SideDataContainer(frame):  # type: ignore[call-arg]
        if isinstance(found, MotionVectors):  # half the time of a look-up by name
            return np.frombuffer(bytes(found), RECORD)
    return np.empty(0, RECORD)


def warn_missing(damage: Damage, *, warnings: list[str] | None) -> None:
    """Say, once, how many of the frames that were looked at could not be decoded."""
    missing = len(damage.numbers_missing)
    if missing and warnings is not None:
        text = f"damaged: could not decode {missing} of the frames to look at"
        if text not in warnings:
            warnings.append(text)


def _maps(
    path: str | Path,
    index: PacketIndex,
    wanted: Sequence[range],
    *,
    info: VideoInfo,
    stats: ReadStats | None,
    damage: Damage,
) -> Iterator[tuple[int, _Map]]:
    """Decode the wanted frames and yield the maps of the predicted ones, as displayed."""
    references = find_references(index)
    turned = info.rotation % 180 != 0
    grid = cells(info.height, info.width) if turned else cells(info.width, info.height)
    arriving = iter_records(path, index, wanted, codec=info.codec, stats=stats, damage=damage)
    for batch in _batches(arriving):
        numbers = [number for number, _ in batch]
        vectors, intra = motion_maps(
            [records for _, records in batch],
            grid=grid,
            past=references.past[numbers],
            future=references.future[numbers],
        )
        for number, vector, share in zip(numbers, vectors, intra):
            yield (
                number,
                _Map(
                    turn_vectors(vector, rotation=info.rotation),
                    np.rot90(share, k=-(info.rotation // 90)) if info.rotation else share,
                ),
            )


def _batches(
    arriving: Iterable[tuple[int, np.ndarray]],
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Group frames until there is enough to compute."""
    batch: list[tuple[int, np.ndarray]] = []
    num_records = 0
    for number, records in arriving:
        batch.append((number, records))
        num_records += len(records)
        if num_records >= _BATCH_RECORDS or len(batch) >= _BATCH_FRAMES:
            yield batch
            batch, num_records = [], 0
    if batch:
        yield batch


def _pack(
    maps: Sequence[_Map], numbers: Sequence[int], *, position: int, grid: tuple[int, int]
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
