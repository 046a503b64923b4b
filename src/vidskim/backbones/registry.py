"""Names to backbones: the one registry, because users type these names."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from vidskim.backbones import (
    audionet,
    csn,
    faster,
    inception,
    r2plus1d,
    resnet3d,
    s3d,
    shufflenet,
    slow,
    slowfast,
    tpn,
    x3d,
)
from vidskim.backbones.network import Network
from vidskim.backbones.resnet2d import resnet_18
from vidskim.errors import UsageError, unknown_name

CLIP_BACKBONES: dict[str, Callable[..., Network]] = {
    **resnet3d.BUILDERS,
    **r2plus1d.BUILDERS,
    **faster.BUILDERS,
    **csn.BUILDERS,
    **slow.BUILDERS,
    **slowfast.BUILDERS,
    **tpn.BUILDERS,
    **inception.BUILDERS,
    **s3d.BUILDERS,
    **x3d.BUILDERS,
}
"""Networks on clips ``[N, 3, T, H, W]``."""

IMAGE_BACKBONES: dict[str, Callable[..., Network]] = {
    "resnet_18": resnet_18,
    **shufflenet.BUILDERS,
    **audionet.BUILDERS,
}
"""Networks on images, motion maps and log-mel windows ``[N, C, H, W]``, for samplers."""

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    **resnet3d.VARIANTS,
    **r2plus1d.VARIANTS,
    **slowfast.VARIANTS,
    **x3d.VARIANTS,
}
"""Options to try when a checkpoint in our own names is identified; by default none."""


def list_backbones() -> tuple[str, ...]:
    """Return the names of the clip backbones."""
    return tuple(CLIP_BACKBONES)


def list_networks() -> tuple[str, ...]:
    """Return every name `create_backbone` takes: clip backbones, then networks on images."""
    return (*CLIP_BACKBONES, *IMAGE_BACKBONES)


def create_backbone(name: str, *, num_classes: int = 400, **options: Any) -> Network:
    """Build an untrained backbone.

    Args:
        name: one of `list_networks`.
        num_classes: classes of the head.
        options: what the network's builder takes, such as ``width``.

    Returns:
        The network in training mode.

    Raises:
        UsageError: an unknown name or option, or an impossible value.
    """
    builder = CLIP_BACKBONES.get(name) or IMAGE_BACKBONES.get(name)
    if builder is None:
        raise unknown_name("backbone", name, list_networks())
    valid = [p for p in signature(builder).parameters if p != "num_classes"]
    for option, value in options.items():
        if option not in valid:
            raise unknown_name(f"option of {name}", option, valid)
        if option in ("width", "in_channels") and type(value) is not int:
            raise UsageError(f"{option} of {name} is a whole number, got {value!r}")
    if type(num_classes) is not int:
        raise UsageError(f"num_classes is a whole number, got {num_classes!r}")
    return builder(num_classes=num_classes, **options)
