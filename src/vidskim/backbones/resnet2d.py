"""ResNet-18 on images, RGB residuals and motion maps: the cheap look of SCSampler (section 3.2).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. Parameters are named
as in torchvision, so that ImageNet weights load unchanged; a test holds both to the same outputs.
"""

from typing import Literal, cast

from torch import Tensor, nn

from vidskim.backbones.blocks import RESNET_STAGES
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.errors import UsageError, unknown_name

Stem = Literal["imagenet", "small"]
"""7x7 at stride 2 with max pooling (1/4 of the size), or 3x3 at stride 1 for maps of few cells."""

STEMS = ("imagenet", "small")


class BasicBlock2d(nn.Module):
    """Two 3x3 convolutions and a shortcut, ``[N, C, H, W]`` to the same or halved."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(conv2(conv1(x)) + shortcut(x))``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return cast(Tensor, self.relu(out))


class ResNet2d(Network):
    """ResNet-18 over ``[N, C, H, W]``; keeps `contract.Backbone` with one dimension less.

    Args:
        in_channels: 3 for images and residuals, 2 for motion.
        num_classes: classes of the head.
        width: channels of the stem and res2, 64 in the paper; later stages have 2, 4 and 8 times.
        stem: how the input is taken in.

    Raises:
        UsageError: channels or classes below one, or an unknown stem.
    """

    def __init__(self, in_channels: int, *, num_classes: int, width: int, stem: Stem) -> None:
        super().__init__(
            "resnet_18",
            stages=RESNET_STAGES,
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
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        before = width
        for i in range(4):
            channels = width << i
            self.add_module(
                f"layer{i + 1}",
                nn.Sequential(
                    BasicBlock2d(before, channels, stride=1 if i == 0 else 2),
                    BasicBlock2d(channels, channels, stride=1),
                ),
            )
            before = channels
        initialize_convolutions(self)
        self.add_head(8 * width, num_classes)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return the stem and the four residual stages."""
        stem = nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        return (stem, *(self.get_submodule(f"layer{i}") for i in range(1, 5)))


def resnet_18(
    *, in_channels: int = 3, num_classes: int = 400, width: int = 64, stem: Stem = "imagenet"
) -> ResNet2d:
    """ResNet-18; 1.81 GMACs per 3x224x224 image, 15.5 MMACs per 2x14x14 motion map."""
    return ResNet2d(in_channels, num_classes=num_classes, width=width, stem=stem)
