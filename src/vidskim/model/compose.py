"""Parts put into a model or taken out of it: what ``--cheap``, ``--context`` and the like say."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.resolution import set_test_size
from vidskim.errors import UsageError, printable
from vidskim.model.adapter import Adapter, make_adapters, map_shape
from vidskim.model.aggregate import Learned, create_aggregator
from vidskim.model.compressed import Compressed
from vidskim.model.contract import Aggregator, Context
from vidskim.model.load import open_any
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Join, Model
from vidskim.model.presets import compressed, default_stage, memory_channels, seeded
from vidskim.types import Origin

NONE, ALL, MEMORY, AVERAGE = "none", "all", "memory", "average"
DEFAULT_STAGE = "default"
"""Compress where the paper does."""

CHEAP_PATTERN = "1:7"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is asked for beside a model's own parts; None leaves the model's as it is.

    Attributes:
        cheap: a second encoder: a name, a file, or the encoder itself.
        context: "memory", "none", or a context of your own.
        compress: stage after which the first encoder compresses over time, or "none".
        join: clips that make one input of the first encoder: a number, or "all".
        aggregator: "average", a trained one's name, or one of your own.
        pattern: which encoder takes which run of clips.
        num_frames: length of the clips of all untrained encoders.
        segment_frames: length of the clips of a compressed encoder, before the stride.
        size: pixels of the crops, of whole frames the short side.
        random_weights: parts that would have to be trained are built untrained.
    """

    cheap: Any = None
    context: str | Context | None = None
    compress: str | None = None
    join: str | int | None = None
    aggregator: str | Aggregator | None = None
    pattern: str | None = None
    num_frames: int | None = None
    segment_frames: int | None = None
    size: int | None = None
    random_weights: bool = False


def compose(model: Model, parts: Parts) -> Model:
    """Return a model with other parts; weights are shared.

    Raises:
        UsageError: a part that would have to be trained, and no random weights; one that the model
            does not take.
        CheckpointError: a cheap encoder that cannot be opened.
    """
    if parts == Parts(pattern=parts.pattern, random_weights=parts.random_weights):
        return model
    number = 2 if parts.cheap is not None else len(model.networks)
    join = _joins(model, number, parts)
    encoders, cheap_name = _encoders(model, join[0], parts)
    had: Any = model.aggregator
    aggregator = _aggregator(model, encoders, parts)
    context = _context(model, encoders, aggregator, parts)
    adapters: list[Adapter] | None = None
    own = [a for a in model.adapters if isinstance(a, Adapter)]
    if isinstance(aggregator, Learned) and aggregator is had and len(own) == len(encoders):
        adapters = own
    elif isinstance(aggregator, Learned):
        joins = [n or 1 for n in join]
        channels = aggregator.channels
        adapters = seeded(lambda: make_adapters(encoders, channels=channels, num_clips=joins))
        if any(list(adapter.parameters()) for adapter in adapters):
            _refuse_untrained("adapters between the encoders", "faster", parts)
    card = replace(
        model.card,
        join=join,
        schedule=CHEAP_PATTERN if parts.cheap is not None else model.card.schedule,
        method=_method(model, encoders, context),
    )
    if parts.compress == NONE:
        card = replace(card, num_clips=Card().num_clips)
    if parts.pattern is not None:
        card = replace(card, schedule=parts.pattern)
    made = Model(encoders, adapters=adapters, context=context, aggregator=aggregator, card=card)
    name, _, rest = model.origin.model.partition(", random weights")
    ending = ", random weights" + rest if parts.random_weights else ""
    warnings = model.origin.warnings
    if parts.random_weights and not any("random weights" in warning for warning in warnings):
        untrained = (
            f"{name} has parts of random weights: its answers mean nothing, only its cost does"
        )
        warnings = (*warnings, untrained)
    made.origin = Origin(f"{name}{cheap_name}{ending}", warnings)
    return made.eval()


def _encoders(model: Model, join: Join, parts: Parts) -> tuple[list[Any], str]:
    """Return the encoders, and what the name of a further one adds to the model's."""
    encoders = list(model.networks)
    first = encoders[0]
    if parts.compress is not None and isinstance(first, Compressed):
        first = first.backbone
    puts = parts.compress not in (None, NONE)
    if parts.size is not None:
        first = first if puts and join is None else _sized(first, parts.size)
        encoders = [first, *(_sized(encoder, parts.size) for encoder in encoders[1:])]
    if parts.num_frames is not None and isinstance(first, Network) and parts.random_weights:
        first = _of_length(first, parts.num_frames, first.clip.stride)  # type: ignore[union-attr]
    if puts:
        _refuse_untrained("a compression", "sfc", parts)
        stage = default_stage(first) if parts.compress == DEFAULT_STAGE else parts.compress
        first = _framed(compressed(first, at=str(stage)), join)
        if parts.size is not None and join is None:
            first = first.of_size(parts.size)
    if parts.segment_frames is not None:
        if not isinstance(first, Compressed):
            raise UsageError(
                "segments are joined by a model with a compression inside: leave segment_frames "
                "out, or give compress"
            )
        first = first.of_segments(parts.segment_frames)
    encoders[0] = first
    if parts.cheap is None:
        return encoders, ""
    other: Any = open_any(
        parts.cheap, random_weights=parts.random_weights and _is_bare(parts.cheap)
    )
    cheap = other.networks[0]
    if isinstance(cheap, Network) and _is_bare(parts.cheap) and parts.random_weights:
        clip = first.clip
        cheap = _of_length(cheap, clip.num_frames, clip.stride)
        if cheap.num_classes != first.num_classes:
            cheap.reset_classifier(first.num_classes, classes=first.classes)
    return [first, cheap], f" and {cheap.name}"


def _is_bare(name: object) -> bool:
    return isinstance(name, str) and not Path(name).exists()


def _of_length(network: Network, num_frames: int, stride: int) -> Network:
    """Return an untrained network that takes clips of another length."""
    other = copy.copy(network)
    assert network.clip is not None
    other.clip = ClipSpec(num_frames, stride, network.clip.size)
    return other


def _sized(encoder: Any, size: int) -> Any:
    if isinstance(encoder, Compressed):
        return encoder.of_size(size)
    if not isinstance(encoder, Network):
        raise UsageError(f"{encoder.name} is tested at the size of its transform: leave size out")
    other = copy.copy(encoder)
    set_test_size(other, size)
    return other


def _framed(encoder: Compressed, join: Join) -> Compressed:
    """Return a newly compressed encoder that sees what its inputs are made of.

    The whole video is seen in whole frames (Liu et al., section 3), stretches of a few clips as the
    backbone sees its clips.
    """
    if join is not None:
        assert encoder.backbone.transform is not None
        encoder.transform = encoder.backbone.transform
    return encoder


def _joins(model: Model, number: int, parts: Parts) -> tuple[Join, ...]:
    first = model.card.join[0]
    if parts.compress == NONE:
        first = 1
    elif parts.compress is not None:
        first = 1 if number > 1 or parts.context not in (None, NONE) else None
    if parts.join is not None:
        first = read_join(parts.join)
    rest = model.card.join[1:] or (1,)
    return (first, *rest[: number - 1])


def read_join(join: str | int) -> Join:
    """Return the clips of one input, None for "all".

    Raises:
        UsageError: neither a number above zero nor "all".
    """
    if join == ALL:
        return None
    text = str(join)
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise UsageError(f"join is a number of clips, at least 1, or 'all', got {printable(text)!r}")


def _aggregator(model: Model, encoders: list[Any], parts: Parts) -> Any:
    """Return the aggregator, None for the mean of the encoders' class scores."""
    had, wanted = model.aggregator, parts.aggregator
    if wanted is None:
        return had if isinstance(had, Learned) else None
    if not isinstance(wanted, str):
        return wanted
    if wanted == AVERAGE:
        return None
    if isinstance(had, Learned) and had.name == wanted:
        return had
    _refuse_untrained(f"aggregator {printable(wanted)}", "faster", parts)
    first = encoders[0]
    channels = map_shape(first, num_clips=1)[0]
    return seeded(
        lambda: create_aggregator(wanted, channels=channels, num_classes=first.num_classes)
    )


def _context(model: Model, encoders: list[Any], aggregator: Any, parts: Parts) -> Any:
    if parts.context is None:
        return model.context
    if parts.context == NONE:
        return None
    if not isinstance(parts.context, str):
        return parts.context
    if parts.context != MEMORY:
        raise UsageError(
            f"context is 'memory' or 'none', got {printable(parts.context)!r}: a memory relates "
            "the clips of a video"
        )
    if model.context is not None:
        return model.context
    _refuse_untrained("a memory", "memory", parts)
    channels = getattr(aggregator, "channels", None) or memory_channels(encoders[0])
    return seeded(lambda: CollaborativeMemory(channels))


def _refuse_untrained(what: str, recipes: str, parts: Parts) -> None:
    """Raise unless parts may be untrained.

    Raises:
        UsageError: no random weights.
    """
    if not parts.random_weights:
        raise UsageError(
            f"{what} of this model would have to be trained: train it with recipes/{recipes} and "
            "give its file as the model, or add random_weights to measure cost and speed only"
        )


def _method(model: Model, encoders: list[Any], context: Any) -> str:
    """Return the method of a model by default: that of what is around its encoders."""
    had = model.card.method
    whole = isinstance(encoders[0], Compressed)
    if len(encoders) > 1:
        return "faster"
    if context is not None:
        return "memory"
    if whole:
        return "sfc"
    return had if had == "motion" else "uniform"
