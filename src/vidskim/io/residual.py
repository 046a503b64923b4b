"""RGB residuals: what the motion of the codec does not explain (SCSampler, section 3.2).

FFmpeg exports no residuals, so they are computed the way the codec does, from decoded frames::

    residual = frame - prediction,   prediction[y, x] = reference[y + offset_y, x + offset_x]

with offsets rounded to whole pixels and held inside the picture. So prediction + residual is the
decoded frame exactly; against the coded residual it lacks the sub-pixel filter, the second
prediction of B-frames and the intra prediction of blocks without a vector, whose offset is zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.io.compressed import warn_missing
from vidskim.io.frames import RgbConverter, rotation_degrees
from vidskim.io.gather import gather, spans
from vidskim.io.packets import PacketIndex
from vidskim.io.probe import probe
from vidskim.io.records import WITHOUT_B_VECTORS, Delivery, exports_motion
from vidskim.io.references import References, find_references
from vidskim.io.vectors import BLOCK, block_offsets
from vidskim.io.walk import Damage, ReadStats, walk
from vidskim.types import Clip, VideoInfo


@dataclass(frozen=True, slots=True)
class Residual:
    """Residuals of P predicted frames, packed over clips, in time order within each clip."""

    values: Tensor
    """int16 ``[P, 3, H, W]`` RGB in [-255, 255], or ``[P, 1, H // 4, W // 4]`` luma."""
    clip_index: Tensor
    """int64 ``[P]``: position of the frame's clip among the clips asked for."""
    frame_number: Tensor
    """int64 ``[P]``, in presentation order."""
    reference_number: Tensor
    """int64 ``[P]``: the frame it is predicted from here."""

    def __repr__(self) -> str:
        return f"Residual(values={tuple(self.values.shape)})"


@dataclass(frozen=True, slots=True)
class _Target:
    """One finished residual ``[H, W, C]``, as displayed, and its reference."""

    values: NDArray[np.int16]
    reference_number: int


def residuals(
    path: str | Path,
    index: PacketIndex,
    clips: Sequence[Clip],
    *,
    per_clip: int = 1,
    quarter_luma: bool = False,
    info: VideoInfo | None = None,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> Residual:
    """Return the residuals of all clips, those of the first clip given first.

    All of them are in memory at once; `iter_residuals` holds one clip's at a time. Arguments and
    errors are those of `iter_residuals`.
    """
    info = info or probe(path, index, stats=stats)
    parts = [
        part
        for _, part in iter_residuals(
            path,
            index,
            clips,
            per_clip=per_clip,
            quarter_luma=quarter_luma,
            info=info,
            stats=stats,
            warnings=warnings,
        )
    ]
    if not parts:
        return _pack([], [], position=0, shape=_shape(info, quarter_luma=quarter_luma))
    parts.sort(key=lambda part: int(part.clip_index[0]) if len(part.clip_index) else -1)
    return Residual(
        values=torch.cat([part.values for part in parts]),
        clip_index=torch.cat([part.clip_index for part in parts]),
        frame_number=torch.cat([part.frame_number for part in parts]),
        reference_number=torch.cat([part.reference_number for part in parts]),
    )


def iter_residuals(
    path: str | Path,
    index: PacketIndex,
    clips: Sequence[Clip],
    *,
    per_clip: int = 1,
    quarter_luma: bool = False,
    info: VideoInfo | None = None,
    stats: ReadStats | None = None,
    warnings: list[str] | None = None,
) -> Iterator[tuple[Clip, Residual]]:
    """Yield each clip with the residuals of some of its predicted frames, in time order.

    The paper's cost allows about one residual frame per clip. P-frames are taken, evenly spread
    over the clip; only a clip without any takes B-frames, predicted from the past reference alone.
    A codec that exports no vectors gives empty residuals and one warning.

    Args:
        path: a video file.
        index: its packet index.
        clips: any clips of it; they may overlap.
        per_clip: residual frames per clip; fewer where a clip has fewer predicted frames.
        quarter_luma: luma averaged over 4x4 pixels instead of RGB; its energy ranks frames almost
            as well, and it is 48 times smaller.
        info: what `vidskim.io.probe` says of the file, if known; saves opening it once more.
        stats: what is read is added here.
        warnings: what went wrong is added here, once.

    Yields:
        The clip and its `Residual`.

    Raises:
        UsageError: ``per_clip`` below one.
        VideoError: the file cannot be opened.
    """
    if per_clip < 1:
        raise UsageError(f"per_clip must be at least 1, got {per_clip}")
    info = info or probe(path, index, stats=stats)
    shape = _shape(info, quarter_luma=quarter_luma)
    references = find_references(index)
    wanted: list[list[int]] = [[] for _ in clips]
    if exports_motion(info.codec, warnings=warnings):
        candidates = _candidates(references, codec=info.codec)
        wanted = [
            choose_predicted(span, candidates=candidates, per_clip=per_clip)
            for span in spans(clips, total=len(index))
        ]
    damage = Damage()
    arrivals = _targets(
        path,
        index,
        sorted({number for numbers in wanted for number in numbers}),
        references=references,
        info=info,
        quarter_luma=quarter_luma,
        stats=stats,
        damage=damage,
    )
    for gathered in gather(clips, arrivals, wanted=wanted):
        part = _pack(gathered.items, gathered.numbers, position=gathered.position, shape=shape)
        yield gathered.clip, part
    warn_missing(damage, warnings=warnings)


def choose_predicted(
    span: range, *, candidates: tuple[NDArray[np.bool_], ...], per_clip: int
) -> list[int]:
    """Spread a number of frames evenly over the first kind of candidates that a span has.

    Args:
        span: frame numbers of a clip.
        candidates: bool ``[F]`` each, the best kind first.
        per_clip: how many to choose at most.

    Returns:
        Ascending frame numbers, the middles of ``per_clip`` equal parts; empty without candidates.
    """
    for kind in candidates:
        numbers = span.start + np.flatnonzero(kind[span.start : span.stop])
        if len(numbers):
            count = min(per_clip, len(numbers))
            middles = ((np.arange(count) + 0.5) * len(numbers) / count).astype(np.int64)
            return [int(number) for number in numbers[middles]]
    return []


def compensate(reference: NDArray[np.uint8], offsets: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Predict a frame by copying blocks of another.

    Args:
        reference: ``[H, W, C]``.
        offsets: (x, y) of source minus block in whole pixels, ``[2, h, w]``, blocks of 8x8.

    Returns:
        ``[H, W, C]``; sources outside the picture are taken from its edge.
    """
    height, width, channels = reference.shape
    dx, dy = offsets.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)[:, :height, :width]
    x = (np.arange(width, dtype=np.int32) + dx).clip(0, width - 1)
    y = (np.arange(height, dtype=np.int32)[:, None] + dy).clip(0, height - 1)
    predicted: NDArray[np.uint8] = reference.reshape(-1, channels)[y * width + x]
    return predicted


def _candidates(references: References, *, codec: str) -> tuple[NDArray[np.bool_], ...]:
    """Return which frames are P-frames, and which B-frames, with a past reference."""
    is_p = ~references.is_intra & ~references.is_b
    is_p &= np.arange(len(is_p)) >= references.past
    if codec in WITHOUT_B_VECTORS:
        return (is_p,)
    return is_p, references.is_b & (np.arange(len(is_p)) >= references.past)


def _targets(
    path: str | Path,
    index: PacketIndex,
    numbers: Sequence[int],
    *,
    references: References,
    info: VideoInfo,
    quarter_luma: bool,
    stats: ReadStats | None,
    damage: Damage,
) -> Iterator[tuple[int, _Target]]:
    """Yield the residuals of chosen frames, holding only references still needed.

    One decoder gives vectors and pixels; frames only decoded for the vectors of others are not
    looked at.
    """
    last_use = {int(number - references.past[number]): number for number in numbers}
    targets, seen = set(numbers), {*numbers, *last_use}
    delivery = Delivery(index, codec=info.codec)
    ranges = delivery.extend((number, number + 1) for number in numbers)
    ranges += [(number, number + 1) for number in last_use]
    picture = _Picture(luma=quarter_luma)
    held: dict[int, NDArray[np.uint8]] = {}
    frames = walk(path, index, ranges, stats=stats, damage=damage, motion_vectors=True)
    for number, frame in frames:
        if number not in seen:
            continue
        image = picture(frame)
        records = delivery.records(number, frame) if number in targets else None
        reference_number = number - int(references.past[number])
        if records is not None and reference_number in held:
            offsets = block_offsets(
                records,
                grid=(-(-frame.height // 16), -(-frame.width // 16)),
                past=int(references.past[number]),
                future=int(references.future[number]),
            )
            whole = np.floor(offsets + 0.5).astype(np.int32)
            values = image.astype(np.int16) - compensate(held[reference_number], whole)
            values = _quarter(values) if quarter_luma else values
            yield number, _Target(np.rot90(values, k=-(info.rotation // 90)), reference_number)
        for done in [reference for reference in held if last_use[reference] <= number]:
            del held[done]
        if number in last_use:
            held[number] = image


class _Picture:
    """Decoded frames to pixels ``[H, W, C]`` of their own, before rotation; one size for all."""

    def __init__(self, *, luma: bool) -> None:
        self.luma = luma
        self.to_rgb = RgbConverter()
        self.reformatter = VideoReformatter()
        self.size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return RGB, or luma in the range of RGB."""
        if not self.luma:
            return np.rot90(self.to_rgb(frame), k=rotation_degrees(frame) // 90).copy()
        if self.size is None:
            self.size = frame.width, frame.height
        width, height = self.size
        gray = self.reformatter.reformat(
            frame, width=width, height=height, format="gray", threads=1
        )
        return gray.to_ndarray().astype(np.uint8, copy=False)[:, :, None]


def _quarter(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average cells of 4x4 pixels: ``[H, W, 1]`` to ``[H // 4, W // 4, 1]``, rounded."""
    height, width = values.shape[0] // 4, values.shape[1] // 4
    cells = values[: height * 4, : width * 4, 0].reshape(height, 4, width, 4)
    mean: NDArray[np.int16] = (cells.sum((1, 3), dtype=np.int32) + 8 >> 4).astype(np.int16)
    return mean[:, :, None]


def _shape(info: VideoInfo, *, quarter_luma: bool) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of one residual."""
    if quarter_luma:
        return 1, info.height // 4, info.width // 4
    return 3, info.height, info.width


def _pack(
    items: Sequence[_Target],
    numbers: Sequence[int],
    *,
    position: int,
    shape: tuple[int, int, int],
) -> Residual:
    """Stack the residuals of one clip; without any, P is 0 and the shape is kept."""
    values = np.empty((len(items), *shape), np.int16)
    for place, item in enumerate(items):
        values[place] = item.values.transpose(2, 0, 1)
    return Residual(
        values=torch.from_numpy(values),
        clip_index=torch.full((len(items),), position, dtype=torch.int64),
        frame_number=torch.tensor(numbers, dtype=torch.int64),
        reference_number=torch.tensor([item.reference_number for item in items], dtype=torch.int64),
    )
