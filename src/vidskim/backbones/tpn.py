"""TPN-50: a pyramid over the tempo of res4 and res5, above Slow-only R50.

Yang et al., "Temporal Pyramid Network for Action Recognition", CVPR 2020, section 3; sizes after
the authors' own configurations (https://github.com/decisionforce/TPN). Time is kept until the neck,
which pools all frames of the clip into one step.

================  ==========================  =========================================
part              what it does                convolution
================  ==========================  =========================================
spatial           res4 to the shape of res5   1x3x3, stride 2
temporal          each level, then its time   3x1x1 in 32 groups, max pool over frames
                  pooled
top-down          adds res5 to res4           none
bottom-up         adds that sum to res5       3x1x1
fusions           both levels to one map      1x1x1 in 32 groups each, then 1x1x1
================  ==========================  =========================================

The head on res4 that helps training is no part of the network: its answer is not used.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vidskim.backbones.blocks import (
    R50,
    RESNET_STAGES,
    check_width,
    close_branches,
    conv_norm,
    spatial_pool,
)
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.slow import SLOW_KERNELS, bottleneck_stage
from vidskim.clips.transform import IMAGENET_MEAN, IMAGENET_STD, Transform

STAGES = {**RESNET_STAGES, "neck": "neck"}

TPN_TRANSFORM = Transform(short_side=256, crop=(256, 256), mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""As the authors test: frames of 256 pixels a side, ImageNet's mean and deviation."""

GROUPS = 32


class TemporalPyramidNetwork(Network):
    """Slow-only R50 whose res4 and res5 meet in a `TempoPyramid`.

    A split after res2, res3 or res4 hands on one map, a split after res5 the maps of res4 and res5.

    Args:
        name: what the registry calls it.
        clip: the clip it is made for; the neck pools as many frames as it has.
        num_classes: classes of the head.
        width: channels of the stem, 64 in the paper.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(self, name: str, *, clip: ClipSpec, num_classes: int, width: int) -> None:
        super().__init__(
            name, stages=STAGES, clip=clip, transform=TPN_TRANSFORM, options={"width": width}
        )
        check_width(width)
        self.stem = nn.Sequential(*conv_norm(3, width, (1, 7, 7), stride=(1, 2, 2)), spatial_pool())
        in_channels = width
        for i, (depth, kernels) in enumerate(zip(R50, SLOW_KERNELS, strict=True)):
            stage = bottleneck_stage(
                in_channels, width << i, depth, stride=1 if i == 0 else 2, time_kernels=kernels
            )
            self.add_module(f"layer{i + 1}", BesideInput(*stage) if i == 3 else stage)
            in_channels = 4 * width << i
        initialize_convolutions(self)
        close_branches(self)
        self.neck = TempoPyramid(in_channels, pooled_frames=clip.num_frames)
        self.add_head(in_channels, num_classes, dropout=0.5)


class BesideInput(nn.Sequential):
    """A stage that hands its input on: ``x`` to ``(x, stage(x))``."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map res4 ``[N, C, T, H, W]`` to it and res5 ``[N, 2 C, T, H / 2, W / 2]``."""
        out = x
        for block in self:
            out = block(out)
        return x, out


class TempoPyramid(nn.Module):
    """The neck: res4 and res5 to one map, with time pooled.

    Args:
        channels: of res5 and of the result; res4 and the levels inside have half of them.
        pooled_frames: of each step of the result.
    """

    def __init__(self, channels: int, *, pooled_frames: int) -> None:
        super().__init__()
        level = channels // 2
        groups = math.gcd(GROUPS, level)  # odd widths have half the groups
        self.spatial = conv_norm(level, channels, (1, 3, 3), stride=(1, 2, 2))
        self.temporal = nn.ModuleList(
            nn.Conv3d(channels, level, (3, 1, 1), padding=(1, 0, 0), groups=groups, bias=False)
            for _ in range(2)
        )
        # a clip of another length gives a last step of fewer frames, as in the authors' code
        self.pool = nn.MaxPool3d((pooled_frames, 1, 1), ceil_mode=True)
        self.upward = nn.Conv3d(level, level, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.top_down = LevelFusion(level, channels, groups=groups)
        self.bottom_up = LevelFusion(level, channels, groups=groups)
        self.fuse = conv_norm(2 * channels, channels, (1, 1, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):  # as the authors do
                nn.init.xavier_uniform_(module.weight)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse both levels; the bottom-up flow starts from the top-down flow's sum (cascade flow).

        Args:
            maps: res4 ``[N, C / 2, T, H, W]`` and res5 ``[N, C, T, H / 2, W / 2]``.

        Returns:
            ``[N, C, T / pooled_frames, H / 2, W / 2]``, T rounded up.
        """
        res4, res5 = maps
        lower = self.pool(self.temporal[0](self.spatial(res4)))
        upper = self.pool(self.temporal[1](res5))
        lower = lower + upper  # of one size by now: the top-down flow has nothing to upsample
        down = self.top_down(lower, upper)
        up = self.bottom_up(lower, upper + self.upward(lower))
        return cast(Tensor, self.fuse(torch.cat((down, up), dim=1)))


class LevelFusion(nn.Module):
    """Two levels ``[N, level, T, H, W]`` to ``[N, channels, T, H, W]``."""

    def __init__(self, level: int, channels: int, *, groups: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(level, level, 1, groups=groups, bias=False),
                nn.BatchNorm3d(level),
                nn.ReLU(inplace=True),
            )
            for _ in range(2)
        )
        self.fuse = conv_norm(2 * level, channels, (1, 1, 1))

    def forward(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Convolve each level, then both together."""
        both = torch.cat((self.levels[0](lower), self.levels[1](upper)), dim=1)
        return cast(Tensor, self.fuse(both))


def _tpn_r50(
    num_frames: int, stride: int, *, num_classes: int, width: int
) -> TemporalPyramidNetwork:
    return TemporalPyramidNetwork(
        f"tpn_r50_{num_frames}x{stride}",
        clip=ClipSpec(num_frames, stride, (256, 256)),
        num_classes=num_classes,
        width=width,
    )


def tpn_r50_8x8(*, num_classes: int = 400, width: int = 64) -> TemporalPyramidNetwork:
    """TPN-50, 8 frames at stride 8; 65.7 GMACs per 8x256x256 clip."""
    return _tpn_r50(8, 8, num_classes=num_classes, width=width)


def tpn_r50_16x4(*, num_classes: int = 400, width: int = 64) -> TemporalPyramidNetwork:
    """TPN-50, 16 frames at stride 4; 130.0 GMACs per 16x256x256 clip."""
    return _tpn_r50(16, 4, num_classes=num_classes, width=width)


def tpn_r50_32x2(*, num_classes: int = 400, width: int = 64) -> TemporalPyramidNetwork:
    """TPN-50, 32 frames at stride 2; 258.8 GMACs per 32x256x256 clip."""
    return _tpn_r50(32, 2, num_classes=num_classes, width=width)


BUILDERS = {
    "tpn_r50_8x8": tpn_r50_8x8,
    "tpn_r50_16x4": tpn_r50_16x4,
    "tpn_r50_32x2": tpn_r50_32x2,
}
