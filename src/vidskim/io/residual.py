"""RGB residuals: what the motion of the codec does not explain (SCSampler, section 3.2).

FFmpeg exports no residuals, so they are computed the way the codec does, from decoded frames::

    residual = frame - prediction,   prediction[y, x] = reference[y + offset_y, x + offset_x]

with offsets rounded to whole pixels and held inside the picture. So prediction + residual is the
decoded frame exactly; against the coded residual it lacks the sub-pixel filter, the second
prediction of B-frames and the intra prediction of blocks without a vector, whose offset is zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidskim.errors import UsageError
from vidskim.io.compensate import FrameResidual, ResidualForm, ResidualMaker
from vidskim.io.gather import gather, join_parts, spans
from vidskim.io.motion import warn_missing
from vidskim.io.reading import Reading
from vidskim.io.records import Delivery, exports_motion, predicted_kinds
from vidskim.io.references import References, find_references
from vidskim.io.walk import Damage, walk
from vidskim.types import Clip, VideoInfo


@dataclass(frozen=True, slots=True)
class Residual:
    """Residuals of P predicted frames, packed over clips, in time order within each clip."""

    values: Tensor
    """int16 ``[P, 3, H, W]`` RGB in [-255, 255], or ``[P, 1, H // 4, W // 4]`` luma; float32
    ``[P, 3, h, w]`` where a size was asked for."""
    clip_index: Tensor
    """int64 ``[P]``: position of the frame's clip among the clips asked for."""
    frame_number: Tensor
    """int64 ``[P]``, in presentation order."""
    reference_number: Tensor
    """int64 ``[P]``: the frame it is predicted from here."""

    def __repr__(self) -> str:
        return f"Residual(values={tuple(self.values.shape)})"


def residuals(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    per_clip: int = 1,
    quarter_luma: bool = False,
    size: tuple[int, int] | None = None,
) -> Residual:
    """Return the residuals of all clips, those of the first clip given first.

    All of them are in memory at once; `iter_residuals` holds one clip's at a time. Arguments and
    errors are those of `iter_residuals`.
    """
    form = ResidualForm(quarter_luma=quarter_luma, size=size)
    return join_parts(
        pack_residuals([], [], position=0, form=form, info=reading.info),
        iter_residuals(reading, clips, per_clip=per_clip, quarter_luma=quarter_luma, size=size),
    )


def iter_residuals(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    per_clip: int = 1,
    quarter_luma: bool = False,
    size: tuple[int, int] | None = None,
) -> Iterator[tuple[Clip, Residual]]:
    """Yield each clip with the residuals of some of its predicted frames, in time order.

    The paper's cost allows about one residual frame per clip. P-frames are taken, spread over the
    clip, those with a near reference first; only a clip without any takes B-frames, predicted from
    the past reference alone. A codec that exports no vectors gives empty residuals and one warning.

    Args:
        reading: a video file.
        clips: any clips of it; they may overlap.
        per_clip: residual frames per clip; fewer where a clip has fewer predicted frames.
        quarter_luma: luma averaged over 4x4 pixels instead of RGB; its energy ranks frames almost
            as well, and it is 48 times smaller.
        size: (h, w) each residual is resized to as soon as it is computed, bilinear with
            antialiasing; None leaves it as large as the video.

    Yields:
        The clip and its `Residual`.

    Raises:
        UsageError: ``per_clip`` below one.
        VideoError: the file cannot be opened.
    """
    info = reading.info
    form = ResidualForm(quarter_luma=quarter_luma, size=size)
    references = find_references(reading.packets)
    wanted = plan_residuals(reading, clips, references=references, per_clip=per_clip)
    numbers = sorted({number for numbers in wanted for number in numbers})
    maker = ResidualMaker(numbers, references=references, rotation=info.rotation, form=form)
    damage = Damage()
    arrivals = _targets(reading, maker, damage=damage)
    for gathered in gather(clips, arrivals, wanted=wanted):
        yield (
            gathered.clip,
            pack_residuals(
                gathered.items, gathered.numbers, position=gathered.position, form=form, info=info
            ),
        )
    warn_missing(damage, reading)


def plan_residuals(
    reading: Reading, clips: Sequence[Clip], *, references: References, per_clip: int
) -> list[list[int]]:
    """Choose the frames of each clip whose residuals stand for it.

    Args:
        reading: a video file; in a codec without vectors nothing is chosen, and a warning says so.
        clips: any clips of it.
        references: of all its frames.
        per_clip: how many at most.

    Returns:
        Ascending frame numbers of each clip.

    Raises:
        UsageError: ``per_clip`` below one.
    """
    if per_clip < 1:
        raise UsageError(f"residuals per clip must be at least 1, got {per_clip}")
    if not exports_motion(reading.info.codec, warnings=reading.warnings):
        return [[] for _ in clips]
    candidates = predicted_kinds(references, codec=reading.info.codec)
    return [
        choose_predicted(span, candidates=candidates, per_clip=per_clip, distance=references.past)
        for span in spans(clips, total=len(references.past))
    ]


def choose_predicted(
    span: range,
    *,
    candidates: tuple[NDArray[np.bool_], ...],
    per_clip: int,
    distance: NDArray[np.int64] | None = None,
) -> list[int]:
    """Spread a number of frames over the first kind of candidates that a span has.

    The candidates are cut into ``per_clip`` equal parts. Of each part the one with the nearest
    reference is taken, for motion over several frames explains less of them; among equals the one
    nearest to the middle.

    Args:
        span: frame numbers of a clip.
        candidates: bool ``[F]`` each, the best kind first.
        per_clip: how many to choose at most.
        distance: int ``[F]``, frames to the past reference; None takes all as equal.

    Returns:
        Ascending frame numbers; empty without candidates.
    """
    for kind in candidates:
        numbers = span.start + np.flatnonzero(kind[span.start : span.stop])
        total = len(numbers)
        if total == 0:
            continue
        count = min(per_clip, total)
        chosen = []
        for part in range(count):
            places = np.arange(part * total // count, (part + 1) * total // count)
            off_middle = np.abs(places - (2 * part + 1) * total // (2 * count))
            far = np.zeros_like(places) if distance is None else distance[numbers[places]]
            chosen.append(int(numbers[places[np.lexsort((off_middle, far))[0]]]))
        return chosen
    return []


def _targets(
    reading: Reading, maker: ResidualMaker, *, damage: Damage
) -> Iterator[tuple[int, FrameResidual]]:
    """Yield the residuals of chosen frames; one decoder gives vectors and pixels."""
    index = reading.packets
    delivery = Delivery(index, codec=reading.info.codec)
    ranges = delivery.extend((number, number + 1) for number in sorted(maker.targets))
    ranges += maker.ranges()
    frames = walk(
        reading.path, index, ranges, stats=reading.stats, damage=damage, motion_vectors=True
    )
    for number, frame in frames:
        records = delivery.records(number, frame) if number in maker.targets else None
        found = maker.feed(number, frame, records)
        if found is not None:
            yield number, found


def pack_residuals(
    items: Sequence[FrameResidual],
    numbers: Sequence[int],
    *,
    position: int,
    form: ResidualForm,
    info: VideoInfo,
) -> Residual:
    """Stack the residuals of one clip; without any, P is 0 and the shape is kept."""
    values = np.empty((len(items), *form.shape(info)), form.dtype)
    for place, item in enumerate(items):
        values[place] = item.values
    return Residual(
        values=torch.from_numpy(values),
        clip_index=torch.full((len(items),), position, dtype=torch.int64),
        frame_number=torch.tensor(numbers, dtype=torch.int64),
        reference_number=torch.tensor([item.reference_number for item in items], dtype=torch.int64),
    )
