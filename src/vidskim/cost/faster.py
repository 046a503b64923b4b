"""What FASTER costs for a whole video, each part counted as it runs."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import nn

from vidskim.account import Count, count
from vidskim.backbones.contract import Features
from vidskim.model.adapter import map_shape
from vidskim.model.model import Model
from vidskim.model.schedule import EXPENSIVE, Pattern


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a FASTER model and what it does for one video."""

    name: str
    role: str
    """``expensive``, ``cheap``, ``adapter`` or ``aggregator``."""
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
    """Count the parts of a model on all clips of a video, on the meta device.

    Each clip costs the convolutional part of the encoder that its pattern gives it and that
    encoder's adapter, each clip after the first a step of the aggregator, and the video one read of
    its head. The encoders' own heads do not run.

    Args:
        model: whose pattern and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.
    """
    N = model.card.num_clips if num_clips is None else num_clips
    seen = Counter(model.pattern(N))
    roles = ("expensive", "cheap")
    encoders: list[Part] = []
    adapters: list[Part] = []
    joined: tuple[int, ...] = ()
    for place, encoder in enumerate(model.networks):
        assert encoder.clip is not None
        times, adapter = seen[place], model.adapters[place]
        role = roles[place]
        own = count(Features(encoder), encoder.clip.input_shape)
        encoders.append(_part(encoder, own, name=encoder.name, role=role, times=times))
        own = count(adapter, (1, *map_shape(encoder)))
        adapters.append(
            _part(adapter, own, name=f"adapter of {encoder.name}", role="adapter", times=times)
        )
        joined = map_shape(encoder, adapter)
    aggregator: Any = model.aggregator
    own = count(aggregator, (1, N, *joined))
    expensive = model.networks[EXPENSIVE]
    assert expensive.clip is not None
    return VideoCost(
        (
            *encoders,
            *(adapter for adapter in adapters if adapter.params),
            Part(
                aggregator.name, "aggregator", N, own.macs, _params(aggregator), own.macs_with_2bn
            ),
        ),
        model.pattern,
        (N, *model.clip.input_shape[1:]),
        N * count(expensive, expensive.clip.input_shape).macs,
    )


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
    return sum(p.numel() for p in module.parameters())
