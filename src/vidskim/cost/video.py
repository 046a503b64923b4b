"""What a model of any parts costs for a video, each part counted as it runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from vidskim.account import Count, count, on_meta
from vidskim.answer.encode import of_spec, runs_of_choice
from vidskim.clips.grid import split, spread
from vidskim.errors import UsageError
from vidskim.look.look import Look
from vidskim.model.adapter import Head
from vidskim.model.aggregate import Learned
from vidskim.model.compressed import Compressed, bare_of
from vidskim.model.model import Model
from vidskim.model.schedule import EXPENSIVE, Schedule, cut_runs, places_of
from vidskim.types import Clip
from vidskim.video import Video

ROLES = ("expensive", "cheap")

MOST_FRAMES = 10_000_000
"""Of a video that is priced: four days at 30 frames per second."""


@dataclass(frozen=True, slots=True)
class VideoShape:
    """A video that is not there.

    Attributes:
        seconds: how long it is.
        frame_rate: frames per second.
        size: (height, width) of the frames.

    Raises:
        UsageError: no frames, or more than `MOST_FRAMES`.
    """

    seconds: float = 60.0
    frame_rate: float = 30.0
    size: tuple[int, int] = (256, 340)

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.frame_rate > 0):
            raise UsageError(
                f"a video has seconds and a frame rate above 0, got {self.seconds:g} and "
                f"{self.frame_rate:g}"
            )
        if not self.seconds * self.frame_rate <= MOST_FRAMES:
            raise UsageError(
                f"{self.seconds:g} s of {self.frame_rate:g} frames per second are more than "
                f"{MOST_FRAMES} frames: give less"
            )

    @property
    def num_frames(self) -> int:
        """Rounded, at least one."""
        return max(1, round(self.seconds * self.frame_rate))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model and what it does for one video."""

    name: str
    role: str
    """``expensive``, ``cheap``, ``adapter``, ``context``, ``aggregator`` or ``classifier``."""
    num_clips: int
    """Clips it sees."""
    macs: int
    """Of all these clips together."""
    params: int
    macs_with_2bn: int
    """``macs`` and two operations for each number that enters a batch norm."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How a video that is not there would be answered."""

    video: VideoShape
    method: str
    num_grid: int
    """Clips of it side by side."""
    num_clips: int
    """Those that are encoded."""
    num_crops: int
    dense_macs: int
    """Of the first encoder's bare classifier on every clip of the grid."""


@dataclass(frozen=True, slots=True)
class VideoCost:
    """What a model costs for one video, part by part."""

    parts: tuple[Part, ...]
    pattern: str
    clips_shape: tuple[int, ...]
    """``(N, 3, T, h, w)``: the clips that are encoded, as the first encoder sees them."""
    expensive_macs: int
    """Of the first encoder's bare classifier on each of the N clips."""
    planned: Planned | None = None

    @property
    def whole(self) -> Count:
        """The sum of the parts."""
        return Count(
            macs=sum(part.macs for part in self.parts),
            params=sum(part.params for part in self.parts),
            input_shape=self.clips_shape,
            macs_with_2bn=sum(part.macs_with_2bn for part in self.parts),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what ``vidskim cost --json`` tells of a model besides the sum."""
        keys = ("name", "role", "num_clips", "macs", "params")
        record: dict[str, Any] = {
            "pattern": self.pattern,
            "expensive_macs": self.expensive_macs,
            "parts": [{key: getattr(part, key) for key in keys} for part in self.parts],
        }
        if (plan := self.planned) is not None:
            record |= {
                "seconds": plan.video.seconds,
                "frame_rate": plan.video.frame_rate,
                "size": list(plan.video.size),
                "method": plan.method,
                "clips": plan.num_grid,
                "num_crops": plan.num_crops,
                "dense_macs": plan.dense_macs,
            }
        return record


class Run(NamedTuple):
    """One input of an encoder."""

    place: int
    """Of the encoder."""
    num_clips: int
    shape: tuple[int, ...]
    """``(1, 3, T, h, w)``."""


def video_cost(model: Model, *, num_clips: int | None = None) -> VideoCost:
    """Count the parts of a model on so many clips of a video, on the meta device.

    Each run of clips costs the convolutional part of the encoder that the pattern gives it, a
    compression inside included, and that encoder's adapter; a memory is written and read once by
    each run; an aggregator takes a step for each run after the first and one read, or each run its
    own encoder's classifier where these are averaged.

    Args:
        model: whose pattern, joins and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.
    """
    N = model.card.num_clips if num_clips is None else num_clips
    places = model.pattern.over(N, model.card.join)
    runs = [
        Run(place, length, model.networks[place].clip.joined(length).input_shape)
        for place, length in cut_runs(places, model.card.join)
    ]
    bare = bare_of(model.networks[EXPENSIVE])
    return VideoCost(
        _parts(model, runs, num_crops=1),
        str(model.pattern),
        (N, *model.clip.input_shape[1:]),
        N * count(bare, bare.clip.input_shape).macs,
    )


def video_count(model: Model, *, num_clips: int | None = None) -> Count:
    """Return the multiply-adds of one video, see `video_cost`, and the model's parameters.

    Args:
        model: whose pattern and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.
    """
    return video_cost(model, num_clips=num_clips).whole


def planned_cost(
    model: Model, look: Look, schedule: Schedule, video: VideoShape, *, num_crops: int = 1
) -> VideoCost:
    """Count a model on a video that is not there, as an answer to it would be charged.

    The clips are those of its grid that the look would choose, of any scores; joined inputs are as
    long as their clips' frames, and long ones go through in the windows that overlap. What looking
    costs is not counted, see `vidskim.cost.look`.

    Args:
        model: with all of its parts.
        look: chooses clips.
        schedule: which encoder takes which run.
        video: how long and large.
        num_crops: V.
    """
    first = model.networks[EXPENSIVE]
    there = _Absent(video)
    blind = look if look.saliency is None else replace(look, saliency=_indifferent)
    choice = blind(cast(Video, there), num_frames=first.clip.num_frames, stride=first.clip.stride)
    scores = torch.zeros(len(choice.chosen))
    places = places_of(schedule, len(choice.chosen), join=model.card.join, scores=scores)
    runs = [
        Run(run.place, len(run.clips), _shape(model, run.place, run.clips, video))
        for run in runs_of_choice(
            choice,
            choice.chosen,
            places,
            join=model.card.join,
            total=video.num_frames,
            end_seconds=video.seconds,
        )
    ]
    bare = bare_of(first)
    own = bare.clip.input_shape
    if not _is_joined(model, EXPENSIVE):
        own = (*own[:3], *_size(first, video))
    dense = count(bare, own).macs * num_crops
    num_dense = ceil(choice.num_touching * first.clip.num_frames / bare.clip.num_frames)
    plan = Planned(
        video, look.method, choice.num_touching, len(choice.chosen), num_crops, num_dense * dense
    )
    return VideoCost(
        _parts(model, runs, num_crops=num_crops),
        str(schedule),
        _input_shape(runs),
        len(choice.chosen) * dense,
        plan,
    )


@dataclass(frozen=True, slots=True)
class _Packets:
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(1))


@dataclass(slots=True)
class _Absent:
    """What a look asks of a video to lay its grid."""

    shape: VideoShape
    path: str = "the video"
    warnings: list[str] = field(default_factory=list)
    packets: _Packets = field(default_factory=_Packets)

    @property
    def _times(self) -> list[float]:
        return [n / self.shape.frame_rate for n in range(self.shape.num_frames)]

    def clips(self, *, num_frames: int, stride: int) -> list[Clip]:
        return split(self._times, num_frames=num_frames, stride=stride)

    def spread_clips(self, num_clips: int, *, num_frames: int, stride: int) -> list[Clip]:
        return spread(
            self._times,
            num_clips=num_clips,
            num_frames=num_frames,
            stride=stride,
            end_seconds=self.shape.seconds,
        )


def _indifferent(video: object, clips: Sequence[Clip]) -> Tensor:
    return torch.zeros(len(clips))


def _is_joined(model: Model, place: int) -> bool:
    return model.card.join[place] != 1 or isinstance(model.networks[place], Compressed)


def _size(encoder: Any, video: VideoShape) -> tuple[int, int]:
    """Return (h, w) of a video's frames as an encoder takes them."""
    size: tuple[int, int] = encoder.transform.crop or encoder.transform.resized_size(*video.size)
    return size


def _shape(model: Model, place: int, clips: Sequence[Clip], video: VideoShape) -> tuple[int, ...]:
    encoder = model.networks[place]
    own = [of_spec(clip, encoder.clip, laid_by=model.clip) for clip in clips]
    counts = (c.num_valid if isinstance(encoder, Compressed) else len(c.frame_indices) for c in own)
    return (1, 3, sum(counts), *_size(encoder, video))


def _input_shape(runs: Sequence[Run]) -> tuple[int, ...]:
    """Return ``(N, 3, T, h, w)`` of the first encoder's inputs; N of the first one's shape."""
    own = [run for run in runs if run.place == EXPENSIVE] or list(runs)
    shape = own[0].shape
    return (sum(run.num_clips for run in runs) if len(runs) > 1 else 1, *shape[1:])


class _Stretch(nn.Module):
    """An encoder on one input as it answers: a long one in windows, where it is compressed."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[1, 3, T, h, w]`` to ``[1, C, T', H', W']``."""
        maps: Tensor = (
            self.encoder.attend(iter([x]))[0]
            if isinstance(self.encoder, Compressed)
            else self.encoder.features(x)
        )
        return maps


class _Classify(nn.Module):
    """The classifier of an encoder by itself, to be counted."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``[M, C, T', H', W']`` to logits ``[M, K]``."""
        logits: Tensor = self.encoder.classify(maps)
        return logits


class _Related(nn.Module):
    """A context on the maps of all runs of a video, each of which writes and reads it."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.context = context

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``[1, N, C, T', H', W']`` to the same shape."""
        related: Tensor = self.context.read(maps, self.context.write(maps))
        return related


def _parts(model: Model, runs: Sequence[Run], *, num_crops: int) -> tuple[Part, ...]:
    """Return all parts of a model and what they do for the runs of one video."""
    encoders: list[Part] = []
    adapters: list[Part] = []
    adapted: Counter[tuple[int, ...]] = Counter()
    for place, encoder in enumerate(model.networks):
        own = [run for run in runs if run.place == place]
        shapes = Counter(run.shape for run in own) or {encoder.clip.input_shape: 0}
        seen = sum(run.num_clips for run in own)
        stretch, adapter = _Stretch(encoder), model.adapters[place]
        if isinstance(encoder, Compressed) and not encoder.takes_own_length():
            encoder.reach()  # measured on its weights, before it is counted without
        encoders.append(
            _part(stretch, shapes, name=encoder.name, role=ROLES[place], num_clips=seen)
        )
        maps = Counter[tuple[int, ...]]()
        for shape, times in shapes.items():
            maps[_after(stretch, shape)] += times
        is_head = isinstance(adapter, Head)
        role = "classifier" if is_head else "adapter"
        module = _Classify(encoder) if is_head else adapter
        name = f"{role} of {encoder.name}"
        adapters.append(_part(module, maps, name=name, role=role, num_clips=len(own)))
        if not is_head:
            for shape, times in maps.items():
                adapted[_after(adapter, shape)] += times
    around = _around(model, adapted, num_clips=sum(run.num_clips for run in runs))
    parts = [*encoders, *(part for part in adapters if part.macs or part.params), *around]
    return tuple(
        replace(p, macs=num_crops * p.macs, macs_with_2bn=num_crops * p.macs_with_2bn)
        for p in parts
    )


def _around(model: Model, maps: Counter[tuple[int, ...]], *, num_clips: int) -> list[Part]:
    """Return the context and what makes an answer of maps of these shapes, ``(1, C, T, H, W)``."""
    total = maps.total()
    found: list[Part] = []
    if model.context is not None:
        together = {(1, total, *shape[1:]): 1 for shape in list(maps)[:1]}
        module = _Related(model.context)
        found.append(_part(module, together, name="memory", role="context", num_clips=total))
    aggregator: Any = model.aggregator
    if isinstance(aggregator, Learned):
        together = {(1, total, *shape[1:]): 1 for shape in list(maps)[:1]}
        return [
            *found,
            _part(
                aggregator, together, name=aggregator.name, role="aggregator", num_clips=num_clips
            ),
        ]
    if len(model.networks) == 1:
        head = _Classify(model.networks[0])
        found.append(_part(head, maps, name="classifier", role="classifier", num_clips=total))
    return found


def _part(
    module: nn.Module,
    shapes: "Counter[tuple[int, ...]] | dict[tuple[int, ...], int]",
    *,
    name: str,
    role: str,
    num_clips: int,
) -> Part:
    """Count a module on inputs of these shapes, each so many times."""
    counts = [(count(module, shape), times) for shape, times in shapes.items()]
    return Part(
        name,
        role,
        num_clips,
        sum(times * one.macs for one, times in counts),
        _params(module),
        sum(times * one.macs_with_2bn for one, times in counts),
    )


def _after(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a module makes of one."""
    ghost = on_meta(module)
    with torch.device("meta"), torch.no_grad():
        return tuple(ghost(torch.empty(shape)).shape)


def _params(module: nn.Module) -> int:
    if isinstance(module, _Classify):  # its encoder's, which has them
        return 0
    return sum(p.numel() for p in module.parameters())
