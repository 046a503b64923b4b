"""What backbones cost on the clips they were made for."""

from pathlib import Path

import torch
from torch import Tensor, nn

from vidskim.assembled import is_faster_model
from vidskim.backbones.checkpoint import load_backbone
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.hf import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import IMAGE_BACKBONES, list_networks, shapes_of
from vidskim.cost import Count, count
from vidskim.errors import UsageError, unknown_name
from vidskim.faster import Faster
from vidskim.faster_file import load_faster
from vidskim.faster_methods import PRESETS, untrained_faster
from vidskim.memory import Collaborative, load_collaborative
from vidskim.memory_methods import is_memory_model

SUFFIXES = (".safetensors", ".pth", ".pt", ".pyth")
"""By which a name is known to be a checkpoint's path."""


def cost_of(name: str, *, input_shape: tuple[int, ...] | None = None) -> Count:
    """Count a backbone, by default on the clip it was made for.

    Networks on images are counted on 3 x 224 x 224, those on sound on 1 x 40 x 200.

    Args:
        name: of the registry, ``hf:<id or folder>``, or the path of a checkpoint; a memory in it is
            counted as each clip writes and reads it.
        input_shape: another input, ``(C, T, H, W)`` or, of an image, ``(C, H, W)``. Image networks
            are built for its channels.

    Raises:
        UsageError: an unknown name, or an input that the network does not take.
        CheckpointError: a configuration or checkpoint that cannot be read.
    """
    if is_memory_model(name):
        model = load_collaborative(name)
        shape = model.clip.input_shape if input_shape is None else (1, *input_shape)
        return count(OneClip(model), shape)
    channels = input_shape[0] if input_shape is not None and name in IMAGE_BACKBONES else None
    network = _without_numbers(name, in_channels=channels)
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


class OneClip(nn.Module):
    """A backbone and its memory on a single clip, which writes the memory and reads it."""

    def __init__(self, model: Collaborative) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Map a clip ``[1, 3, T, h, w]`` to its logits ``[1, K]``."""
        logits: Tensor = self.model(x[:, None])[:, 0]
        return logits


def find_faster(name: str) -> Faster | None:
    """Return a FASTER model to count, None for the name of anything else.

    Args:
        name: a preset of the paper (R(2+1)D-50 and R2D-26 with 400 classes, without numbers), or
            the path of a FASTER model.

    Raises:
        UsageError: ``faster``, which is a method of some model.
        CheckpointError: a damaged file.
    """
    if name == "faster":
        raise UsageError(
            f"'faster' takes everything from a FASTER model: give its path, or {', '.join(PRESETS)}"
        )
    if name in PRESETS:
        with torch.device("meta"):
            return untrained_faster(preset=PRESETS[name])
    return load_faster(name) if is_faster_model(name) else None


def clip_of(name: str) -> ClipSpec:
    """Return the clip that a classifier was made for.

    Args:
        name: of the registry, or ``hf:<id or folder>``.

    Raises:
        UsageError: an unknown name, or a network on images or sound.
        CheckpointError: ``hf:<id or folder>`` whose configuration cannot be read.
    """
    clip = _without_numbers(name).clip
    if clip is None:
        raise UsageError(f"{name} is no clip classifier: give one, for example r2plus1d_18")
    return clip


def _without_numbers(name: str, *, in_channels: int | None = None) -> Network:
    """Build a network on the meta device; image networks for other channels if any are given."""
    if in_channels is not None:
        return shapes_of(name, in_channels=in_channels)
    if is_hf(name):
        with torch.device("meta"):
            return create_hf(name)
    if name in list_networks():
        return shapes_of(name)
    if Path(name).suffix in SUFFIXES:
        return load_backbone(checkpoint=name)
    raise unknown_name("backbone", name, [*list_networks(), *PRESETS])


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
