"""Motion maps and residuals of clips out of one decode.

Both need the same frames decoded to YUV; read one after the other they cost two decodes. The maps
of all predicted frames and the pixels of two frames per residual come from one walk here, with the
same numbers as `iter_motion` and `iter_residuals` give.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vidskim.io.compensate import FrameResidual, ResidualForm, ResidualMaker
from vidskim.io.gather import gather
from vidskim.io.motion import (
    FrameMap,
    MapBatch,
    Motion,
    cells,
    pack_motion,
    plan_motion,
    runs,
    warn_missing,
)
from vidskim.io.reading import Reading
from vidskim.io.records import Delivery, exports_motion
from vidskim.io.references import References, find_references
from vidskim.io.residual import Residual, pack_residuals, plan_residuals
from vidskim.io.walk import Damage, walk
from vidskim.types import Clip


class _Found(NamedTuple):
    """What one predicted frame gave. Whatever has a residual has a map: both need vectors."""

    map: FrameMap
    residual: FrameResidual | None


def iter_compressed(
    reading: Reading,
    clips: Sequence[Clip],
    *,
    residuals_per_clip: int = 1,
    quarter_luma: bool = False,
    size: tuple[int, int] | None = None,
    b_frames: bool = True,
) -> Iterator[tuple[Clip, Motion, Residual]]:
    """Yield each clip with its motion maps and residuals, in time order, from one decode.

    Pixels are exact, so the loop filter runs: vectors alone are cheaper from `iter_motion`. Memory
    holds what open clips have so far and the references that residuals wait for. Groups of pictures
    without a wanted clip are skipped. A codec without vectors gives empty parts and one warning,
    and nothing is decoded.

    Args:
        reading: a video file.
        clips: any clips of it; they may overlap.
        residuals_per_clip: residual frames per clip, chosen as in `iter_residuals`.
        quarter_luma: the form of residuals, as in `iter_residuals`.
        size: (h, w) each residual is resized to, as in `iter_residuals`.
        b_frames: False leaves out the motion of B-frames, as in `iter_motion`.

    Yields:
        The clip, its `Motion` and its `Residual`, whose ``clip_index`` is the clip's position.

    Raises:
        UsageError: ``residuals_per_clip`` below one.
        VideoError: the file cannot be opened.
    """
    info = reading.info
    form = ResidualForm(quarter_luma=quarter_luma, size=size)
    references = find_references(reading.packets)
    chosen = plan_residuals(reading, clips, references=references, per_clip=residuals_per_clip)
    numbers = sorted({number for numbers in chosen for number in numbers})
    maker = ResidualMaker(numbers, references=references, rotation=info.rotation, form=form)
    wanted = plan_motion(clips, references=references, codec=info.codec, b_frames=b_frames)
    damage = Damage()
    arrivals = _arrivals(reading, wanted, maker, references=references, damage=damage)
    for gathered in gather(clips, arrivals, wanted=wanted):
        position, own = gathered.position, set(chosen[gathered.position])
        maps, residuals = {}, {}
        for number, found in zip(gathered.numbers, gathered.items):
            maps[number] = found.map
            if found.residual is not None and number in own:
                residuals[number] = found.residual
        yield (
            gathered.clip,
            pack_motion(
                list(maps.values()),
                list(maps),
                position=position,
                grid=cells(info.width, info.height),
            ),
            pack_residuals(
                list(residuals.values()), list(residuals), position=position, form=form, info=info
            ),
        )
    warn_missing(damage, reading)


def _arrivals(
    reading: Reading,
    wanted: Sequence[Collection[int]],
    maker: ResidualMaker,
    *,
    references: References,
    damage: Damage,
) -> Iterator[tuple[int, _Found]]:
    """Decode once and yield what each wanted frame gives, by ascending number."""
    index, info = reading.packets, reading.info
    if not exports_motion(info.codec, warnings=None):
        return
    asked = np.zeros(len(index), np.bool_)
    stretches = [(numbers.start, numbers.stop) for numbers in runs(wanted)]
    for start, stop in stretches:
        asked[start:stop] = True
    delivery = Delivery(index, codec=info.codec)
    ranges = delivery.extend(stretches) + maker.ranges()
    batch = MapBatch(references, info=info)
    waiting: dict[int, FrameResidual] = {}
    frames = walk(
        reading.path, index, ranges, stats=reading.stats, damage=damage, motion_vectors=True
    )
    for number, frame in frames:
        records = delivery.records(number, frame) if asked[number] else None
        residual = maker.feed(number, frame, records)
        if residual is not None:
            waiting[number] = residual
        if records is not None:
            batch.add(number, records)
        if batch.is_full:
            yield from _joined(batch, waiting)
    yield from _joined(batch, waiting)


def _joined(batch: MapBatch, waiting: dict[int, FrameResidual]) -> Iterator[tuple[int, _Found]]:
    """Yield the maps of a batch, each with the residual of its frame, where there is one."""
    for number, found in batch.take():
        yield number, _Found(found, waiting.pop(number, None))
