"""One model for every system: encoders, what relates their maps, what turns them into an answer.

A single classifier, FASTER, collaborative memory and selective feature compression are settings of
its fields (see `vidskim.model.presets`), and so is every combination of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec, clip_of
from vidskim.declare import takes_key
from vidskim.errors import UsageError, unknown_name
from vidskim.look.methods import RECOGNIZED
from vidskim.model.adapter import Head, map_shape
from vidskim.model.aggregate import Average, TemporalMax
from vidskim.model.compressed import Compressed
from vidskim.model.contract import Aggregator, Context, Encoder
from vidskim.model.schedule import Pattern, parse_pattern
from vidskim.types import Origin

Join = int | None
"""Clips that make one input of an encoder; None for all of a run's."""

MAX_ENCODERS = 2


@dataclass(frozen=True, slots=True)
class Card:
    """How a model is meant to be used; plain values that its file holds.

    Raises:
        UsageError: an unknown method, a join or a number of clips below one, an unreadable
            schedule.
    """

    method: str = "motion"
    """Which clips are encoded where nothing else is asked for."""
    schedule: str = "all"
    """Which encoder takes which run of clips, see `vidskim.model.schedule.parse_pattern`."""
    join: tuple[Join, ...] = (1,)
    """Of each encoder."""
    num_clips: int = 10
    """Clips of a video in testing."""
    is_multilabel: bool = False
    """Whether several classes may be true at once: scores are sigmoids."""

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in RECOGNIZED:
            raise unknown_name("method", str(self.method), RECOGNIZED)
        if type(self.is_multilabel) is not bool:
            raise UsageError(f"is_multilabel is True or False, got {self.is_multilabel!r}")
        if not isinstance(self.join, tuple) or not self.join:
            raise UsageError(f"join is a tuple with a number of clips or None, got {self.join!r}")
        if not isinstance(self.schedule, str):
            raise UsageError(f"a schedule is a pattern as text, got {self.schedule!r}")
        if any(n is not None and (type(n) is not int or n < 1) for n in self.join):
            raise UsageError(f"join is a number of clips, at least 1, or all, got {self.join}")
        if type(self.num_clips) is not int or self.num_clips < 1:
            raise UsageError(f"a video has at least 1 clip, got num_clips {self.num_clips!r}")
        parse_pattern(self.schedule)


class Model(nn.Module):
    """Encoders of the clips of a video, a context they share, and an aggregator of their maps.

    A **run** is up to ``join`` neighbors among the chosen clips that go to the same encoder: they
    are one input, and give one map.

    Args:
        encoders: one, or an expensive and a cheap one; of one time span and the same classes.
        adapters: one per encoder, from its maps to what follows; by default none. Modules of your
            own work, but only `vidskim.model.adapter.Adapter` is written to a file.
        context: relates the maps of a video's runs to each other.
        aggregator: maps to logits; by default the mean of the runs' class probabilities, each as
            its own encoder's classifier gives them, and the largest of each class over time where
            several may be true.
        card: how it is used.

    Raises:
        UsageError: encoders of other time spans or classes, parts that do not fit each other, a
            schedule of more encoders than there are.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        *,
        adapters: Sequence[nn.Module] | None = None,
        context: Context | None = None,
        aggregator: Aggregator | None = None,
        card: Card | None = None,
    ) -> None:
        super().__init__()
        card = Card() if card is None else card
        _check_kinds(encoders, adapters, card)
        self.clip = same_span(encoders)
        self.card = replace(card, join=_one_each(card.join, encoders))
        if 1 in self.pattern.period and len(encoders) < MAX_ENCODERS:
            raise UsageError(
                f"pattern {self.pattern} needs a cheap encoder beside {encoders[0].name}: give "
                "two, or pattern 'all'"
            )
        if adapters is not None and len(adapters) != len(encoders):
            raise UsageError(f"{len(encoders)} encoders need as many adapters, got {len(adapters)}")
        if aggregator is None:
            if adapters is not None:
                raise UsageError("adapters bring maps to an aggregator: give one, or no adapters")
            aggregator, adapters = _mean_of(encoders, context, several=card.is_multilabel)
        _check_protocols(aggregator, context, joins=any(n != 1 for n in self.card.join))
        self.encoders = nn.ModuleList([as_module(encoder) for encoder in encoders])
        self.adapters = nn.ModuleList(adapters or [nn.Identity() for _ in encoders])
        self.context = context
        self.aggregator = aggregator
        self.origin = Origin(describe(self))
        """Where it comes from: what answers call it, and what they warn of."""
        check_fit(self)

    def train(self, mode: bool = True) -> "Model":
        """Set the model to training or evaluation; encoders without gradients never train."""
        super().train(mode)
        for encoder in (self.encoders, *self.encoders):
            if not any(parameter.requires_grad for parameter in encoder.parameters()):
                encoder.eval()
        return self

    @property
    def networks(self) -> tuple[Any, ...]:
        """The encoders, the expensive one first."""
        return tuple(self.encoders)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, where the first encoder has some."""
        return self.networks[0].classes  # type: ignore[no-any-return]

    @property
    def num_classes(self) -> int:
        """K."""
        return self.networks[0].num_classes  # type: ignore[no-any-return]

    @property
    def pattern(self) -> Pattern:
        """The schedule of the card."""
        return parse_pattern(self.card.schedule)

    def forward(self, maps: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """Map what the encoders gave for some videos to logits ``[B, K]``.

        Args:
            maps: for each encoder's place, maps ``[B, n, C_e, T', H', W']`` of the runs it took
                and their positions ``[n]`` or, where they differ between videos, ``[B, n]``; all
                positions of a video together are 0 to N - 1.
        """
        num_runs = sum(given.shape[1] for given, _ in maps.values())
        together: Tensor | None = None
        for place, (given, positions) in maps.items():
            B, n = given.shape[:2]
            adapted = self.adapters[place](given.flatten(0, 1)).unflatten(0, (B, n))
            if together is None:
                together = adapted.new_zeros(B, num_runs, *adapted.shape[2:])
            videos = torch.arange(B, device=adapted.device)[:, None]
            together[videos, positions.to(adapted.device).expand(B, n)] = adapted
        assert together is not None, "no clip of any encoder"
        if self.context is not None:
            together = self.context.read(together, self.context.write(together))
        aggregator: Any = self.aggregator
        logits: Tensor = aggregator.read(aggregator.step(aggregator.start(), together))
        return logits


def own_mean(model: Model) -> bool:
    """Return whether an answer is the mean of what the encoders' own classifiers say.

    Of several labels it is the largest of each.
    """
    aggregator: Any = model.aggregator
    if type(aggregator) is not (TemporalMax if model.card.is_multilabel else Average):
        return False
    first, *others = model.networks
    if others:
        return all(type(adapter) is Head for adapter in model.adapters)
    is_own: bool = aggregator.classify == first.classify
    return is_own and type(model.adapters[0]) is nn.Identity


def answers_by_clip(model: Model) -> bool:
    """Return whether a model is one encoder whose own classifier answers for each clip."""
    return len(model.networks) == 1 and model.card.join == (1,) and own_mean(model)


def is_alone(model: Model) -> bool:
    """Return whether a model is one encoder whose clips answer without a context."""
    return model.context is None and answers_by_clip(model)


def as_model(model: Model | Encoder) -> Model:
    """Return a model, or one of a single encoder."""
    return model if isinstance(model, Model) else Model([model])


def as_module(encoder: Encoder) -> nn.Module:
    """Return an encoder as the module it is.

    Raises:
        UsageError: it is none, or takes no clips.
    """
    if not isinstance(encoder, nn.Module) or not hasattr(encoder, "features"):
        raise UsageError(
            f"{type(encoder).__name__} is no encoder: make one of any nn.Module by vidskim.wrap"
        )
    clip_of(encoder)
    return encoder


def same_span(encoders: Sequence[Encoder]) -> ClipSpec:
    """Return the clip of the first encoder, by which the grid is laid.

    Raises:
        UsageError: none or more than two encoders, one that takes no clips, other time spans or
            other classes than the first's.
    """
    if not 0 < len(encoders) <= MAX_ENCODERS:
        raise UsageError(f"a model has an expensive and a cheap encoder, or one: {len(encoders)}?")
    first, *others = encoders
    as_module(first)
    wanted = clip_of(first)
    for other in others:
        as_module(other)
        clip = clip_of(other)
        if clip.span != wanted.span:
            raise UsageError(
                f"{first.name} takes clips of {wanted}, {other.name} of {clip}: encoders take the "
                "same time span, frames times stride; train both on such clips"
            )
        if (other.num_classes, other.classes) != (first.num_classes, first.classes):
            raise UsageError(
                f"{first.name} and {other.name} have other classes: train both on the same data"
            )
    return wanted


def _check_kinds(encoders: object, adapters: object, card: object) -> None:
    for what, given in (("encoders", encoders), ("adapters", adapters)):
        if given is not None and not isinstance(given, Sequence | nn.ModuleList):
            raise UsageError(f"{what} are a list of modules, got {type(given).__name__}")
    if adapters is not None and not all(isinstance(a, nn.Module) for a in cast(Any, adapters)):
        raise UsageError("adapters are modules: wrap a function in an nn.Module")
    if not isinstance(card, Card):
        raise UsageError(f"card is a vidskim.Card, got {type(card).__name__}")


def _one_each(join: tuple[Join, ...], encoders: Sequence[Encoder]) -> tuple[Join, ...]:
    """Return the join of each encoder; one that is given alone is that of all."""
    if len(join) not in (1, len(encoders)):
        raise UsageError(f"{len(encoders)} encoders need a join each, got {list(join)}")
    return join * len(encoders) if len(join) == 1 else join


def _mean_of(
    encoders: Sequence[Encoder], context: Context | None, *, several: bool
) -> tuple[Aggregator, list[nn.Module] | None]:
    """Return the aggregator that averages what the encoders' own classifiers say, and adapters."""
    mean = TemporalMax if several else Average
    if len(encoders) == 1:
        return mean(encoders[0].classify), None
    if context is not None:
        raise UsageError(
            "a memory relates maps, and the mean of two encoders' class scores has none in common: "
            "give an aggregator of maps, such as fast_gru"
        )
    return mean(nn.Identity()), [Head(encoder) for encoder in encoders]


def _check_protocols(aggregator: object, context: object, *, joins: bool) -> None:
    for part, kind, names in (
        (aggregator, Aggregator, "start, step and read"),
        (context, Context, "write and read"),
    ):
        if part is not None and (isinstance(part, type) or not isinstance(part, kind)):
            raise UsageError(
                f"{getattr(part, '__name__', type(part).__name__)} is no {kind.__name__.lower()}: "
                f"that is an object with the methods {names}, see vidskim.model.contract"
            )
    if joins and not takes_key(cast(Any, aggregator).step, "counts"):
        raise UsageError(
            f"clips are joined, and {type(aggregator).__name__}.step does not take counts, of how "
            "many clips each map was made: see vidskim.model.contract.Aggregator"
        )


def check_fit(model: Model) -> None:
    """Raise unless the encoders' maps fit context and aggregator; nothing is computed for it.

    Raises:
        UsageError: maps of other channels or sizes than what follows takes, or other classes.
    """
    for encoder, n in zip(model.networks, model.card.join, strict=True):
        if n != 1 and not isinstance(encoder, Compressed):
            map_shape(encoder, num_clips=n or 2)  # says what a network of one length does not take
    takes: Any = model.aggregator
    known = getattr(takes, "num_classes", model.num_classes)
    if known != model.num_classes:
        raise UsageError(
            f"{takes.name} has {known} classes, {model.networks[0].name} {model.num_classes}: give "
            "both the same"
        )
    channels = getattr(takes, "channels", None)
    if model.context is not None or channels is not None:
        _check_maps(model, channels=channels, reads=getattr(model.context, "channels", None))


def _check_maps(model: Model, *, channels: int | None, reads: int | None) -> None:
    """Raise unless encoders and adapters give an aggregator and a context their channels."""
    for encoder in model.networks:
        check_has_maps(encoder)
    if channels is None and reads is None:
        return
    joins = [1 if n is None else n for n in model.card.join]
    shapes = [
        map_shape(encoder, adapter, num_clips=n)
        for encoder, adapter, n in zip(model.networks, model.adapters, joins, strict=True)
    ]
    given = " and ".join(str(list(shape)) for shape in shapes)
    if channels is not None and any(s != (channels, *shapes[0][1:]) for s in shapes):
        name = getattr(model.aggregator, "name", type(model.aggregator).__name__)
        raise UsageError(
            f"{name} takes maps of {channels} channels and one size, the adapters give {given}: "
            "give others, or none for new ones"
        )
    if reads is not None and any(shape[0] < reads for shape in shapes):
        raise UsageError(f"a memory of {reads} channels cannot act on maps {given}")


def check_has_maps(encoder: Any) -> None:
    """Raise for a network that was wrapped without its maps.

    Raises:
        UsageError: such a one.
    """
    if not getattr(encoder, "has_maps", True):
        raise UsageError(
            f"{encoder.name} gives class scores only: wrap it with features and classify for what "
            "works on maps, a memory or a trained aggregator"
        )


def describe(model: Model) -> str:
    """Return what a model is in a few words, the names of its encoders first.

    For example ``r2plus1d_50 and r2d_26, fast_gru``.
    """
    words = [" and ".join(encoder.name for encoder in model.networks)]
    words += [e.description for e in model.networks if isinstance(e, Compressed)]
    parts: tuple[Any, ...] = (model.context, model.aggregator)
    words += [part.description for part in parts if hasattr(part, "description")]
    return ", ".join(words)
