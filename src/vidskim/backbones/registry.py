"""Names to backbones: the one registry, because users type these names."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from vidskim.backbones import (
    audionet,
    csn,
    inception,
    r2plus1d,
    r3d_50,
    resnet3d,
    s3d,
    shufflenet,
    slow,
    slowfast,
    tpn,
    x3d,
)
from vidskim.backbones.hf.create import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.resnet2d import resnet_18
from vidskim.errors import UsageError, unknown_name

CLIP_BACKBONES: dict[str, Callable[..., Network]] = {
    **resnet3d.BUILDERS,
    **r2plus1d.BUILDERS,
    **r3d_50.BUILDERS,
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

INITIALIZERS = frozenset(
    ("normal_", "uniform_", "fill_", "zero_", "constant_", "kaiming_normal_", "kaiming_uniform_")
)
"""What PyTorch calls to give new parameters their first values."""


def list_backbones() -> tuple[str, ...]:
    """Return the names of the clip backbones."""
    return tuple(CLIP_BACKBONES)


def list_networks() -> tuple[str, ...]:
    """Return every name `create_backbone` takes: clip backbones, then networks on images."""
    return (*CLIP_BACKBONES, *IMAGE_BACKBONES)


def create_backbone(name: str, *, num_classes: int = 400, **options: Any) -> Network:
    """Build an untrained backbone.

    Args:
        name: one of `list_networks`, or ``hf:`` and an architecture, a folder or an id on the hub.
        num_classes: classes of the head.
        options: what the network's builder takes, such as ``width``.

    Returns:
        The network in training mode.

    Raises:
        UsageError: an unknown name or option, or an impossible value.
    """
    if is_hf(name):
        return create_hf(name, num_classes=num_classes, **options)
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


def shapes_of(name: str, *, num_classes: int = 400, **options: Any) -> Network:
    """Build a backbone without its numbers: on the meta device, nothing is drawn or allocated.

    Raises:
        UsageError: as `create_backbone`.
    """
    with torch.device("meta"), _NothingDrawn():
        return create_backbone(name, num_classes=num_classes, **options)


class _NothingDrawn(TorchFunctionMode):
    """Leaves out every initialization, most of the time that building takes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in INITIALIZERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
