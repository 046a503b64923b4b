"""The papers' systems, each a model of a few lines; what is left out is built untrained.

Untrained parts draw the same numbers each time.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from vidskim.backbones.network import Network
from vidskim.model.adapter import Adapter, make_adapters, map_shape
from vidskim.model.aggregate import FastGru
from vidskim.model.compressed import Compressed, bare_of, check_has_stages, map_channels
from vidskim.model.compression import TemporalCompression
from vidskim.model.contract import Aggregator, Encoder
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Join, Model, same_span
from vidskim.model.schedule import Pattern

Made = TypeVar("Made")

MEMORY_CLIPS = 10
"""Clips of a video with a memory in testing (Yang et al., section 4.1)."""

SFC_SEGMENTS = 8
"""Segments of a long video that are joined (Liu et al., section 6)."""


def single(encoder: Encoder, *, is_multilabel: bool = False) -> Model:
    """Return a classifier by itself: the mean of its clips."""
    return Model([encoder], card=Card(is_multilabel=is_multilabel))


def faster(
    encoders: Sequence[Encoder],
    aggregator: Aggregator | None = None,
    *,
    adapters: Sequence[Adapter] | None = None,
    pattern: str | Pattern = "1:7",
    num_clips: int = 16,
) -> Model:
    """Return FASTER: encoders in alternation, their maps aggregated in order.

    Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020.

    Args:
        encoders: the expensive one, and the cheap one if there are two.
        aggregator: by default an untrained FAST-GRU.
        adapters: by default untrained ones.
        pattern: which encoder takes which clip.
        num_clips: N.

    Raises:
        UsageError: parts that do not fit, see `Model`.
    """
    same_span(encoders)
    if aggregator is None:
        aggregator = seeded(lambda: FastGru(map_shape(encoders[0])[0], encoders[0].num_classes))
    if adapters is None:
        channels: int | None = getattr(aggregator, "channels", None)
        adapters = seeded(lambda: make_adapters(encoders, channels=channels))
    model = Model(
        encoders,
        adapters=adapters,
        aggregator=aggregator,
        card=Card("faster", str(pattern), (1,) * len(encoders), num_clips),
    )
    model.encoders.requires_grad_(False)  # trained by themselves before (section 4.1)
    return model


def memory(
    encoder: Encoder,
    context: CollaborativeMemory | None = None,
    *,
    is_multilabel: bool = False,
) -> Model:
    """Return collaborative memory: the clips of a video share what each of them saw.

    Yang et al., "Beyond Short Clips", CVPR 2021.

    Args:
        encoder: any; its own classifier answers for each clip.
        context: by default an untrained memory.
        is_multilabel: whether several classes may be true at once.

    Raises:
        UsageError: a memory of other channels.
    """
    if context is None:
        context = seeded(lambda: CollaborativeMemory(memory_channels(encoder)))
    card = Card("memory", num_clips=MEMORY_CLIPS, is_multilabel=is_multilabel)
    return Model([encoder], context=context, card=card)


def sfc(encoder: Compressed, *, join: Join = None) -> Model:
    """Return selective feature compression: the whole video, or segments of it, in one pass.

    Liu et al., "Selective Feature Compression", ICCV 2021.

    Args:
        encoder: the compressed backbone.
        join: clips of one input; None for all of them.
    """
    return Model([encoder], card=Card("sfc", join=(join,), num_clips=SFC_SEGMENTS))


def compressed(backbone: Network, *, at: str | None = None) -> Compressed:
    """Return a backbone with an untrained compression of the paper's settings.

    Args:
        backbone: any.
        at: stage after which it compresses, by default the paper's.

    Raises:
        UsageError: no such stage.
    """
    at = at or default_stage(backbone)
    channels = map_channels(backbone, at)
    compression = seeded(lambda: TemporalCompression(channels))
    return Compressed(backbone, at=at, compression=compression).eval()


def default_stage(backbone: Network) -> str:
    """Return where the paper cuts: after res3, TPN after res4; other networks in their middle."""
    check_has_stages(backbone)
    if "neck" in backbone.stages:
        return "res4"
    return "res3" if "res3" in backbone.stages else backbone.stages[(len(backbone.stages) - 1) // 2]


def memory_channels(encoder: Encoder) -> int:
    """Return the channels of an encoder's last map that a memory acts on, the first ones.

    All of them, but of SlowFast those of the slow pathway: the paper names the last convolutional
    layer, and the cost of a second memory on the fast one is not in its figures.
    """
    inner = bare_of(encoder)
    channels = getattr(inner, "slow_channels", None) or getattr(inner, "num_features", None)
    return int(channels or map_shape(encoder)[0])


def seeded(build: Callable[[], Made]) -> Made:
    """Build something of random weights, the same each time; on the meta device of none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()
