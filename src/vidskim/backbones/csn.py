"""Channel-separated networks: ir-CSN-101 and -152, ip-CSN-152.

Tran et al., "Video Classification with Channel-Separated Convolutional Networks", ICCV 2019,
section 3. The 3x3x3 convolution of a bottleneck block becomes a depthwise one. ir (interaction
reduced) does only that; ip (interaction preserved) puts a 1x1x1 convolution before it, followed by
batch norm and, in the authors' code (https://github.com/facebookresearch/VMZ), by no ReLU.
"""

from dataclasses import replace
from typing import Any, Literal

from torch import nn

from vidskim.backbones.blocks import R101, R152, VMZ_NORM_EPS, basic_stem, spatial_pool
from vidskim.backbones.bottleneck3d import BottleneckNetwork, Plan, Stride
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.slow import PYSLOWFAST_TRANSFORM
from vidskim.clips.transform import Transform
from vidskim.errors import unknown_name

CsnLayout = Literal["vmz", "pytorchvideo"]
"""Whose ir-CSN-101: PyTorchVideo's has PyTorch's epsilon in batch norm, a dropout, and its own mean
and standard deviation."""

CSN_LAYOUTS = ("vmz", "pytorchvideo")

CSN_CLIP = ClipSpec(num_frames=32, stride=2, size=(224, 224))
"""Every other of 64 frames."""

CSN_TRANSFORM = Transform(short_side=256, crop=(224, 224))


def _depthwise(channels: int, stride: Stride) -> nn.Conv3d:
    return nn.Conv3d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)


def _interaction_preserved(channels: int, stride: Stride) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(channels, channels, 1, bias=False),
        nn.BatchNorm3d(channels),
        _depthwise(channels, stride),
    )


def _stem(width: int) -> nn.Sequential:
    return nn.Sequential(*basic_stem(width, factorized=False), spatial_pool())


IR_152 = Plan(stem=_stem, middle=_depthwise, depths=R152, norm_eps=VMZ_NORM_EPS)

IP_152 = replace(IR_152, middle=_interaction_preserved)


def _csn(
    name: str,
    plan: Plan,
    *,
    num_classes: int,
    width: int,
    transform: Transform = CSN_TRANSFORM,
    **options: Any,
) -> BottleneckNetwork:
    return BottleneckNetwork(
        name,
        plan=plan,
        num_classes=num_classes,
        width=width,
        clip=CSN_CLIP,
        transform=transform,
        options={"width": width, **options},
    )


def ir_csn_101(
    *, num_classes: int = 400, width: int = 64, layout: CsnLayout = "vmz"
) -> BottleneckNetwork:
    """ir-CSN-101; 56.5 GMACs per 32x224x224 clip.

    Raises:
        UsageError: an unknown layout.
    """
    if layout not in CSN_LAYOUTS:
        raise unknown_name("layout", layout, CSN_LAYOUTS)
    vmz = layout == "vmz"
    plan = replace(IR_152, depths=R101)
    if not vmz:
        plan = replace(plan, norm_eps=1e-5, dropout=0.5)
    return _csn(
        "ir_csn_101",
        plan,
        num_classes=num_classes,
        width=width,
        transform=CSN_TRANSFORM if vmz else PYSLOWFAST_TRANSFORM,
        layout=layout,
    )


def ir_csn_152(*, num_classes: int = 400, width: int = 64) -> BottleneckNetwork:
    """ir-CSN-152; 74.1 GMACs per 32x224x224 clip (published: 96.7, at 256x256)."""
    return _csn("ir_csn_152", IR_152, num_classes=num_classes, width=width)


def ip_csn_152(*, num_classes: int = 400, width: int = 64) -> BottleneckNetwork:
    """ip-CSN-152; 83.3 GMACs per 32x224x224 clip (published: 108.8, at 256x256)."""
    return _csn("ip_csn_152", IP_152, num_classes=num_classes, width=width)


BUILDERS = {"ir_csn_101": ir_csn_101, "ir_csn_152": ir_csn_152, "ip_csn_152": ip_csn_152}
