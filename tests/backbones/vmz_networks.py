"""VMZ's networks put together from torchvision's video classes, as its authors do.

https://github.com/facebookresearch/VMZ, pt/vmz/models. torchvision is an independent
implementation of the blocks; what VMZ adds is the choice of convolutions, stem and epsilon.
"""

import pytest
from torch import nn

pytest.importorskip("torchvision", reason="the oracle: make oracle")

from torchvision.models.video import resnet as tv


class Maker:
    """What torchvision asks a network's convolutions of: a builder that knows its strides."""

    def __init__(self, build) -> None:
        self.build = build

    def __call__(self, in_planes, out_planes, midplanes, stride=1, padding=1):
        return self.build(in_planes, out_planes, stride)

    @staticmethod
    def get_downsample_stride(stride):
        return stride, stride, stride


def factorized(in_planes, out_planes, stride):
    mid = 27 * in_planes * out_planes // (9 * in_planes + 3 * out_planes)
    return tv.Conv2Plus1D(in_planes, out_planes, mid, stride)


def depthwise(in_planes, out_planes, stride):
    return nn.Conv3d(
        in_planes, out_planes, 3, stride=stride, padding=1, groups=in_planes, bias=False
    )


def interaction_preserved(in_planes, out_planes, stride):
    return nn.Sequential(
        nn.Conv3d(in_planes, out_planes, 1, bias=False),
        nn.BatchNorm3d(out_planes),
        depthwise(out_planes, out_planes, stride),
    )


KINDS = {
    "r2plus1d_18": (tv.BasicBlock, factorized, tv.R2Plus1dStem, (2, 2, 2, 2), False),
    "r2plus1d_34": (tv.BasicBlock, factorized, tv.R2Plus1dStem, (3, 4, 6, 3), False),
    "r2plus1d_152": (tv.Bottleneck, factorized, tv.R2Plus1dStem, (3, 8, 36, 3), False),
    "ir_csn_101": (tv.Bottleneck, depthwise, tv.BasicStem, (3, 4, 23, 3), True),
    "ir_csn_152": (tv.Bottleneck, depthwise, tv.BasicStem, (3, 8, 36, 3), True),
    "ip_csn_152": (tv.Bottleneck, interaction_preserved, tv.BasicStem, (3, 8, 36, 3), True),
}


def vmz_network(name, *, depths=None, pool=None, num_classes=400):
    """Build a network of VMZ with statistics of its own in every batch norm, for evaluation."""
    block, convolution, stem, full_depths, pooled = KINDS[name]

    def make_stem():
        layers = list(stem())
        if pooled if pool is None else pool:
            layers.append(nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)))
        return nn.Sequential(*layers)

    network = tv.VideoResNet(
        block=block,
        conv_makers=[Maker(convolution)] * 4,
        layers=list(depths or full_depths),
        stem=make_stem,
        num_classes=num_classes,
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
            nn.init.uniform_(module.weight, 0.4, 0.8)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 1.0)  # small, so that epsilon counts
    return network.eval()
