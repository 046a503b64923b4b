"""Convolutions, stems and residual blocks that the residual families share.

Parameters are named as in torchvision and VMZ: a block has ``conv1``, ``conv2`` (and ``conv3``),
each convolution and batch norm in sequence, and ``downsample`` where its shape changes.
"""

from typing import Literal, cast

from torch import Tensor, nn

from vidskim.errors import UsageError

Kind = Literal["3d", "2d", "2+1d"]
"""How a block convolves: 3x3x3, 1x3x3, or 1x3x3 then 3x1x1."""

Mid = Literal["torchvision", "vmz"]
"""Channels between 1x3x3 and 3x1x1: computed once per block (torchvision) or per convolution (VMZ,
the authors' own code, https://github.com/facebookresearch/VMZ)."""

MIDS = ("torchvision", "vmz")

R26 = (2, 2, 2, 2)
R50 = (3, 4, 6, 3)
R101 = (3, 4, 23, 3)
R152 = (3, 8, 36, 3)
"""Bottleneck blocks per stage."""

VMZ_NORM_EPS = 1e-3
"""Batch norm's epsilon in the networks that VMZ published; elsewhere PyTorch's 1e-5."""

RESNET_STAGES = {
    "stem": "stem",
    "res2": "layer1",
    "res3": "layer2",
    "res4": "layer3",
    "res5": "layer4",
}
"""Stages of a residual network and the attributes that hold them."""


def check_width(width: int) -> None:
    """Refuse a network without channels.

    Raises:
        UsageError: a width below one.
    """
    if width < 1:
        raise UsageError(f"width is at least one channel, got {width} (64 is the full network)")


def set_norm_eps(network: nn.Module, eps: float) -> None:
    """Set epsilon of every batch norm."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d | nn.BatchNorm2d):
            module.eps = eps


def close_branches(network: nn.Module) -> None:
    """Let every bottleneck block begin as its shortcut: the scale of its last norm is zero.

    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1; PySlowFast's
    ``ZERO_INIT_FINAL_BN``, on in all its configurations.
    """
    for module in network.modules():
        branch = getattr(module, "conv3", None)
        if isinstance(branch, nn.Sequential) and isinstance(branch[-1], nn.BatchNorm3d):
            nn.init.zeros_(branch[-1].weight)


def factorized_channels(in_channels: int, out_channels: int) -> int:
    """Return M such that 1x3x3 to M and 3x1x1 from M have the parameters of one 3x3x3.

    Tran et al. 2018, section 3.5.

    >>> factorized_channels(64, 64), factorized_channels(64, 128)
    (144, 230)
    """
    return 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)


def spatiotemporal_conv(
    in_channels: int, out_channels: int, mid_channels: int, *, kind: Kind, stride: int
) -> nn.Module:
    """One spatiotemporal convolution without bias, padded to keep the size at stride one.

    ``stride`` is over space, and over time too except for kind ``2d``; kind ``2+1d`` strides space
    in its 1x3x3 and time in its 3x1x1.
    """
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


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int, int],
    *,
    stride: tuple[int, int, int] = (1, 1, 1),
    relu: bool = True,
) -> nn.Sequential:
    """Convolution without bias, padded by half its kernel, batch norm and, mostly, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv3d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=(kernel[0] // 2, kernel[1] // 2, kernel[2] // 2),
            bias=False,
        ),
        nn.BatchNorm3d(out_channels),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def basic_stem(width: int, *, factorized: bool) -> nn.Sequential:
    """The first convolution: 3x7x7, or 1x7x7 to 45 channels of 64 and 3x1x1; halves H and W."""
    if not factorized:
        return conv_norm(3, width, (3, 7, 7), stride=(1, 2, 2))
    mid_channels = max(1, 45 * width // 64)
    return nn.Sequential(
        *conv_norm(3, mid_channels, (1, 7, 7), stride=(1, 2, 2)),
        *conv_norm(mid_channels, width, (3, 1, 1)),
    )


def spatial_pool(*, time_stride: int = 1) -> nn.MaxPool3d:
    """Return max pooling 1x3x3 at spatial stride 2, what follows the stem of most networks."""
    return nn.MaxPool3d((1, 3, 3), stride=(time_stride, 2, 2), padding=(0, 1, 1))


class BasicBlock(nn.Module):
    """Two spatiotemporal convolutions and a shortcut, ``[N, C, T, H, W]`` to the same or halved."""

    def __init__(
        self, in_channels: int, channels: int, *, kind: Kind, stride: int, mid: Mid
    ) -> None:
        super().__init__()
        first_mid = factorized_channels(in_channels, channels)
        second_mid = factorized_channels(channels, channels) if mid == "vmz" else first_mid
        self.conv1 = nn.Sequential(
            spatiotemporal_conv(in_channels, channels, first_mid, kind=kind, stride=stride),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            spatiotemporal_conv(channels, channels, second_mid, kind=kind, stride=1),
            nn.BatchNorm3d(channels),
        )
        self.relu = nn.ReLU(inplace=True)
        time_stride = 1 if kind == "2d" else stride
        self.downsample = shortcut(in_channels, channels, stride=(time_stride, stride, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(conv2(conv1(x)) + shortcut(x))``."""
        across = x if self.downsample is None else self.downsample(x)
        out = self.conv2(self.conv1(x))
        out += across
        return cast(Tensor, self.relu(out))


class Bottleneck(nn.Module):
    """Reduce, convolve, expand and a shortcut, ``[N, C, T, H, W]`` to the same or strided.

    Args:
        in_channels: of the input.
        mid_channels: inside.
        channels: of the output, four times ``mid_channels`` in most networks.
        middle: the convolution inside, ``mid_channels`` to ``mid_channels``, with the block's
            stride in it.
        stride: what ``middle`` strides by over (time, height, width); the shortcut does the same.
        time_kernel: of the first convolution, ``time_kernel`` x 1 x 1.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        channels: int,
        *,
        middle: nn.Module,
        stride: tuple[int, int, int] = (1, 1, 1),
        time_kernel: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = conv_norm(in_channels, mid_channels, (time_kernel, 1, 1))
        self.conv2 = nn.Sequential(middle, nn.BatchNorm3d(mid_channels), nn.ReLU(inplace=True))
        self.conv3 = conv_norm(mid_channels, channels, (1, 1, 1), relu=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(conv3(conv2(conv1(x))) + shortcut(x))``."""
        across = x if self.downsample is None else self.downsample(x)
        out = self.conv3(self.conv2(self.conv1(x)))
        out += across
        return cast(Tensor, self.relu(out))


def shortcut(in_channels: int, channels: int, *, stride: tuple[int, int, int]) -> nn.Module | None:
    """Return a strided 1x1x1 projection where a block changes its shape, None where it does not."""
    if stride == (1, 1, 1) and in_channels == channels:
        return None
    return conv_norm(in_channels, channels, (1, 1, 1), stride=stride, relu=False)
