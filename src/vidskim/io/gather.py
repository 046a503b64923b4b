"""What arrives frame by frame, handed out clip by clip, holding only clips that are still open."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from vidskim.types import Clip

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Gathered(Generic[Item]):
    """One clip with what arrived for it."""

    position: int
    """Place of the clip among the clips asked for."""
    clip: Clip
    numbers: list[int]
    """Frame numbers, ascending."""
    items: list[Item]
    """One per frame number."""


def gather(
    clips: Sequence[Clip],
    arrivals: Iterable[tuple[int, Item]],
    *,
    wanted: Sequence[Collection[int]],
) -> Iterator[Gathered[Item]]:
    """Hand each clip the items of the frames it wants, by reference, as soon as it has them all.

    Args:
        clips: in any order; they may overlap.
        arrivals: ``(frame number, item)`` by ascending number.
        wanted: the frame numbers each clip wants (a range, a set, ...); some may never arrive.

    Yields:
        One `Gathered` per clip, clips that start earlier first.
    """
    waiting: deque[tuple[Gathered[Item], int]] = deque(
        (Gathered(position, clips[position], [], []), max(wanted[position], default=-1))
        for position in sorted(range(len(clips)), key=lambda place: clips[place].start_frame)
    )
    for number, item in arrivals:
        while waiting and waiting[0][1] < number:
            yield waiting.popleft()[0]
        for gathered, _ in waiting:
            if gathered.clip.start_frame > number:
                break
            if number in wanted[gathered.position]:
                gathered.numbers.append(number)
                gathered.items.append(item)
    for gathered, _ in waiting:
        yield gathered


class Packed(Protocol):
    """A dataclass of tensors that are packed over clips, one row per frame."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def clip_index(self) -> Tensor:
        """Position of each row's clip among the clips asked for."""
        ...


Part = TypeVar("Part", bound=Packed)


def join_parts(nothing: Part, arriving: Iterable[tuple[Clip, Part]]) -> Part:
    """Return what clips gave as one, that of the first clip given first.

    Args:
        nothing: what a clip without any frame gives; its shapes stand where there are no clips.
        arriving: clips and what they gave, in any order.
    """
    parts = [nothing, *(part for _, part in arriving)]
    parts.sort(key=lambda part: int(part.clip_index[0]) if len(part.clip_index) else -1)
    names = [field.name for field in fields(nothing)]
    return replace(
        nothing, **{name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    )


def spans(clips: Sequence[Clip], *, total: int) -> list[range]:
    """Return the frame numbers each clip spans, gaps between its frames included.

    Args:
        clips: any clips.
        total: frames of the video.
    """
    return [range(clip.start_frame, min(clip.stop_frame, total)) for clip in clips]
