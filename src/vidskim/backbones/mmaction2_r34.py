"""How mmaction2's R(2+1)D-34 differs from its authors'.

Its (2+1)-D convolution (mmaction/models/common/conv2plus1d.py) stands wherever a convolution does,
so that the stem has 83 channels inside in place of 45 and the projections of the shortcuts are
factorized too, with time left alone: 1x1x1 to M, batch norm, ReLU, 1x1x1. A max pool follows the
stem. Batch norm inside a factorized convolution has PyTorch's epsilon, the others VMZ's.
"""

from torch import nn

from vidskim.backbones.blocks import (
    VMZ_NORM_EPS,
    BasicBlock,
    conv_norm,
    set_norm_eps,
    spatial_pool,
)
from vidskim.clips.transform import IMAGENET_MEAN, IMAGENET_STD, Transform

INNER_NORM_EPS = 1e-5

MMACTION2_TRANSFORM = Transform(
    short_side=256, crop=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD
)
"""ImageNet's mean and deviation (``data_preprocessor`` of its configurations, on the scale of 0 to
255), as for all its families but X3D and some of the CSN."""


def factorize_like_mmaction2(network: nn.Module, *, width: int) -> None:
    """Replace the stem and the shortcuts of an R(2+1)D network of basic blocks by mmaction2's."""
    network.stem = _stem(width)
    blocks = [module for module in network.modules() if isinstance(module, BasicBlock)]
    for block in blocks:
        if block.downsample is None:
            continue
        projection = block.downsample.get_submodule("0")
        assert isinstance(projection, nn.Conv3d)
        time, height, space = projection.stride
        block.downsample = _shortcut(
            projection.in_channels, projection.out_channels, stride=(time, height, space)
        )


def set_mmaction2_norm_eps(network: nn.Module) -> None:
    """Set epsilon of every batch norm; inside is one that ReLU and a convolution follow."""
    set_norm_eps(network, VMZ_NORM_EPS)
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for norm, _, after in zip(module, list(module)[1:], list(module)[2:], strict=False):
            if isinstance(norm, nn.BatchNorm3d) and isinstance(after, nn.Conv3d):
                norm.eps = INNER_NORM_EPS


def _stem(width: int) -> nn.Sequential:
    """1x7x7 to M, 3x1x1 and the pool, [B, 3, T, H, W] to [B, width, T, H/4, W/4].

    M keeps the parameters of 3x7x7, as in Tran et al. 2018, section 3.5; 83 of 64.
    """
    mid_channels = max(1, 3 * 3 * 49 * width // (3 * 49 + 3 * width))
    return nn.Sequential(
        *conv_norm(3, mid_channels, (1, 7, 7), stride=(1, 2, 2)),
        *conv_norm(mid_channels, width, (3, 1, 1)),
        spatial_pool(),
    )


def _shortcut(in_channels: int, channels: int, *, stride: tuple[int, int, int]) -> nn.Sequential:
    """1x1x1 strided over space, then 1x1x1 strided over time; M counts three taps that are one."""
    mid_channels = 3 * in_channels * channels // (in_channels + 3 * channels)
    return nn.Sequential(
        *conv_norm(in_channels, mid_channels, (1, 1, 1), stride=(1, *stride[1:])),
        *conv_norm(mid_channels, channels, (1, 1, 1), stride=(stride[0], 1, 1), relu=False),
    )
