"""S3D: Inception-v1 whose 3x3x3 convolutions are 1x3x3 and then 3x1x1.

Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video
Classification", ECCV 2018, in the form that torchvision published.
"""

from torch import nn

from vidskim.backbones.blocks import RESNET_STAGES, check_width, conv_norm, set_norm_eps
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.inception import NORM_EPS, InceptionNetwork, scale_channels
from vidskim.backbones.network import initialize_convolutions
from vidskim.clips.transform import Transform

NORM_MOMENTUM = 1e-3
"""Share of a batch in the running statistics, as in torchvision."""


class S3D(InceptionNetwork):
    """S3D, ``[N, 3, T, H, W]`` to ``[N, 1024, T/8, H/32, W/32]``; sides of 32 at least.

    Args:
        num_classes: classes of the head.
        width: channels of the stem, 64 in the paper.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__(
            "s3d",
            stages=RESNET_STAGES,
            clip=ClipSpec(num_frames=64, stride=1, size=(224, 224)),
            transform=Transform(resize_to=(256, 256), crop=(224, 224)),
            options={"width": width},
        )
        check_width(width)
        self.stem = separable_conv(3, width, kernel=7, stride=2)
        channels = scale_channels(192, width=width)
        self.layer1 = nn.Sequential(
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            conv_norm(width, width, (1, 1, 1)),
            separable_conv(width, channels),
        )
        channels = self.add_inception_stages(
            channels,
            width=width,
            conv=separable_conv,
            pools=(
                nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
                nn.MaxPool3d(3, stride=2, padding=1),
                nn.MaxPool3d(2, stride=2),
            ),
        )
        set_norm_eps(self, NORM_EPS)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = NORM_MOMENTUM
        initialize_convolutions(self)
        self.add_head(channels, num_classes, dropout=0.2)


def separable_conv(
    in_channels: int, channels: int, *, kernel: int = 3, stride: int = 1
) -> nn.Sequential:
    """Convolve over space, then over time, each with batch norm and ReLU."""
    return nn.Sequential(
        conv_norm(in_channels, channels, (1, kernel, kernel), stride=(1, stride, stride)),
        conv_norm(channels, channels, (kernel, 1, 1), stride=(stride, 1, 1)),
    )


def s3d(*, num_classes: int = 400, width: int = 64) -> S3D:
    """S3D, 71.9 GMACs per 64x224x224 clip."""
    return S3D(num_classes=num_classes, width=width)


BUILDERS = {"s3d": s3d}
