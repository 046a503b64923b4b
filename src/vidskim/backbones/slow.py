"""Bottleneck networks with temporal kernels in some blocks: Slow-only R50 and I3D R50.

Slow-only is the slow pathway of SlowFast alone, temporal kernels in res4 and res5 (Feichtenhofer et
al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1). I3D R50 has them in the stem,
in all of res2 and in every other block from there on, and halves time after res2 (Wang et al.,
"Non-local Neural Networks", CVPR 2018, section 4; PySlowFast's configs/Kinetics/c2/I3D_8x8_R50 and
I3D_NLN_8x8_R50). The strides of each stage lie in its 1x3x3 convolution. ``TxS`` in a name is
frames x stride.

Slow-only's non-local forms are PySlowFast's configs/Kinetics/SLOW_NLN_4x16_R50 and
SLOW_NLN_8x8_R50, for which it has published no weights. Collaborative Memory (Yang et al., CVPR
2021, appendix B.1) speaks of three blocks "on the Slow features of res4" instead, and gives
Slow-only with them neither cost nor accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from vidskim.backbones.blocks import (
    R50,
    RESNET_STAGES,
    Bottleneck,
    check_width,
    close_branches,
    conv_norm,
    spatial_pool,
    spatiotemporal_conv,
)
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.nonlocal_block import (
    R50_NONLOCAL,
    NonlocalPlan,
    pool_size,
    with_nonlocal_blocks,
)
from vidskim.clips.transform import Transform
from vidskim.errors import unknown_name

SLOW_KERNELS = ((1,), (1,), (3,), (3,))
"""Temporal kernels of the blocks of res2 to res5, repeated within the stage."""

I3D_KERNELS = ((3,), (3, 1), (3, 1), (1, 3))

I3D_NONLOCAL = NonlocalPlan(after=R50_NONLOCAL, affinity="softmax", pool=(1, 2, 2))
"""Five blocks, after every other block of res3 and res4."""

PYSLOWFAST_TRANSFORM = Transform(
    short_side=256, crop=(224, 224), mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowShape:
    """What tells one network of this family from another."""

    depths: tuple[int, ...] = R50
    stem_kernel: int = 1
    """Temporal kernel of the 7x7 stem."""
    stem_stride: int = 1
    """Temporal stride of the stem's convolution and, again, of the pooling after it."""
    time_kernels: tuple[tuple[int, ...], ...] = SLOW_KERNELS
    """Temporal kernels of the blocks of each stage, repeated within it."""
    time_pool: int = 1
    """Frames that max pooling after res2 makes one."""
    nonlocal_plan: NonlocalPlan | None = None


SLOW = SlowShape()
I3D = SlowShape(stem_kernel=5, time_kernels=I3D_KERNELS, time_pool=2)
I3D_LAYOUTS = {
    "pyslowfast": (I3D, ClipSpec(8, 8, (224, 224))),
    "mmaction2": (replace(I3D, stem_stride=2), ClipSpec(32, 2, (224, 224))),
}
"""Whose I3D R50: the same tensors, but mmaction2's strides time in the stem (configs/_base_/models/
i3d_r50.py)."""

I3D_NL = SlowShape(stem_kernel=5, time_kernels=I3D_KERNELS, time_pool=2, nonlocal_plan=I3D_NONLOCAL)


class SlowResNet(Network):
    """A bottleneck network whose blocks convolve over time before they convolve over space.

    Args:
        name: what the registry calls it.
        shape: depths and temporal kernels.
        num_classes: classes of the head.
        width: channels of the stem, 64 in the papers.
        clip: the clip it is made for.
        options: what the builder was called with.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(
        self,
        name: str,
        *,
        shape: SlowShape = SLOW,
        num_classes: int,
        width: int,
        clip: ClipSpec,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            name, stages=RESNET_STAGES, clip=clip, transform=PYSLOWFAST_TRANSFORM, options=options
        )
        check_width(width)
        self.stem = nn.Sequential(
            *conv_norm(3, width, (shape.stem_kernel, 7, 7), stride=(shape.stem_stride, 2, 2)),
            spatial_pool(time_stride=shape.stem_stride),
        )
        in_channels = width
        plan = shape.nonlocal_plan
        for i, (depth, kernels) in enumerate(zip(shape.depths, shape.time_kernels, strict=True)):
            stage = bottleneck_stage(
                in_channels, width << i, depth, stride=1 if i == 0 else 2, time_kernels=kernels
            )
            in_channels = 4 * width << i
            if plan is not None and plan.after[i]:
                stage = with_nonlocal_blocks(
                    stage,
                    in_channels,
                    after=plan.after[i],
                    affinity=plan.affinity,
                    pool=plan.pool,
                )
            if i == 0 and shape.time_pool > 1:
                stage.append(nn.MaxPool3d((shape.time_pool, 1, 1)))
            self.add_module(f"layer{i + 1}", stage)
        initialize_convolutions(self)
        close_branches(self)
        self.add_head(in_channels, num_classes, dropout=0.5)


def bottleneck_stage(
    in_channels: int, mid_channels: int, depth: int, *, stride: int, time_kernels: Sequence[int]
) -> nn.Sequential:
    """One stage: ``depth`` blocks T x 1 x 1, 1x3x3, 1x1x1; the first strides space.

    Args:
        in_channels: of the input.
        mid_channels: of the 1x3x3 convolutions; the output has four times as many.
        depth: number of blocks.
        stride: of height and width.
        time_kernels: T of the blocks, repeated.
    """
    blocks = []
    for j in range(depth):
        step = stride if j == 0 else 1
        blocks.append(
            Bottleneck(
                in_channels,
                mid_channels,
                4 * mid_channels,
                middle=spatiotemporal_conv(
                    mid_channels, mid_channels, mid_channels, kind="2d", stride=step
                ),
                stride=(1, step, step),
                time_kernel=time_kernels[j % len(time_kernels)],
            )
        )
        in_channels = 4 * mid_channels
    return nn.Sequential(*blocks)


def _slow_r50(num_frames: int, stride: int, *, num_classes: int, width: int) -> SlowResNet:
    return SlowResNet(
        f"slow_r50_{num_frames}x{stride}",
        num_classes=num_classes,
        width=width,
        clip=ClipSpec(num_frames, stride, (224, 224)),
        options={"width": width},
    )


def slow_r50_4x16(*, num_classes: int = 400, width: int = 64) -> SlowResNet:
    """Slow-only R50, 4 frames at stride 16; 20.9 GMACs per 4x224x224 clip."""
    return _slow_r50(4, 16, num_classes=num_classes, width=width)


def slow_r50_8x8(*, num_classes: int = 400, width: int = 64) -> SlowResNet:
    """Slow-only R50, 8 frames at stride 8; 41.7 GMACs per 8x224x224 clip."""
    return _slow_r50(8, 8, num_classes=num_classes, width=width)


def slow_r50_16x4(*, num_classes: int = 400, width: int = 64) -> SlowResNet:
    """Slow-only R50, 16 frames at stride 4; 83.5 GMACs per 16x224x224 clip."""
    return _slow_r50(16, 4, num_classes=num_classes, width=width)


def slow_r50_32x2(*, num_classes: int = 400, width: int = 64) -> SlowResNet:
    """Slow-only R50, 32 frames at stride 2; 167 GMACs per 32x224x224 clip."""
    return _slow_r50(32, 2, num_classes=num_classes, width=width)


def _slow_r50_nl(
    num_frames: int, stride: int, *, num_classes: int, width: int, nonlocal_pool: str
) -> SlowResNet:
    plan = NonlocalPlan(after=R50_NONLOCAL, affinity="dot_product", pool=pool_size(nonlocal_pool))
    return SlowResNet(
        f"slow_r50_{num_frames}x{stride}_nl",
        shape=replace(SLOW, nonlocal_plan=plan),
        num_classes=num_classes,
        width=width,
        clip=ClipSpec(num_frames, stride, (224, 224)),
        options={"width": width, "nonlocal_pool": nonlocal_pool},
    )


def slow_r50_4x16_nl(
    *, num_classes: int = 400, width: int = 64, nonlocal_pool: str = "1x2x2"
) -> SlowResNet:
    """Slow-only R50 4x16 with five dot-product blocks; 29.0 GMACs per 4x224x224 clip."""
    return _slow_r50_nl(4, 16, num_classes=num_classes, width=width, nonlocal_pool=nonlocal_pool)


def slow_r50_8x8_nl(
    *, num_classes: int = 400, width: int = 64, nonlocal_pool: str = "1x2x2"
) -> SlowResNet:
    """Slow-only R50 8x8 with five dot-product blocks; 64.0 GMACs per 8x224x224 clip.

    ``nonlocal_pool="2x2x2"`` pools keys and values over time too, as SlowFast's costs in its paper
    and in Collaborative Memory say; 57.0 GMACs.
    """
    return _slow_r50_nl(8, 8, num_classes=num_classes, width=width, nonlocal_pool=nonlocal_pool)


def i3d_r50_8x8(
    *, num_classes: int = 400, width: int = 64, layout: str = "pyslowfast"
) -> SlowResNet:
    """I3D R50, 8 frames at stride 8; 28.4 GMACs per 8x224x224 clip.

    With ``layout="mmaction2"`` it takes 32 frames at stride 2, which its stem and the pooling after
    it make 8.
    """
    if layout not in I3D_LAYOUTS:
        raise unknown_name("layout", layout, tuple(I3D_LAYOUTS))
    shape, clip = I3D_LAYOUTS[layout]
    options = {"width": width, "layout": layout}
    return SlowResNet(
        "i3d_r50_8x8",
        shape=shape,
        num_classes=num_classes,
        width=width,
        clip=clip,
        options=options,
    )


def i3d_r50_8x8_nl(*, num_classes: int = 400, width: int = 64) -> SlowResNet:
    """I3D R50 with five softmax non-local blocks; 36.5 GMACs per 8x224x224 clip."""
    return SlowResNet(
        "i3d_r50_8x8_nl",
        shape=I3D_NL,
        num_classes=num_classes,
        width=width,
        clip=ClipSpec(8, 8, (224, 224)),
        options={"width": width},
    )


BUILDERS = {
    "slow_r50_4x16": slow_r50_4x16,
    "slow_r50_8x8": slow_r50_8x8,
    "slow_r50_16x4": slow_r50_16x4,
    "slow_r50_32x2": slow_r50_32x2,
    "slow_r50_4x16_nl": slow_r50_4x16_nl,
    "slow_r50_8x8_nl": slow_r50_8x8_nl,
    "i3d_r50_8x8": i3d_r50_8x8,
    "i3d_r50_8x8_nl": i3d_r50_8x8_nl,
}
