"""What FASTER costs for a whole video, each part counted as it runs."""

from collections import Counter

import torch
from torch import nn

from vidskim.backbones.contract import Features
from vidskim.cost import Count, count, on_meta
from vidskim.faster import Faster, map_shape


def video_count(model: Faster) -> Count:
    """Count a model on all clips of a video, on the meta device.

    Each clip costs the convolutional part of the encoder that its pattern gives it and that
    encoder's adapter, each clip after the first a step of the aggregator, and the video one read of
    its head. The encoders' own heads do not run.

    Args:
        model: whose pattern, number of clips and encoders' clip sizes are taken as they are.

    Returns:
        The multiply-adds of one video, the parameters of the whole model, and the clips
        ``(N, 3, T, h, w)`` as the expensive encoder sees them.
    """
    N = model.num_clips
    parts: list[tuple[int, Count]] = []
    joined: tuple[int, ...] = ()
    for place, num_clips in sorted(Counter(model.pattern(N)).items()):
        encoder = model.networks()[place]
        assert encoder.clip is not None
        parts.append((num_clips, count(Features(encoder), encoder.clip.input_shape)))
        maps = (1, *map_shape(encoder))
        adapter = model.adapters[place]
        parts.append((num_clips, count(adapter, maps)))
        joined = _shape_after(adapter, maps)
    parts.append((1, count(model.aggregator, (1, N, *joined[1:]))))
    return Count(
        macs=sum(times * part.macs for times, part in parts),
        params=sum(p.numel() for p in model.parameters()),
        input_shape=(N, *model.clip.input_shape[1:]),
        macs_with_2bn=sum(times * part.macs_with_2bn for times, part in parts),
    )


def _shape_after(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.device("meta"), torch.no_grad():
        return tuple(on_meta(module)(torch.empty(shape)).shape)
