"""What FASTER costs for a whole video, each part counted as it runs."""

from collections import Counter

from vidskim.backbones.contract import Features
from vidskim.cost import Count, count
from vidskim.faster import Faster, map_shape


def video_count(model: Faster, *, num_clips: int | None = None) -> Count:
    """Count a model on all clips of a video, on the meta device.

    Each clip costs the convolutional part of the encoder that its pattern gives it and that
    encoder's adapter, each clip after the first a step of the aggregator, and the video one read of
    its head. The encoders' own heads do not run.

    Args:
        model: whose pattern and encoders' clip sizes are taken as they are.
        num_clips: N; by default the model's.

    Returns:
        The multiply-adds of one video, the parameters of the whole model, and the clips
        ``(N, 3, T, h, w)`` as the expensive encoder sees them.
    """
    N = model.num_clips if num_clips is None else num_clips
    parts: list[tuple[int, Count]] = []
    joined: tuple[int, ...] = ()
    for place, times in sorted(Counter(model.pattern(N)).items()):
        encoder = model.networks()[place]
        assert encoder.clip is not None
        parts.append((times, count(Features(encoder), encoder.clip.input_shape)))
        adapter = model.adapters[place]
        parts.append((times, count(adapter, (1, *map_shape(encoder)))))
        joined = map_shape(encoder, adapter)
    parts.append((1, count(model.aggregator, (1, N, *joined))))
    return Count(
        macs=sum(times * part.macs for times, part in parts),
        params=sum(p.numel() for p in model.parameters()),
        input_shape=(N, *model.clip.input_shape[1:]),
        macs_with_2bn=sum(times * part.macs_with_2bn for times, part in parts),
    )
