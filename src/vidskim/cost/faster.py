"""What a model of several parts costs for a whole video, each counted as it runs."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vidskim.account import Count, count
from vidskim.backbones.contract import Features
from vidskim.model.adapter import Head, map_shape
from vidskim.model.aggregate import Learned
from vidskim.model.compressed import bare_of
from vidskim.model.model import Model
from vidskim.model.schedule import EXPENSIVE, Pattern, cut_runs


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a FASTER model and what it does for one video."""

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
class VideoCost:
    """What a FASTER model costs for one video, part by part."""

    parts: tuple[Part, ...]
    pattern: Pattern
    clips_shape: tuple[int, ...]
    """``(N, 3, T, h, w)`` as the expensive encoder sees them."""
    expensive_macs: int
    """Of the expensive encoder, its classifier included, on every one of the N clips."""

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
        """Return what ``vidskim cost --json`` tells of a FASTER model besides the sum."""
        keys = ("name", "role", "num_clips", "macs", "params")
        return {
            "pattern": str(self.pattern),
            "expensive_macs": self.expensive_macs,
            "parts": [{key: getattr(part, key) for key in keys} for part in self.parts],
        }


def video_cost(model: Model, *, num_clips: int | None = None) -> VideoCost:
    """Count the parts of a model on the clips of a video, on the meta device.

    Each run of clips costs the convolutional part of the encoder that the pattern gives it, a
    compression inside included, and that encoder's adapter; a memory is written and read once by
    each run; an aggregator takes a step for each run after the first and one read, or each run its
    own encoder's classifier where these are averaged.

    Args:
        model: whose pattern, joins and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.
    """
    N = model.card.num_clips if num_clips is None else num_clips
    sizes = run_sizes(model, N)
    roles = ("expensive", "cheap")
    parts: list[Part] = []
    adapters: list[Part] = []
    adapted: tuple[int, ...] = ()
    for place, encoder in enumerate(model.networks):
        clips, runs = Counter(sizes[place]), len(sizes[place])
        adapter, role = model.adapters[place], roles[place]
        own = [
            (count(Features(encoder), encoder.clip.joined(size).input_shape), times)
            for size, times in clips.items()
        ] or [(count(Features(encoder), encoder.clip.input_shape), 0)]
        parts.append(
            Part(
                encoder.name,
                role,
                sum(sizes[place]),
                sum(times * one.macs for one, times in own),
                _params(encoder),
                sum(times * one.macs_with_2bn for one, times in own),
            )
        )
        shape = map_shape(encoder, num_clips=max(sizes[place], default=1))
        role = "classifier" if isinstance(adapter, Head) else "adapter"
        module = _Classify(encoder) if isinstance(adapter, Head) else adapter
        one = count(module, (1, *shape))
        name = f"{role} of {encoder.name}"
        adapters.append(_part(module, one, name=name, role=role, times=runs))
        if not isinstance(adapter, Head):
            adapted = map_shape(encoder, adapter, num_clips=max(sizes[place], default=1))
    num_runs = sum(map(len, sizes))
    related = [] if model.context is None else [_related(model, (1, num_runs, *adapted))]
    bare = bare_of(model.networks[EXPENSIVE])
    return VideoCost(
        (
            *parts,
            *(part for part in adapters if part.macs or part.params),
            *related,
            *_aggregated(model, (1, num_runs, *adapted), N),
        ),
        model.pattern,
        (N, *model.clip.input_shape[1:]),
        N * count(bare, bare.clip.input_shape).macs,
    )


def run_sizes(model: Model, num_clips: int) -> list[list[int]]:
    """Return the clips of each run of each encoder, as the model's pattern has them."""
    sizes: list[list[int]] = [[] for _ in model.networks]
    join = model.card.join
    for place, length in cut_runs(model.pattern.over(num_clips, join), join):
        sizes[place].append(length)
    return sizes


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


def _related(model: Model, shape: tuple[int, ...]) -> Part:
    module = _Related(model.context)
    one = count(module, shape)
    return Part("memory", "context", shape[1], one.macs, _params(module), one.macs_with_2bn)


def _aggregated(model: Model, shape: tuple[int, ...], num_clips: int) -> list[Part]:
    aggregator: Any = model.aggregator
    if isinstance(aggregator, Learned):
        one = count(aggregator, shape)
        macs = (one.macs, _params(aggregator), one.macs_with_2bn)
        return [Part(aggregator.name, "aggregator", num_clips, *macs)]
    if len(model.networks) > 1:
        return []
    head = _Classify(model.networks[0])
    own = count(head, (1, *shape[2:]))
    return [_part(head, own, name="classifier", role="classifier", times=shape[1])]


def video_count(model: Model, *, num_clips: int | None = None) -> Count:
    """Return the multiply-adds of one video, see `video_cost`, and the model's parameters.

    Args:
        model: whose pattern and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.
    """
    return video_cost(model, num_clips=num_clips).whole


def _part(module: nn.Module, one: Count, *, name: str, role: str, times: int) -> Part:
    return Part(name, role, times, times * one.macs, _params(module), times * one.macs_with_2bn)


def _params(module: nn.Module) -> int:
    if isinstance(module, _Classify):  # its encoder's, which has them
        return 0
    return sum(p.numel() for p in module.parameters())
