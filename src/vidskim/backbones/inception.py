"""I3D: Inception-v1 inflated to three dimensions, and the blocks and head it shares with S3D.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
CVPR 2017, figure 3. Stages are named by the resolution they work at, as in the residual networks:
each of res2 to res5 begins with the max pooling that halves the map.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, max_pool3d, pad

from vidskim.backbones.blocks import RESNET_STAGES, check_width, conv_norm, set_norm_eps
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.clips.transform import Transform
from vidskim.errors import unknown_name

Padding = Literal["same", "fixed"]
"""How strided layers pad: as TensorFlow does, by what the size at hand lacks to whole strides, or
always by what a size of whole strides lacks. The two differ where a side is odd."""

PADDINGS = ("same", "fixed")

NORM_EPS = 1e-3
"""Batch norm's epsilon in TensorFlow's Inception networks."""

BLOCKS = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""Channels within the blocks of res3, res4 and res5 (Mixed_3b to Mixed_5c): `InceptionBlock`."""

HEAD_WINDOW = (2, 7, 7)
"""What the head averages over before it averages over places."""

Convolution = Callable[[int, int], nn.Module]
"""Builds a 3x3x3 convolution with batch norm and ReLU, or what a family has in its place."""


class InceptionNetwork(Network):
    """What I3D and S3D share: Inception's stages from res3 on, and a head over windows."""

    slides_by_itself = True

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, num_classes]``.

        The published networks average windows of 2x7x7, one step apart, then the logits of all
        windows. A map of the training size, 7x7, thus counts its first and last time steps half
        where it has more than two; a map smaller than the window is averaged whole. With
        `head_window` set the head slides as those of the other families do.
        """
        if self.head_window is not None:
            return super().classify(features)
        return self.score(average_windows(features))

    def takes_mean(self) -> bool:
        """Say no: places in the middle of a map lie in more windows than those at its edges."""
        return False

    def add_inception_stages(
        self, in_channels: int, *, width: int, conv: Convolution, pools: Sequence[nn.Module]
    ) -> int:
        """Add res3 to res5 as ``layer2`` to ``layer4``.

        Args:
            in_channels: of the map that enters res3.
            width: channels of the stem, to whose 64 `BLOCKS` is relative.
            conv: builds the 3x3x3 convolutions.
            pools: what each of the three stages begins with.

        Returns:
            Channels of the last map.
        """
        for n, (pool, stage) in enumerate(zip(pools, BLOCKS, strict=True), start=2):
            blocks = [pool]
            for full in stage:
                channels = [scale_channels(c, width=width) for c in full]
                block = InceptionBlock(in_channels, channels, conv=conv)
                blocks.append(block)
                in_channels = block.out_channels
            self.add_module(f"layer{n}", nn.Sequential(*blocks))
        return in_channels


class InceptionBlock(nn.Module):
    """Four branches side by side, ``[N, C, T, H, W]`` to ``[N, C', T, H, W]``.

    Args:
        in_channels: of the input.
        channels: of 1x1x1; of 1x1x1 and the 3x3x3 after it; the same again; of 1x1x1 after max
            pooling.
        conv: builds the 3x3x3 convolutions.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], *, conv: Convolution) -> None:
        super().__init__()
        c0, mid1, c1, mid2, c2, c3 = channels
        self.out_channels = c0 + c1 + c2 + c3
        self.branch0 = conv_norm(in_channels, c0, (1, 1, 1))
        self.branch1 = nn.Sequential(conv_norm(in_channels, mid1, (1, 1, 1)), conv(mid1, c1))
        self.branch2 = nn.Sequential(conv_norm(in_channels, mid2, (1, 1, 1)), conv(mid2, c2))
        self.branch3 = nn.Sequential(
            nn.MaxPool3d(3, stride=1, padding=1), conv_norm(in_channels, c3, (1, 1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' maps, one after another in the channels."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x) for branch in branches], dim=1)


class InceptionI3D(InceptionNetwork):
    """I3D on RGB, ``[N, 3, T, H, W]`` to ``[N, 1024, T/8, H/32, W/32]``, rounded up.

    Args:
        num_classes: classes of the head.
        width: channels of the stem, 64 in the paper.
        padding: of the stem and the poolings between stages; "fixed" rounds a few sides down.

    Raises:
        UsageError: a width or number of classes below one, or an unknown padding.
    """

    def __init__(self, *, num_classes: int, width: int, padding: Padding) -> None:
        super().__init__(
            "i3d_rgb",
            stages=RESNET_STAGES,
            clip=ClipSpec(num_frames=64, stride=1, size=(224, 224)),
            transform=Transform(
                short_side=256, crop=(224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
            ),
            options={"width": width, "padding": padding},
        )
        check_width(width)
        if padding not in PADDINGS:
            raise unknown_name("padding", padding, PADDINGS)
        self.stem = nn.Sequential(
            PaddedConv3d(3, width, 7, stride=2, padding=padding),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        channels = scale_channels(192, width=width)
        self.layer1 = nn.Sequential(
            PaddedMaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=padding),
            conv_norm(width, width, (1, 1, 1)),
            cube_conv(width, channels),
        )
        channels = self.add_inception_stages(
            channels,
            width=width,
            conv=cube_conv,
            pools=(
                PaddedMaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=padding),
                PaddedMaxPool3d((3, 3, 3), stride=(2, 2, 2), padding=padding),
                PaddedMaxPool3d((2, 2, 2), stride=(2, 2, 2), padding=padding),
            ),
        )
        set_norm_eps(self, NORM_EPS)
        initialize_convolutions(self)
        self.add_head(channels, num_classes, dropout=0.5)


class PaddedConv3d(nn.Conv3d):
    """A cubic convolution without bias whose padding follows the size of its input."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int, padding: Padding
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, bias=False)
        self.same = padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, T, H, W]`` to ``[N, C', T/stride, H/stride, W/stride]``, rounded up."""
        # the port with fixed padding pads time by its size all the same
        exact = (True, self.same, self.same)
        return super().forward(pad_ends(x, self.kernel_size, self.stride, exact=exact))


class PaddedMaxPool3d(nn.Module):
    """Max pooling of what is not negative, padded by zeros."""

    def __init__(
        self, kernel: tuple[int, int, int], *, stride: tuple[int, int, int], padding: Padding
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.same = padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, T, H, W]`` to sizes divided by the stride, rounded up."""
        padded = pad_ends(x, self.kernel, self.stride, exact=(self.same,) * 3)
        return max_pool3d(padded, self.kernel, self.stride, ceil_mode=True)


def pad_ends(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], *, exact: Sequence[bool]
) -> Tensor:
    """Pad time, height and width by zeros, the odd one at the end.

    Args:
        x: ``[N, C, T, H, W]``.
        kernel: of the layer that follows.
        stride: of that layer.
        exact: for each dimension, whether to pad by the size at hand or as if it were a multiple of
            the stride.
    """
    sides: list[int] = []
    for size, k, s, by_size in zip(x.shape[2:], kernel, stride, exact, strict=True):
        rest = (size % s if by_size else 0) or s
        total = max(k - rest, 0)
        sides = [total // 2, total - total // 2, *sides]  # `pad` counts from the last dimension
    return pad(x, sides)


def average_windows(features: Tensor) -> Tensor:
    """Average a map over `HEAD_WINDOW` at every place, then over the places.

    Args:
        features: ``[N, C, T, H, W]``; a map smaller than the window is averaged whole.

    Returns:
        ``[N, C]``.
    """
    sizes = zip(HEAD_WINDOW, features.shape[2:], strict=True)
    window = tuple(min(w, size) for w, size in sizes)
    return avg_pool3d(features, window, stride=1).flatten(2).mean(2)


def scale_channels(channels: int, *, width: int) -> int:
    """Return the channels of a layer that has ``channels`` where the stem has 64."""
    return max(1, channels * width // 64)


def cube_conv(in_channels: int, channels: int) -> nn.Sequential:
    """Build a 3x3x3 convolution, batch norm and ReLU."""
    return conv_norm(in_channels, channels, (3, 3, 3))


def i3d_rgb(*, num_classes: int = 400, width: int = 64, padding: Padding = "same") -> InceptionI3D:
    """I3D on RGB, 111 GMACs per 64x224x224 clip."""
    return InceptionI3D(num_classes=num_classes, width=width, padding=padding)


BUILDERS = {"i3d_rgb": i3d_rgb}
