"""R(2+1)D-50, -101 and -152: bottleneck blocks whose 3x3x3 convolution is split into two.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018,
section 3.5. Three published forms differ in what they do in the middle of a block:

============  =========================================  ======================================
layout        middle of a block                          stem, strides
============  =========================================  ======================================
VMZ           1x3x3 to 2.25 b, 3x1x1 to b                1x7x7, 3x1x1; pool on demand; time and
                                                         space halve in res3, res4, res5
FASTER        the same                                   the same, with the pool
PyTorchVideo  3x1x1 to b, 1x3x3 to b                     1x7x7, no pool; space halves in every
                                                         stage, time in res4 and res5
============  =========================================  ======================================

FASTER is Zhu et al., AAAI 2020, table 1; its strides of time lie in the 3x1x1 convolutions, which
the published costs decide. Collaborative Memory (Yang et al., CVPR 2021) does not describe its
R(2+1)D-101 32x2: PyTorchVideo's layout gives its cost, 243 GMACs with the memory.

It also takes R(2+1)D "optionally augmented with non-local blocks" (section 4.1) without a word on
where they are, and we know of no published one. We follow what its appendix B.1 says of the
others, three blocks in res4: of the dot-product kind, after the blocks of res4 that they follow in
SlowFast of the same depth, with the pooling over time and space that its costs of SlowFast show.
"""

from dataclasses import replace
from typing import Any, Literal

from torch import nn

from vidskim.backbones.blocks import (
    R50,
    R101,
    R152,
    VMZ_NORM_EPS,
    basic_stem,
    conv_norm,
    factorized_channels,
    spatial_pool,
    spatiotemporal_conv,
)
from vidskim.backbones.bottleneck3d import BottleneckNetwork, Plan, Stride
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.nonlocal_block import (
    R50_NONLOCAL,
    R101_NONLOCAL,
    NonlocalPlan,
    pool_size,
)
from vidskim.backbones.slow import PYSLOWFAST_TRANSFORM
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, unknown_name

BottleneckLayout = Literal["faster", "pytorchvideo"]
"""Whose R(2+1)D-50."""

R50_LAYOUTS = ("faster", "pytorchvideo")

FASTER_CLIP = ClipSpec(num_frames=8, stride=1, size=(224, 224))
"""FASTER takes 8, 16 or 32 consecutive frames; 8 is what it compares its aggregators on (table 3).
Other lengths are a matter of the clip alone, the weights have the same shapes."""

FASTER_TRANSFORM = Transform(short_side=256, crop=(224, 224))
"""Section 4: the short side is drawn from 256 to 320 in training, all else as VMZ does, thus its
mean and standard deviation."""

VMZ_112_TRANSFORM = Transform(resize_to=(128, 171), crop=(112, 112))


def _space_then_time(channels: int, stride: Stride) -> nn.Module:
    """1x3x3 to as many channels as keep the parameters of 3x3x3, then 3x1x1; [B, b, T, H, W]."""
    mid_channels = factorized_channels(channels, channels)
    return spatiotemporal_conv(channels, channels, mid_channels, kind="2+1d", stride=stride[0])


def _time_then_space(channels: int, stride: Stride) -> nn.Module:
    """3x1x1, batch norm, ReLU, 1x3x3, all of the same channels; each strides its own dimensions."""
    time, height, width = stride
    return nn.Sequential(
        *conv_norm(channels, channels, (3, 1, 1), stride=(time, 1, 1)),
        nn.Conv3d(
            channels,
            channels,
            (1, 3, 3),
            stride=(1, height, width),
            padding=(0, 1, 1),
            bias=False,
        ),
    )


def _factorized_stem(width: int) -> nn.Sequential:
    return basic_stem(width, factorized=True)


def factorized_pool_stem(width: int) -> nn.Sequential:
    """1x7x7, 3x1x1 and the pool: a quarter of height and width."""
    return nn.Sequential(*basic_stem(width, factorized=True), spatial_pool())


def _plain_stem(width: int) -> nn.Sequential:
    return conv_norm(3, width, (1, 7, 7), stride=(1, 2, 2))


def pytorchvideo_plan(depths: tuple[int, ...]) -> Plan:
    """PyTorchVideo's R(2+1)D of any depth (pytorchvideo/models/r2plus1d.py)."""
    return Plan(
        stem=_plain_stem,
        middle=_time_then_space,
        depths=depths,
        strides=((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
        dropout=0.5,
    )


FASTER_R50 = Plan(stem=factorized_pool_stem, middle=_space_then_time, depths=R50)

VMZ_R152 = Plan(stem=_factorized_stem, middle=_space_then_time, depths=R152, norm_eps=VMZ_NORM_EPS)


def _with_nonlocal(plan: Plan, nonlocal_pool: str | None) -> Plan:
    """Add three dot-product blocks to res4 unless None; see the head of this file."""
    if nonlocal_pool is None:
        return plan
    places = R101_NONLOCAL if plan.depths == R101 else R50_NONLOCAL
    blocks = NonlocalPlan(
        after=((), (), places[2], ()), affinity="dot_product", pool=pool_size(nonlocal_pool)
    )
    return replace(plan, nonlocal_plan=blocks)


def _with_pool(options: dict[str, Any], nonlocal_pool: str | None) -> dict[str, Any]:
    return options if nonlocal_pool is None else {**options, "nonlocal_pool": nonlocal_pool}


def _r2plus1d_50(
    name: str,
    *,
    num_classes: int,
    width: int,
    layout: BottleneckLayout,
    nonlocal_pool: str | None = None,
) -> BottleneckNetwork:
    if layout not in R50_LAYOUTS:
        raise unknown_name("layout", layout, R50_LAYOUTS)
    faster = layout == "faster"
    options = {"width": width, "layout": layout}
    return BottleneckNetwork(
        name,
        plan=_with_nonlocal(FASTER_R50 if faster else pytorchvideo_plan(R50), nonlocal_pool),
        num_classes=num_classes,
        width=width,
        clip=FASTER_CLIP if faster else ClipSpec(16, 4, (224, 224)),
        transform=FASTER_TRANSFORM if faster else PYSLOWFAST_TRANSFORM,
        options=_with_pool(options, nonlocal_pool),
    )


def r2plus1d_50(
    *, num_classes: int = 400, width: int = 64, layout: BottleneckLayout = "faster"
) -> BottleneckNetwork:
    """R(2+1)D-50; 30.0 GMACs per 8x224x224 clip, PyTorchVideo's 57.5 per 16x224x224 clip.

    PyTorchVideo's hub model gives probabilities, this one logits: it takes softmax off the head.

    Raises:
        UsageError: an unknown layout.
    """
    return _r2plus1d_50("r2plus1d_50", num_classes=num_classes, width=width, layout=layout)


def r2plus1d_50_nl(
    *,
    num_classes: int = 400,
    width: int = 64,
    layout: BottleneckLayout = "faster",
    nonlocal_pool: str = "2x2x2",
) -> BottleneckNetwork:
    """R(2+1)D-50 with three non-local blocks; 31.4 GMACs per 8x224x224 clip.

    PyTorchVideo's takes 64.0 per 16x224x224 clip.

    Raises:
        UsageError: an unknown layout or pooling.
    """
    return _r2plus1d_50(
        "r2plus1d_50_nl",
        num_classes=num_classes,
        width=width,
        layout=layout,
        nonlocal_pool=nonlocal_pool,
    )


def _r2plus1d_101(
    name: str, *, num_classes: int, width: int, nonlocal_pool: str | None = None
) -> BottleneckNetwork:
    return BottleneckNetwork(
        name,
        plan=_with_nonlocal(pytorchvideo_plan(R101), nonlocal_pool),
        num_classes=num_classes,
        width=width,
        clip=ClipSpec(32, 2, (256, 256)),
        transform=Transform(
            short_side=256,
            crop=(256, 256),
            mean=PYSLOWFAST_TRANSFORM.mean,
            std=PYSLOWFAST_TRANSFORM.std,
        ),
        options=_with_pool({"width": width}, nonlocal_pool),
    )


def r2plus1d_101(*, num_classes: int = 400, width: int = 64) -> BottleneckNetwork:
    """R(2+1)D-101 of Collaborative Memory; 241.6 GMACs per 32x256x256 clip."""
    return _r2plus1d_101("r2plus1d_101", num_classes=num_classes, width=width)


def r2plus1d_101_nl(
    *, num_classes: int = 400, width: int = 64, nonlocal_pool: str = "2x2x2"
) -> BottleneckNetwork:
    """R(2+1)D-101 with three non-local blocks; 262.5 GMACs per 32x256x256 clip.

    Raises:
        UsageError: an unknown pooling.
    """
    return _r2plus1d_101(
        "r2plus1d_101_nl", num_classes=num_classes, width=width, nonlocal_pool=nonlocal_pool
    )


def r2plus1d_152(
    *, num_classes: int = 400, width: int = 64, pool: bool = False
) -> BottleneckNetwork:
    """R(2+1)D-152 of VMZ; 252 GMACs per 32x112x112 clip (published: 329.1, at 128x128).

    Args:
        num_classes: classes of the head.
        width: channels of the stem.
        pool: a max pool after the stem, VMZ's ``use_pool1``. It has no tensors, so that no
            checkpoint tells. VMZ's published weights are made for 112x112 input and have none: its
            Caffe2 head averages 7x7 places there, and with the pool the map has only 4x4. Its
            PyTorch builder asks for the pool all the same unless told otherwise.

    Raises:
        UsageError: ``pool`` is neither true nor false.
    """
    if type(pool) is not bool:
        raise UsageError(f"pool of r2plus1d_152 is true or false, got {pool!r}")
    return BottleneckNetwork(
        "r2plus1d_152",
        plan=replace(VMZ_R152, stem=factorized_pool_stem) if pool else VMZ_R152,
        num_classes=num_classes,
        width=width,
        clip=ClipSpec(32, 1, (112, 112)),
        transform=VMZ_112_TRANSFORM,
        options={"width": width, "pool": pool},
    )


BUILDERS = {
    "r2plus1d_50": r2plus1d_50,
    "r2plus1d_101": r2plus1d_101,
    "r2plus1d_152": r2plus1d_152,
    "r2plus1d_50_nl": r2plus1d_50_nl,
    "r2plus1d_101_nl": r2plus1d_101_nl,
}

VARIANTS = {
    name: tuple({"layout": layout} for layout in R50_LAYOUTS)
    for name in ("r2plus1d_50", "r2plus1d_50_nl")
}
"""The shapes of a checkpoint tell FASTER's from PyTorchVideo's."""
