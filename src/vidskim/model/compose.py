"""Parts put into a model or taken out of it: what ``--cheap``, ``--context`` and the like say."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.backbones.resolution import set_test_size
from vidskim.errors import UsageError, printable, unknown_name
from vidskim.model.adapter import Adapter, make_adapters, map_shape
from vidskim.model.aggregate import AGGREGATORS, Learned, create_aggregator
from vidskim.model.compressed import Compressed, check_stage
from vidskim.model.contract import Aggregator, Context
from vidskim.model.load import open_any
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Join, Model, check_has_maps, own_mean
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
    aggregator = _aggregator(model, encoders, parts)
    context = _context(model, encoders, aggregator, parts)
    adapters = _adapters(model, encoders, aggregator, join, parts)
    card = replace(
        model.card,
        join=join,
        schedule=CHEAP_PATTERN if parts.cheap is not None else model.card.schedule,
        method=_method(model, encoders, context),
    )
    if parts.compress == NONE and isinstance(model.networks[0], Compressed):
        card = replace(card, num_clips=Card().num_clips)
    if parts.pattern is not None:
        card = replace(card, schedule=parts.pattern)
    made = Model(encoders, adapters=adapters, context=context, aggregator=aggregator, card=card)
    made.origin = _origin(model, cheap_name, parts)
    return made.eval()


def _origin(model: Model, cheap_name: str, parts: Parts) -> Origin:
    name, _, rest = model.origin.model.partition(", random weights")
    ending = ", random weights" + rest if parts.random_weights else ""
    warnings = model.origin.warnings
    if parts.random_weights and not any("random weights" in warning for warning in warnings):
        untrained = (
            f"{name} has parts of random weights: its answers mean nothing, only its cost does"
        )
        warnings = (*warnings, untrained)
    return Origin(f"{name}{cheap_name}{ending}", warnings)


def _encoders(model: Model, join: Join, parts: Parts) -> tuple[list[Any], str]:
    """Return the encoders, and what the name of a further one adds to the model's."""
    first = _first(model.networks[0], join, parts)
    rest, added = list(model.networks[1:]), ""
    if parts.cheap is not None:
        rest = [_cheap(first, parts)]
        added = f" and {rest[0].name}"
    if parts.size is not None:
        rest = [_sized(encoder, parts.size) for encoder in rest]
    return [first, *rest], added


def _first(first: Any, join: Join, parts: Parts) -> Any:
    """Return the first encoder, compressed, sized and lengthened as asked for."""
    if parts.compress is not None and isinstance(first, Compressed):
        first = first.backbone
    if parts.num_frames is not None and isinstance(first, Network) and parts.random_weights:
        first = _of_length(first, parts.num_frames, first.clip.stride)  # type: ignore[union-attr]
    if parts.compress not in (None, NONE):
        first = _with_compression(first, join, parts)
    elif parts.size is not None:
        first = _sized(first, parts.size)
    if parts.segment_frames is not None:
        if not isinstance(first, Compressed):
            raise UsageError(
                "segments are joined by a model with a compression inside: leave segment_frames "
                "out, or give compress"
            )
        first = first.of_segments(parts.segment_frames)
    return first


def _with_compression(backbone: Any, join: Join, parts: Parts) -> Compressed:
    """Return a backbone newly compressed.

    A whole video is seen in whole frames (Liu et al., section 3), stretches of a few clips as the
    backbone sees its clips.
    """
    stage = default_stage(backbone) if parts.compress == DEFAULT_STAGE else str(parts.compress)
    check_stage(backbone, stage)
    _refuse_untrained("a compression", "sfc", parts)
    if parts.size is not None:
        backbone = _sized(backbone, parts.size)
    made = compressed(backbone, at=stage)
    if join is not None:
        made.transform = backbone.transform
    elif parts.size is not None:
        made = made.of_size(parts.size)
    return made


def _cheap(first: Any, parts: Parts) -> Any:
    untrained = parts.random_weights and _is_bare(parts.cheap)
    opened = open_any(parts.cheap, random_weights=untrained)
    if not (len(opened.networks) == 1 and opened.context is None and own_mean(opened)):
        raise UsageError(
            f"the cheap encoder is one encoder, {opened.origin.model} is a model of several parts: "
            "give a single network"
        )
    cheap: Any = opened.networks[0]
    if isinstance(cheap, Network) and untrained:
        cheap = _of_length(cheap, first.clip.num_frames, first.clip.stride)
        if cheap.num_classes != first.num_classes:
            cheap.reset_classifier(first.num_classes, classes=first.classes)
    return cheap


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


def _joins(model: Model, number: int, parts: Parts) -> tuple[Join, ...]:
    first = model.card.join[0]
    if parts.compress == NONE:
        first = 1 if isinstance(model.networks[0], Compressed) else first
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


def check_words(context: object, aggregator: object) -> None:
    """Raise for a context or aggregator of a name that there is not.

    Raises:
        UsageError: such a name.
    """
    if isinstance(context, str) and context not in (MEMORY, NONE):
        raise unknown_name("context", context, (MEMORY, NONE))
    if isinstance(aggregator, str) and aggregator not in (AVERAGE, *AGGREGATORS):
        raise unknown_name("aggregator", aggregator, (AVERAGE, *AGGREGATORS))


def _aggregator(model: Model, encoders: list[Any], parts: Parts) -> Any:
    """Return the aggregator, None for the mean of the encoders' class scores."""
    had, wanted = model.aggregator, parts.aggregator
    if wanted is None:
        return None if own_mean(model) else had
    if not isinstance(wanted, str):
        return wanted
    if wanted == AVERAGE:
        return None
    if isinstance(had, Learned) and had.name == wanted:
        return had
    check_words(None, wanted)
    check_has_maps(encoders[0])
    _refuse_untrained(f"aggregator {wanted}", "faster", parts)
    first = encoders[0]
    channels = map_shape(first, num_clips=1)[0]
    return seeded(
        lambda: create_aggregator(wanted, channels=channels, num_classes=first.num_classes)
    )


def _adapters(
    model: Model, encoders: list[Any], aggregator: Any, join: tuple[Join, ...], parts: Parts
) -> list[Adapter] | None:
    if not isinstance(aggregator, Learned):
        return None
    own = [adapter for adapter in model.adapters if isinstance(adapter, Adapter)]
    if aggregator is model.aggregator and len(own) == len(encoders) and parts.cheap is None:
        return own
    joins = [n or 1 for n in join]
    made = seeded(lambda: make_adapters(encoders, channels=aggregator.channels, num_clips=joins))
    if any(list(adapter.parameters()) for adapter in made):
        _refuse_untrained("adapters between the encoders", "faster", parts)
    return made


def _context(model: Model, encoders: list[Any], aggregator: Any, parts: Parts) -> Any:
    if parts.context is None:
        return model.context
    if parts.context == NONE:
        return None
    if not isinstance(parts.context, str):
        return parts.context
    check_words(parts.context, None)
    if model.context is not None:
        return model.context
    check_has_maps(encoders[0])
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
