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
from typing import Any, Literal, cast

from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec, check_classes
from vidskim.errors import UsageError, unknown_name
from vidskim.transforms import Transform

Kind = Literal["3d", "2d", "2+1d"]
"""How a block convolves: 3x3x3, 1x3x3, or 1x3x3 then 3x1x1."""

Mid = Literal["torchvision", "vmz"]
"""Channels between 1x3x3 and 3x1x1: computed once per block (torchvision) or per convolution (VMZ,
the authors' own code, https://github.com/facebookresearch/VMZ)."""

MIDS = ("torchvision", "vmz")

CLIP_16 = ClipSpec(num_frames=16, stride=1, size=(112, 112))
CLIP_32 = ClipSpec(num_frames=32, stride=1, size=(112, 112))
TRANSFORM_112 = Transform(resize_to=(128, 171), crop=(112, 112))


def factorized_channels(in_channels: int, out_channels: int) -> int:
    """Return M such that 1x3x3 to M and 3x1x1 from M have the parameters of one 3x3x3 (sec. 3.5).

    >>> factorized_channels(64, 64), factorized_channels(64, 128)
    (144, 230)
    """
    return 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)


def _conv(
    in_channels: int, out_channels: int, mid_channels: int, *, kind: Kind, stride: int
) -> nn.Module:
    """One spatiotemporal convolution without bias, padded to keep the size at stride one."""
    if kind == "3d":
        return nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    spatial_out = out_channels if kind == "2d" else mid_channels
    spatial = nn.Conv3d(
        in_channels,
        spatial_out,
        (1, 3, 3),
        stride=(1, stride, stride),
        padding=(0, 1, 1),
        bias=False,
    )
    if kind == "2d":
        return spatial
    return nn.Sequential(
        spatial,
        nn.BatchNorm3d(mid_channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(
            mid_channels,
            out_channels,
            (3, 1, 1),
            stride=(stride, 1, 1),
            padding=(1, 0, 0),
            bias=False,
        ),
    )


class BasicBlock(nn.Module):
    """Two spatiotemporal convolutions and a shortcut, ``[N, C, T, H, W]`` to the same or halved."""

    def __init__(
        self, in_channels: int, channels: int, *, kind: Kind, stride: int, mid: Mid
    ) -> None:
        super().__init__()
        first_mid = factorized_channels(in_channels, channels)
        second_mid = factorized_channels(channels, channels) if mid == "vmz" else first_mid
        self.conv1 = nn.Sequential(
            _conv(in_channels, channels, first_mid, kind=kind, stride=stride),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            _conv(channels, channels, second_mid, kind=kind, stride=1),
            nn.BatchNorm3d(channels),
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            time_stride = 1 if kind == "2d" else stride
            strides = (time_stride, stride, stride)
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, 1, stride=strides, bias=False),
                nn.BatchNorm3d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(conv2(conv1(x)) + shortcut(x))``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.conv2(self.conv1(x))
        out += shortcut
        return cast(Tensor, self.relu(out))


def _stem(width: int, *, factorized: bool) -> nn.Sequential:
    """The first convolution: 3x7x7, or 1x7x7 to 45 channels of 64 and 3x1x1; halves H and W."""
    if not factorized:
        return nn.Sequential(
            nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
    mid_channels = max(1, 45 * width // 64)
    return nn.Sequential(
        nn.Conv3d(3, mid_channels, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(mid_channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(mid_channels, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


class ResNet3d(nn.Module):
    """A residual network over space and time; keeps the contract of `contract.Backbone`.

    Args:
        name: what the registry calls it.
        kinds: how the four stages convolve.
        depths: blocks per stage.
        num_classes: classes of the head.
        width: channels of the stem and res2, 64 in the papers; later stages have 2, 4 and 8 times.
        mid: channels inside factorized convolutions.
        clip: the clip it is made for.
        options: what the builder was called with, for checkpoints.

    Raises:
        UsageError: a width or number of classes below one, or an unknown ``mid``.
    """

    def __init__(
        self,
        name: str,
        *,
        kinds: Sequence[Kind],
        depths: Sequence[int],
        num_classes: int,
        width: int,
        mid: Mid,
        clip: ClipSpec,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"width is at least one channel, got {width} (64 is the full network)")
        if mid not in MIDS:
            raise unknown_name("mid", mid, MIDS)
        check_classes(num_classes, None)
        self.name = name
        self.options: Mapping[str, Any] = dict(options)
        self.num_features = 8 * width
        self.num_classes = num_classes
        self.classes: tuple[str, ...] | None = None
        self.stages: tuple[str, ...] = ("stem", "res2", "res3", "res4", "res5")
        self.clip: ClipSpec | None = clip
        self.transform: Transform | None = TRANSFORM_112
        self.stem = _stem(width, factorized=kinds[0] == "2+1d")
        in_channels = width
        for i, (kind, depth) in enumerate(zip(kinds, depths, strict=True)):
            channels = width << i
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(BasicBlock(in_channels, channels, kind=kind, stride=stride, mid=mid))
                in_channels = channels
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(self.num_features, num_classes)
        _initialize(self)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return the stem and the four residual stages."""
        return (self.stem, *(self.get_submodule(f"layer{i}") for i in range(1, 5)))

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to ``[N, C, T', H', W']``, C = 8 ``width``.

        H' and W' are 1/16 of the input's, T' is 1/8 (R3D, R(2+1)D) or all (MC3), rounded up.
        """
        for stage in self.stage_modules():
            x = stage(x)
        return x

    def classify(self, features: Tensor) -> Tensor:
        """Average ``[N, C, T', H', W']`` over time and space and map it to logits."""
        return cast(Tensor, self.fc(self.avgpool(features).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` to logits ``[N, num_classes]``."""
        return self.classify(self.features(x))

    def reset_classifier(self, num_classes: int, *, classes: tuple[str, ...] | None = None) -> None:
        """Replace the head by an untrained one for other classes.

        Raises:
            UsageError: fewer than one class, or names that do not fit the number.
        """
        check_classes(num_classes, classes)
        old = self.fc.weight
        self.fc = nn.Linear(self.num_features, num_classes, device=old.device, dtype=old.dtype)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)
        self.num_classes = num_classes
        self.classes = classes


def _initialize(network: nn.Module) -> None:
    """He et al. 2015 for convolutions, small Gaussians for the head."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


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
    """R(2+1)D-18; 40.5 GMACs per 16x112x112 clip (41.5 with ``mid="vmz"``)."""
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


def r2plus1d_34(*, num_classes: int = 400, width: int = 64, mid: Mid = "vmz") -> ResNet3d:
    """R(2+1)D-34; 152.4 GMACs per 32x112x112 clip."""
    return ResNet3d(
        "r2plus1d_34",
        kinds=("2+1d",) * 4,
        depths=(3, 4, 6, 3),
        num_classes=num_classes,
        width=width,
        mid=mid,
        clip=CLIP_32,
        options={"width": width, "mid": mid},
    )
