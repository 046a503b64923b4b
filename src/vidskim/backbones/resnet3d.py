"""R3D-18, MC3-18, R(2+1)D-18 and -34: one residual network, three ways to convolve over time.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018,
section 3 and table 1. Parameters are named as in torchvision (https://pytorch.org/vision), whose
Kinetics-400 weights load unchanged; a test holds both to the same outputs.

==========  ===================================  ==========================
network     convolution in res2                  in res3, res4, res5
==========  ===================================  ==========================
R3D         3x3x3                                3x3x3
MC3         3x3x3                                1x3x3, time never strided
R(2+1)D     1x3x3, batch norm, ReLU, 3x1x1       the same
==========  ===================================  ==========================
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from vidskim.backbones.blocks import (
    MIDS,
    RESNET_STAGES,
    VMZ_NORM_EPS,
    BasicBlock,
    Kind,
    Mid,
    basic_stem,
    check_width,
    set_norm_eps,
)
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.mmaction2_r34 import (
    MMACTION2_TRANSFORM,
    factorize_like_mmaction2,
    set_mmaction2_norm_eps,
)
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.clips.transform import Transform
from vidskim.errors import unknown_name

Publisher = Mid | Literal["mmaction2"]
"""Whose R(2+1)D-34: mmaction2's is described in `mmaction2_r34`."""

PUBLISHERS = (*MIDS, "mmaction2")

CLIP_16 = ClipSpec(num_frames=16, stride=1, size=(112, 112))
CLIP_32 = ClipSpec(num_frames=32, stride=1, size=(112, 112))
TRANSFORM_112 = Transform(resize_to=(128, 171), crop=(112, 112))


class ResNet3d(Network):
    """Basic residual blocks over space and time; keeps the contract of `contract.Backbone`.

    Args:
        name: what the registry calls it.
        kinds: how the four stages convolve.
        depths: blocks per stage.
        num_classes: classes of the head.
        width: channels of the stem and res2, 64 in the papers; later stages have 2, 4 and 8 times.
        mid: whose channels inside factorized convolutions.
        clip: the clip it is made for.
        options: what the builder was called with, for checkpoints.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(
        self,
        name: str,
        *,
        kinds: Sequence[Kind],
        depths: Sequence[int],
        num_classes: int,
        width: int,
        mid: Publisher,
        clip: ClipSpec,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            name, stages=RESNET_STAGES, clip=clip, transform=TRANSFORM_112, options=options
        )
        check_width(width)
        self.stem = basic_stem(width, factorized=kinds[0] == "2+1d")
        in_channels = width
        for i, (kind, depth) in enumerate(zip(kinds, depths, strict=True)):
            channels = width << i
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(
                    BasicBlock(
                        in_channels,
                        channels,
                        kind=kind,
                        stride=stride,
                        mid="torchvision" if mid == "torchvision" else "vmz",
                    )
                )
                in_channels = channels
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        if mid == "mmaction2":
            factorize_like_mmaction2(self, width=width)
        initialize_convolutions(self)
        if mid == "vmz":
            set_norm_eps(self, VMZ_NORM_EPS)
        elif mid == "mmaction2":
            set_mmaction2_norm_eps(self)
        self.add_head(8 * width, num_classes)


def r3d_18(*, num_classes: int = 400, width: int = 64) -> ResNet3d:
    """R3D-18: 3x3x3 convolutions throughout; 40.7 GMACs per 16x112x112 clip."""
    return ResNet3d(
        "r3d_18",
        kinds=("3d",) * 4,
        depths=(2, 2, 2, 2),
        num_classes=num_classes,
        width=width,
        mid="torchvision",
        clip=CLIP_16,
        options={"width": width},
    )


def mc3_18(*, num_classes: int = 400, width: int = 64) -> ResNet3d:
    """MC3-18: 3x3x3 up to res2, 1x3x3 after; 43.3 GMACs per 16x112x112 clip."""
    return ResNet3d(
        "mc3_18",
        kinds=("3d", "2d", "2d", "2d"),
        depths=(2, 2, 2, 2),
        num_classes=num_classes,
        width=width,
        mid="torchvision",
        clip=CLIP_16,
        options={"width": width},
    )


def r2plus1d_18(*, num_classes: int = 400, width: int = 64, mid: Mid = "torchvision") -> ResNet3d:
    """R(2+1)D-18; 40.5 GMACs per 16x112x112 clip (41.5 with ``mid="vmz"``).

    Raises:
        UsageError: an unknown ``mid``.
    """
    if mid not in MIDS:
        raise unknown_name("mid", mid, MIDS)
    return ResNet3d(
        "r2plus1d_18",
        kinds=("2+1d",) * 4,
        depths=(2, 2, 2, 2),
        num_classes=num_classes,
        width=width,
        mid=mid,
        clip=CLIP_16,
        options={"width": width, "mid": mid},
    )


def r2plus1d_34(*, num_classes: int = 400, width: int = 64, mid: Publisher = "vmz") -> ResNet3d:
    """R(2+1)D-34; 152.4 GMACs per 32x112x112 clip, mmaction2's 40.6 per 8x224x224 clip.

    Raises:
        UsageError: an unknown ``mid``.
    """
    if mid not in PUBLISHERS:
        raise unknown_name("mid", mid, PUBLISHERS)
    network = ResNet3d(
        "r2plus1d_34",
        kinds=("2+1d",) * 4,
        depths=(3, 4, 6, 3),
        num_classes=num_classes,
        width=width,
        mid=mid,
        clip=CLIP_32,
        options={"width": width, "mid": mid},
    )
    if mid == "mmaction2":
        network.clip = ClipSpec(num_frames=8, stride=8, size=(224, 224))
        network.transform = MMACTION2_TRANSFORM
        network.dropout.p = 0.5
    return network


BUILDERS = {
    "r3d_18": r3d_18,
    "mc3_18": mc3_18,
    "r2plus1d_18": r2plus1d_18,
    "r2plus1d_34": r2plus1d_34,
}

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "r2plus1d_18": tuple({"mid": mid} for mid in MIDS),
    "r2plus1d_34": tuple({"mid": mid} for mid in PUBLISHERS),
}
"""The publishers' channels differ: a checkpoint's shapes tell whose it is."""
