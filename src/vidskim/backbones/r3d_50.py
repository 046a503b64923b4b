"""R3D-50 and R2D-26: what FASTER puts beside R(2+1)D-50 (`r2plus1d`).

Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020, table 1 and
(R3D-50) table 6. No weights were published. All three give maps of 2048 channels, L/8 frames and
7x7 places for a clip of L x 224 x 224, so that one memory runs over clips of either.
"""

from torch import nn

from vidskim.backbones.blocks import R26, R50, basic_stem, spatial_pool, spatiotemporal_conv
from vidskim.backbones.bottleneck3d import BottleneckNetwork, Plan, Stride
from vidskim.backbones.r2plus1d import FASTER_CLIP, FASTER_TRANSFORM


def _pool_stem(width: int) -> nn.Sequential:
    return nn.Sequential(*basic_stem(width, factorized=False), spatial_pool())


def _short_stem(width: int) -> nn.Sequential:
    """8x7x7 at stride 8x2x2, then the pool; [B, 3, T, H, W] to [B, width, T/8, H/4, W/4].

    Time is not padded, so that each of its frames sees eight of the clip and none twice.
    """
    return nn.Sequential(
        nn.Conv3d(3, width, (8, 7, 7), stride=(8, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        spatial_pool(),
    )


def _full(channels: int, stride: Stride) -> nn.Module:
    return spatiotemporal_conv(channels, channels, channels, kind="3d", stride=stride[0])


def _spatial(channels: int, stride: Stride) -> nn.Module:
    return spatiotemporal_conv(channels, channels, channels, kind="2d", stride=stride[1])


R3D_50 = Plan(stem=_pool_stem, middle=_full, depths=R50)

R2D_26 = Plan(
    stem=_short_stem,
    middle=_spatial,
    depths=R26,
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)),
)


def r3d_50(*, num_classes: int = 400, width: int = 64) -> BottleneckNetwork:
    """R3D-50, an expensive encoder of FASTER; 29.5 GMACs per 8x224x224 clip."""
    return BottleneckNetwork(
        "r3d_50",
        plan=R3D_50,
        num_classes=num_classes,
        width=width,
        clip=FASTER_CLIP,
        transform=FASTER_TRANSFORM,
        options={"width": width},
    )


def r2d_26(*, num_classes: int = 400, width: int = 64) -> BottleneckNetwork:
    """R2D-26, FASTER's cheap encoder; 3.2 GMACs per 8x224x224 clip. A clip has 8 frames or more."""
    return BottleneckNetwork(
        "r2d_26",
        plan=R2D_26,
        num_classes=num_classes,
        width=width,
        clip=FASTER_CLIP,
        transform=FASTER_TRANSFORM,
        options={"width": width},
    )


BUILDERS = {"r3d_50": r3d_50, "r2d_26": r2d_26}
