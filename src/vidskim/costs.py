"""What backbones cost on the clips they were made for."""

import torch

from vidskim.backbones.hf import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import IMAGE_BACKBONES, list_networks, shapes_of
from vidskim.cost import Count, count
from vidskim.errors import UsageError, unknown_name


def cost_of(name: str, *, input_shape: tuple[int, ...] | None = None) -> Count:
    """Count a backbone, by default on the clip it was made for.

    Networks on images are counted on 3 x 224 x 224, those on sound on 1 x 40 x 200.

    Args:
        name: of the registry, or ``hf:<id or folder>``.
        input_shape: another input, ``(C, T, H, W)`` or, of an image, ``(C, H, W)``. Image networks
            are built for its channels.

    Raises:
        UsageError: an unknown name, or an input that the network does not take.
        CheckpointError: ``hf:<id or folder>`` whose configuration cannot be read.
    """
    network: Network
    if input_shape is not None and name in IMAGE_BACKBONES:
        network = shapes_of(name, in_channels=input_shape[0])
    elif is_hf(name):
        with torch.device("meta"):
            network = create_hf(name)
    elif name in list_networks():
        network = shapes_of(name)
    else:
        raise unknown_name("backbone", name, list_networks())
    if input_shape is not None:
        wanted = 3 if network.clip is None else 4
        if len(input_shape) != wanted:
            size = "height x width" if wanted == 3 else "frames x height x width"
            given = "x".join(map(str, input_shape))
            raise UsageError(f"{name} takes channels x {size}, got {given}")
        return count(network, (1, *input_shape))
    if network.clip is None:
        return count(network, (1, network.options["in_channels"], *network.image_size))
    return count(network, network.clip.input_shape)


def read_shape(text: str) -> tuple[int, ...]:
    """Read an input shape as people type it.

    >>> read_shape("3x32x256x256")
    (3, 32, 256, 256)

    Raises:
        UsageError: anything but whole numbers above zero with x between them.
    """
    parts = text.lower().split("x")
    numbers = all(part.isascii() and part.isdigit() for part in parts)
    if not numbers or not all(len(part) < 10 and int(part) > 0 for part in parts):
        raise UsageError(f"an input is written like 3x32x256x256, got {text[:80]!r}")
    return tuple(int(part) for part in parts)
