"""Backbones counted on the inputs of the papers, each once."""

from functools import cache
from typing import Any

from vidskim.account import Count, count
from vidskim.backbones.network import Network
from vidskim.backbones.registry import shapes_of

PYSLOWFAST_WINDOW = (7, 7)
"""The map of a 224x224 clip, which PySlowFast's head slides over that of 256x256."""

I3D_108 = (
    "the origin of 108 is not known; ours has TensorFlow's SAME padding in every layer, as "
    "published"
)


@cache
def counted(
    name: str,
    *size: int,
    channels: int = 3,
    window: tuple[int, int] | None = None,
    **options: Any,
) -> Count:
    """Count a backbone.

    Args:
        name: of the registry.
        size: (T, h, w) of a clip, (h, w) of an image.
        channels: of the input.
        window: `Network.head_window`.
        options: of the backbone.
    """
    network = _network(name, **options)
    network.head_window = window
    return count(network, (1, channels, *size))


@cache
def _network(name: str, **options: Any) -> Network:
    return shapes_of(name, **options)
