"""X3D: one small network expanded step by step, channel-wise 3x3x3 convolutions in bottlenecks.

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020, table 3;
widths, depths, clips and crops as in the author's code (PySlowFast, configs/Kinetics/X3D_*.yaml).
No stage strides time. Every second block of a stage weighs its channels (squeeze and excitation),
and the head has a hidden layer between pooling and classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.blocks import RESNET_STAGES, check_width, close_branches, conv_norm, shortcut
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.clips.transform import Transform

STAGES = {**RESNET_STAGES, "conv5": "conv5"}

SMALL = (3, 5, 11, 7)
"""Blocks per stage of XS, S and M: 1, 2, 5, 3 times a depth factor of 2.2, rounded up."""

LARGE = (5, 10, 25, 15)
"""Blocks per stage of L: depth factor 5."""

EXPANSION = 2.25
"""Channels of the 3x3x3 convolutions per channel of the block's output."""

SQUEEZE = 1 / 16
"""Channels between squeeze and excitation per channel of the block's 3x3x3 convolution."""

HIDDEN = 2048
"""Features of the layer between pooling and classes, at every width."""


class X3D(Network):
    """A network of channel-wise bottlenecks, ``[N, 3, T, H, W]`` to ``[N, 432, T, H/32, W/32]``.

    Args:
        name: what the registry calls it.
        depths: blocks per stage.
        num_classes: classes of the head.
        width: channels of the stem and of res2, 24 in the paper; each later stage has twice as
            many, rounded to multiples of eight.
        shortcut_norm: batch norm after the projection around the first block of res2, which
            changes no number of channels. PySlowFast has it, PyTorchVideo has not.
        clip: the clip it is made for.
        short_side: of its frames before the crop, in pixels.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(
        self,
        name: str,
        *,
        depths: Sequence[int],
        num_classes: int,
        width: int,
        shortcut_norm: bool,
        clip: ClipSpec,
        short_side: int,
        options: Mapping[str, Any],
    ) -> None:
        transform = Transform(
            short_side=short_side,
            crop=clip.size,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
        )
        super().__init__(name, stages=STAGES, clip=clip, transform=transform, options=options)
        check_width(width)
        channels = round_channels(width)
        self.stem = nn.Sequential(
            nn.Conv3d(3, channels, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
            _channelwise(channels, (5, 1, 1)),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )
        in_channels = channels
        for i, depth in enumerate(depths):
            if i > 0:
                channels = round_channels(2 * channels)
            self.add_module(
                f"layer{i + 1}",
                nn.Sequential(
                    *(
                        ChannelwiseBottleneck(
                            in_channels if j == 0 else channels,
                            channels,
                            stride=2 if j == 0 else 1,
                            squeeze=j % 2 == 0,
                            shortcut_norm=shortcut_norm or in_channels != channels,
                        )
                        for j in range(depth)
                    )
                ),
            )
            in_channels = channels
        num_features = int(EXPANSION * channels)
        self.conv5 = conv_norm(channels, num_features, (1, 1, 1))
        initialize_convolutions(self)
        close_branches(self)
        self.lin5 = nn.Linear(num_features, HIDDEN, bias=False)
        nn.init.kaiming_normal_(self.lin5.weight, mode="fan_out", nonlinearity="relu")
        self.add_head(HIDDEN, num_classes, dropout=0.5)
        self.num_features = num_features

    def score(self, pooled: Tensor) -> Tensor:
        """Map mean features ``[..., C]`` over the hidden layer to logits ``[..., num_classes]``."""
        return super().score(torch.relu(self.lin5(pooled)))


class ChannelwiseBottleneck(nn.Module):
    """1x1x1, channel-wise 3x3x3, 1x1x1 and a shortcut; SiLU (swish) after the 3x3x3.

    Args:
        in_channels: of the input.
        channels: of the output.
        stride: of height and width.
        squeeze: weigh the channels of the 3x3x3 before its nonlinearity.
        shortcut_norm: batch norm after the shortcut's projection, where there is one.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, squeeze: bool, shortcut_norm: bool
    ) -> None:
        super().__init__()
        mid_channels = int(EXPANSION * channels)
        self.conv1 = conv_norm(in_channels, mid_channels, (1, 1, 1))
        self.conv2 = nn.Sequential(
            _channelwise(mid_channels, (3, 3, 3), stride=stride), nn.BatchNorm3d(mid_channels)
        )
        self.se = SqueezeExcitation(mid_channels) if squeeze else None
        self.conv3 = conv_norm(mid_channels, channels, (1, 1, 1), relu=False)
        self.downsample = shortcut(in_channels, channels, stride=(1, stride, stride))
        if isinstance(self.downsample, nn.Sequential) and not shortcut_norm:
            self.downsample = self.downsample[:1]
        self.silu = nn.SiLU(inplace=True)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, T, H, W]`` to the same, or to half of H and W."""
        across = x if self.downsample is None else self.downsample(x)
        out = self.conv2(self.conv1(x))
        if self.se is not None:
            out = self.se(out)
        out = self.conv3(self.silu(out))
        out += across
        return cast(Tensor, self.relu(out))


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what all channels' means say (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(SQUEEZE * channels)
        self.fc1 = nn.Conv3d(channels, squeezed, 1)
        self.fc2 = nn.Conv3d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of ``[N, C, T, H, W]`` by numbers in (0, 1)."""
        mean = x.mean((2, 3, 4), keepdim=True)  # [N, C, 1, 1, 1]
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


def round_channels(channels: float) -> int:
    """Round to the nearest multiple of eight, at least eight and at least 90 percent.

    >>> round_channels(24), round_channels(3.4), round_channels(27), round_channels(43)
    (24, 8, 32, 40)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _channelwise(channels: int, kernel: tuple[int, int, int], *, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(
        channels,
        channels,
        kernel,
        stride=(1, stride, stride),
        padding=(kernel[0] // 2, kernel[1] // 2, kernel[2] // 2),
        groups=channels,
        bias=False,
    )


def _x3d(
    name: str,
    *,
    clip: ClipSpec,
    short_side: int,
    depths: Sequence[int] = SMALL,
    num_classes: int,
    width: int,
    shortcut_norm: bool,
) -> X3D:
    return X3D(
        name,
        depths=depths,
        num_classes=num_classes,
        width=width,
        shortcut_norm=shortcut_norm,
        clip=clip,
        short_side=short_side,
        options={"width": width, "shortcut_norm": shortcut_norm},
    )


def x3d_xs(*, num_classes: int = 400, width: int = 24, shortcut_norm: bool = True) -> X3D:
    """X3D-XS, 4 frames at stride 12, 0.605 GMACs per 4x160x160 clip."""
    return _x3d(
        "x3d_xs",
        clip=ClipSpec(4, 12, (160, 160)),
        short_side=182,
        num_classes=num_classes,
        width=width,
        shortcut_norm=shortcut_norm,
    )


def x3d_s(*, num_classes: int = 400, width: int = 24, shortcut_norm: bool = True) -> X3D:
    """X3D-S, 13 frames at stride 6, 1.96 GMACs per 13x160x160 clip."""
    return _x3d(
        "x3d_s",
        clip=ClipSpec(13, 6, (160, 160)),
        short_side=182,
        num_classes=num_classes,
        width=width,
        shortcut_norm=shortcut_norm,
    )


def x3d_m(*, num_classes: int = 400, width: int = 24, shortcut_norm: bool = True) -> X3D:
    """X3D-M, 16 frames at stride 5, 4.73 GMACs per 16x224x224 clip."""
    return _x3d(
        "x3d_m",
        clip=ClipSpec(16, 5, (224, 224)),
        short_side=256,
        num_classes=num_classes,
        width=width,
        shortcut_norm=shortcut_norm,
    )


def x3d_l(*, num_classes: int = 400, width: int = 24, shortcut_norm: bool = True) -> X3D:
    """X3D-L, 16 frames at stride 5, more than twice as deep, 18.4 GMACs per 16x312x312 clip."""
    return _x3d(
        "x3d_l",
        clip=ClipSpec(16, 5, (312, 312)),
        short_side=356,
        depths=LARGE,
        num_classes=num_classes,
        width=width,
        shortcut_norm=shortcut_norm,
    )


BUILDERS = {"x3d_xs": x3d_xs, "x3d_s": x3d_s, "x3d_m": x3d_m, "x3d_l": x3d_l}

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = dict.fromkeys(
    BUILDERS, ({}, {"shortcut_norm": False})
)
"""Options to try when a checkpoint in our own names is identified."""
