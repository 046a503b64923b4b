"""What a model of any parts costs for a video, each part counted as it runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
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
from vidskim.model.compressed import Compressed, bare_of, is_joined
from vidskim.model.model import Model
from vidskim.model.schedule import EXPENSIVE, Schedule, cut_runs, places_of
from vidskim.types import Clip
from vidskim.video import Video

ROLES = ("expensive", "cheap")

MOST_FRAMES = 10_000_000
"""Of a video that is priced: four days at 30 frames per second."""
MOST_PIXELS = 16_384
"""Along a side."""


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
    frame_rate: Fraction = Fraction(30)
    size: tuple[int, int] = (256, 340)

    def __post_init__(self) -> None:
        rate = float(self.frame_rate)
        if not (self.seconds > 0 and rate > 0 and min(self.size) > 0):
            raise UsageError(
                f"a video has a length, a frame rate and a size above 0, got {self.seconds:g} s, "
                f"{rate:g} and {self.size[0]}x{self.size[1]}"
            )
        if not (self.seconds * rate <= MOST_FRAMES and max(self.size) <= MOST_PIXELS):
            raise UsageError(
                f"a video of at most {MOST_FRAMES} frames and {MOST_PIXELS} pixels a side is "
                f"priced, got {self.seconds:g} s of {rate:g} frames per second and "
                f"{self.size[0]}x{self.size[1]}"
            )

    @property
    def num_frames(self) -> int:
        """Rounded, at least one."""
        return max(1, round(self.seconds * float(self.frame_rate)))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        rate = f"{self.frame_rate.numerator}/{self.frame_rate.denominator}"
        return {"seconds": self.seconds, "frame_rate": rate, "size": list(self.size)}


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
    is_scored: bool
    """Whether clips are chosen by scores, which cost something."""
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
                **plan.video.to_json(),
                "method": plan.method,
                "clips": plan.num_grid,
                "num_crops": plan.num_crops,
                "dense_macs": plan.dense_macs,
            }
        return record


Use = tuple[nn.Module, tuple[int, ...], int]
"""A module, the shape of its input, and how often it takes one."""


class EncoderInput(NamedTuple):
    """One input of an encoder."""

    place: int
    """Of the encoder."""
    lengths: tuple[int, ...]
    """Frames of each of its clips."""
    size: tuple[int, int]
    """(h, w) of them."""

    def shape(self, num_crops: int) -> tuple[int, ...]:
        """Return ``(V, 3, T, h, w)``."""
        return (num_crops, 3, sum(self.lengths), *self.size)


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
        EncoderInput(place, (clip.num_frames,) * length, clip.size)
        for place, length in cut_runs(places, model.card.join)
        for clip in [model.networks[place].clip]
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
        EncoderInput(
            run.place,
            _lengths(model, run.place, run.clips),
            _size(model.networks[run.place], video),
        )
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
    if not is_joined(first, model.card.join[EXPENSIVE]):
        own = (*own[:3], *_size(first, video))
    dense = count(bare, own).macs * num_crops
    num_dense = ceil(choice.num_touching * first.clip.num_frames / bare.clip.num_frames)
    plan = Planned(
        video,
        look.method,
        choice.num_touching,
        len(choice.chosen),
        num_crops,
        look.saliency is not None,
        num_dense * dense,
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
        return [n / float(self.shape.frame_rate) for n in range(self.shape.num_frames)]

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


def _size(encoder: Any, video: VideoShape) -> tuple[int, int]:
    """Return (h, w) of a video's frames as an encoder takes them."""
    size: tuple[int, int] = encoder.transform.crop or encoder.transform.resized_size(*video.size)
    return size


def _lengths(model: Model, place: int, clips: Sequence[Clip]) -> tuple[int, ...]:
    """Return the frames of each clip that an encoder takes; a compressed one takes no repeats."""
    encoder = model.networks[place]
    own = [of_spec(clip, encoder.clip, laid_by=model.clip) for clip in clips]
    is_compressed = isinstance(encoder, Compressed)
    return tuple(clip.num_valid if is_compressed else len(clip.frame_indices) for clip in own)


def _input_shape(runs: Sequence[EncoderInput]) -> tuple[int, ...]:
    """Return ``(n, 3, T, h, w)``: how many inputs there are, and the first encoder's first one."""
    own = [run for run in runs if run.place == EXPENSIVE] or list(runs)
    return (len(runs), *own[0].shape(1)[1:])


class _OneInput(nn.Module):
    """An encoder on one input whose frames come clip by clip, as it answers."""

    def __init__(self, encoder: Any, lengths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        self.lengths = lengths
        if isinstance(encoder, Compressed) and not encoder.takes_own_length():
            encoder.reach()  # measured on its weights, before it is counted without

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[V, 3, T, h, w]`` to ``[V, C, T', H', W']``."""
        if isinstance(self.encoder, Compressed):
            return self.encoder.attend(iter(torch.split(x, list(self.lengths), 2)))[0]
        maps: Tensor = self.encoder.features(x)
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
    """A context on the maps of all runs: the center crop writes it, each crop reads it."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.context = context

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``[V, N, C, T', H', W']`` to the same shape."""
        written = self.context.write(maps[:1])
        related: Tensor = self.context.read(maps, written.shared_by(len(maps)))
        return related


def _parts(model: Model, runs: Sequence[EncoderInput], *, num_crops: int) -> tuple[Part, ...]:
    """Return all parts of a model and what they do for the runs of one video."""
    encoders: list[Part] = []
    adapters: list[Part] = []
    adapted: Counter[tuple[int, ...]] = Counter()
    for place, encoder in enumerate(model.networks):
        own = Counter(run for run in runs if run.place == place)
        inputs = {
            run: (_OneInput(encoder, run.lengths), run.shape(num_crops))
            for run in own or [EncoderInput(place, (encoder.clip.num_frames,), encoder.clip.size)]
        }
        seen = sum(times * len(run.lengths) for run, times in own.items())
        counts: list[Use] = [(*pair, own[run]) for run, pair in inputs.items()]
        encoders.append(_part(counts, name=encoder.name, role=ROLES[place], num_clips=seen))
        maps = {run: _after(*pair) for run, pair in inputs.items()}
        adapter = model.adapters[place]
        is_head = isinstance(adapter, Head)
        role = "classifier" if is_head else "adapter"
        module = _Classify(encoder) if is_head else adapter
        counts = [(module, shape, own[run]) for run, shape in maps.items()]
        name = f"{role} of {encoder.name}"
        adapters.append(_part(counts, name=name, role=role, num_clips=own.total()))
        if not is_head:
            for run, shape in maps.items():
                adapted[_after(adapter, shape)] += own[run]
    around = _around(model, adapted, num_clips=sum(len(run.lengths) for run in runs), V=num_crops)
    return (*encoders, *(part for part in adapters if part.macs or part.params), *around)


def _around(model: Model, maps: Counter[tuple[int, ...]], *, num_clips: int, V: int) -> list[Part]:
    """Return the context and what makes an answer of maps of these shapes, ``(V, C, T, H, W)``."""
    total = maps.total()
    together = (V, total, *next(iter(maps), ())[1:])
    found: list[Part] = []
    if model.context is not None:
        found.append(
            _part(
                [(_Related(model.context), together, 1)],
                name="memory",
                role="context",
                num_clips=total,
            )
        )
    learned: Any = model.aggregator
    if isinstance(learned, Learned):
        found.append(
            _part(
                [(learned, together, 1)], name=learned.name, role="aggregator", num_clips=num_clips
            )
        )
    elif len(model.networks) == 1:
        head = _Classify(model.networks[0])
        uses: list[Use] = [(head, shape, times) for shape, times in maps.items()]
        found.append(_part(uses, name="classifier", role="classifier", num_clips=total))
    return found


def _part(
    uses: Sequence[Use],
    *,
    name: str,
    role: str,
    num_clips: int,
) -> Part:
    """Count a module, which takes each of these shapes so many times."""
    counts = [(count(module, shape), times) for module, shape, times in uses]
    return Part(
        name,
        role,
        num_clips,
        sum(times * one.macs for one, times in counts),
        _params(uses[0][0]),
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
