"""ShuffleNet-26 and -50 on images, residuals and motion maps: SCSampler's lightest look.

Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
CVPR 2018, table 1 at 0.5x with three groups, the smallest network it measures. That one has 50
layers (4, 8 and 4 units of three). SCSampler (section 3.2.1) speaks of 26 layers and gives no
table: half the units, (2, 4, 2), is the reading that leads to 26 and keeps the rest.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.resnet2d import STEMS, Stem
from vidskim.errors import UsageError, unknown_name

GROUPS = 3
"""Groups of the 1x1 convolutions."""

STAGES = {"stem": "stem", "stage2": "stage2", "stage3": "stage3", "stage4": "stage4"}


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1, and a shortcut (figure 2 b and c).

    At stride one the input is added; at stride two it is averaged over 3x3 and concatenated, so
    that the branch makes only the channels that are new.

    Args:
        in_channels: of the input.
        channels: of the output; at stride one the same.
        stride: of height and width, 1 or 2.
        grouped: whether the first 1x1 is; the paper leaves it whole where the input is thin.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int, grouped: bool) -> None:
        super().__init__()
        mid_channels = channels // 4
        made = channels - in_channels if stride == 2 else channels
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, groups=GROUPS if grouped else 1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
        )
        self.shuffle = nn.ChannelShuffle(GROUPS)
        self.depthwise = nn.Sequential(
            nn.Conv2d(
                mid_channels,
                mid_channels,
                3,
                stride=stride,
                padding=1,
                groups=mid_channels,
                bias=False,
            ),
            nn.BatchNorm2d(mid_channels),
        )
        self.expand = nn.Sequential(
            nn.Conv2d(mid_channels, made, 1, groups=GROUPS, bias=False), nn.BatchNorm2d(made)
        )
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same, or to more channels on half the map."""
        made = self.expand(self.depthwise(self.shuffle(self.reduce(x))))
        if self.pool is None:
            return cast(Tensor, self.relu(x + made))
        return cast(Tensor, self.relu(torch.cat((self.pool(x), made), dim=1)))


class ShuffleNet(Network):
    """ShuffleNet over ``[N, C, H, W]``; keeps `contract.Backbone` with one dimension less.

    Args:
        name: what the registry calls it.
        in_channels: 3 for images and residuals, 2 for motion.
        depths: units of the three stages, the one at stride two included.
        num_classes: classes of the head.
        width: 64 is the paper's 0.5x, with 12 channels in the stem and 120, 240 and 480 in the
            stages; others scale these, rounded to whole groups. So ``width`` means the same share
            of the full network here and in ResNet-18.
        stem: 3x3 at stride 2 with max pooling (1/4 of the size), or 3x3 at stride 1 for maps of
            few cells.

    Raises:
        UsageError: channels or classes below one, or an unknown stem.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int,
        depths: Sequence[int],
        num_classes: int,
        width: int,
        stem: Stem,
    ) -> None:
        super().__init__(
            name,
            stages=STAGES,
            clip=None,
            transform=None,
            options={"in_channels": in_channels, "width": width, "stem": stem},
        )
        if in_channels < 1 or width < 1:
            raise UsageError(
                f"in_channels and width are at least one, got {in_channels} and {width}"
            )
        if stem not in STEMS:
            raise unknown_name("stem", stem, STEMS)
        channels = GROUPS * max(1, round(4 * width / 64))
        stride = 2 if stem == "imagenet" else 1
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        if stem == "imagenet":
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        before = channels
        first_stage = 4 * GROUPS * max(1, round(10 * width / 64))
        for i, depth in enumerate(depths):
            after = first_stage << i
            units = [ShuffleUnit(before, after, stride=2, grouped=i > 0)]
            units += [ShuffleUnit(after, after, stride=1, grouped=True) for _ in range(depth - 1)]
            self.add_module(f"stage{i + 2}", nn.Sequential(*units))
            before = after
        initialize_convolutions(self)
        self.add_head(before, num_classes)


def shufflenet_26(
    *, in_channels: int = 3, num_classes: int = 400, width: int = 64, stem: Stem = "imagenet"
) -> ShuffleNet:
    """ShuffleNet 0.5x of 26 layers; 21.3 MMACs per 3x224x224 image (1,000 classes: 21.6)."""
    return ShuffleNet(
        "shufflenet_26",
        in_channels=in_channels,
        depths=(2, 4, 2),
        num_classes=num_classes,
        width=width,
        stem=stem,
    )


def shufflenet_50(
    *, in_channels: int = 3, num_classes: int = 400, width: int = 64, stem: Stem = "imagenet"
) -> ShuffleNet:
    """ShuffleNet 0.5x of 50 layers, as published; 37.3 MMACs (1,000 classes: 37.6)."""
    return ShuffleNet(
        "shufflenet_50",
        in_channels=in_channels,
        depths=(4, 8, 4),
        num_classes=num_classes,
        width=width,
        stem=stem,
    )


BUILDERS = {"shufflenet_26": shufflenet_26, "shufflenet_50": shufflenet_50}
