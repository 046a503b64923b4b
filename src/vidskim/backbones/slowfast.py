"""SlowFast: a slow pathway that sees few frames and a thin fast one that sees them all.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1, with the
fusion kernels of PySlowFast's configurations. ``TxS`` in a name is frames x stride of the slow
pathway: 4x16 and 8x8 take 32 frames at stride 2, 16x8 takes 64. A network takes the fast clip and
picks the slow frames itself; between stages goes (slow, fast), and the last gives one map.

R101 has temporal kernels in all 23 blocks of res4 (configs/Kinetics/c2/SLOWFAST_8x8_R101_101_101);
the paper's own, with 6 there, is the option ``res4_kernels="50_50"``. The non-local forms have
dot-product blocks on the slow pathway: after blocks 6, 13 and 20 of res4 for R101
(c2/SLOWFAST_NLN_16x8_R101_50_50), after every other block of res3 and res4 for R50
(SLOWFAST_NLN_4x16_R50 and SLOWFAST_NLN_8x8_R50, whose fusion kernel is 5 for both; there is no
configuration for 16x8 with R50, which keeps the kernel it has without the blocks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from vidskim.backbones.blocks import (
    R50,
    R101,
    RESNET_STAGES,
    check_width,
    close_branches,
    conv_norm,
    spatial_pool,
)
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.nonlocal_block import (
    R50_NONLOCAL,
    R101_NONLOCAL,
    NonlocalPlan,
    pool_size,
    with_nonlocal_blocks,
)
from vidskim.backbones.pathways import JoinedPathways, Pathways, PathwayStem
from vidskim.backbones.slow import PYSLOWFAST_TRANSFORM, bottleneck_stage
from vidskim.errors import UsageError, unknown_name

BETA_INVERSE = 8
"""Channels of the slow pathway to one of the fast."""

RES4_KERNELS = {"101_101": (23, 23), "50_101": (6, 23), "50_50": (6, 6)}
"""Blocks of R101's res4 with a temporal kernel, slow and fast, by the name PySlowFast gives it."""

CLIP_SPECS = {
    "4x16": (ClipSpec(32, 2, (224, 224)), 8),
    "8x8": (ClipSpec(32, 2, (224, 224)), 4),
    "16x8": (ClipSpec(64, 2, (224, 224)), 4),
}
"""The fast clip and alpha, fast frames per slow one."""


LAYOUTS = ("pyslowfast", "mmaction2")
"""Whose choice of slow frames and fusion: mmaction2 takes every alpha-th frame from the first on,
and has neither norm nor ReLU behind the convolutions from the fast to the slow pathway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowFastShape:
    """What tells one SlowFast network from another."""

    depths: tuple[int, ...]
    alpha: int
    """Fast frames per slow one."""
    fusion_kernel: int
    """Temporal kernel of the convolutions from the fast to the slow pathway."""
    res4_temporal: tuple[int, int]
    """How many blocks of res4, from the first on, have a temporal kernel: slow, fast pathway."""
    nonlocal_plan: NonlocalPlan | None = None
    layout: str = LAYOUTS[0]


class SlowFast(Network):
    """Two pathways from one clip ``[N, 3, T, H, W]``, T a multiple of alpha.

    ``features`` gives ``[N, 2304, T / alpha, H / 32, W / 32]``: its first `slow_channels` (2048)
    are the slow pathway's last map (where collaborative memory acts), the other 256 the fast one's,
    averaged over each alpha frames.

    Args:
        name: what the registry calls it.
        shape: depths, alpha and kernels.
        num_classes: classes of the head.
        width: channels of the slow stem, 64 in the paper; the fast one has an eighth.
        clip: the fast clip it is made for.
        options: what the builder was called with.

    Raises:
        UsageError: a width or number of classes below one, or an even fusion kernel.
    """

    def __init__(
        self,
        name: str,
        *,
        shape: SlowFastShape,
        num_classes: int,
        width: int,
        clip: ClipSpec,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            name, stages=RESNET_STAGES, clip=clip, transform=PYSLOWFAST_TRANSFORM, options=options
        )
        check_width(width)
        kernel, alpha = shape.fusion_kernel, shape.alpha
        if type(kernel) is not int or kernel < 1 or kernel % 2 == 0:
            raise UsageError(f"fusion_kernel of {name} is an odd number of frames, got {kernel!r}")
        fast_width = max(1, width // BETA_INVERSE)
        self.alpha = alpha
        self.stem = PathwayStem(
            _stem(width, time_kernel=1),
            _stem(fast_width, time_kernel=5),
            fuse=_fusion(fast_width, shape),
            alpha=alpha,
            name=name,
            regular_frames=shape.layout == "mmaction2",
        )
        slow_kernels, fast_kernels = _time_kernels(shape)
        slow_in, fast_in = width + 2 * fast_width, fast_width
        for i, depth in enumerate(shape.depths):
            stride = 1 if i == 0 else 2
            slow_out, fast_out = 4 * width << i, 4 * fast_width << i
            slow = bottleneck_stage(
                slow_in, width << i, depth, stride=stride, time_kernels=slow_kernels[i]
            )
            fast = bottleneck_stage(
                fast_in, fast_width << i, depth, stride=stride, time_kernels=fast_kernels[i]
            )
            plan = shape.nonlocal_plan
            if plan is not None and plan.after[i]:
                slow = with_nonlocal_blocks(
                    slow, slow_out, after=plan.after[i], affinity=plan.affinity, pool=plan.pool
                )
            stage = (
                JoinedPathways(slow, fast, alpha=alpha)
                if i == len(shape.depths) - 1
                else Pathways(slow, fast, fuse=_fusion(fast_out, shape))
            )
            self.add_module(f"layer{i + 1}", stage)
            slow_in, fast_in = slow_out + 2 * fast_out, fast_out
        initialize_convolutions(self)
        close_branches(self)
        self.slow_channels = slow_out
        """Channels of ``features`` that are the slow pathway's, the first."""
        self.add_head(slow_out + fast_out, num_classes, dropout=0.5)


def _stem(width: int, *, time_kernel: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm(3, width, (time_kernel, 7, 7), stride=(1, 2, 2)), spatial_pool()
    )


def _fusion(fast_channels: int, shape: SlowFastShape) -> nn.Sequential:
    """Time-strided convolution to twice the channels (section 3.4)."""
    kernel, stride = (shape.fusion_kernel, 1, 1), (shape.alpha, 1, 1)
    fusion = conv_norm(fast_channels, 2 * fast_channels, kernel, stride=stride)
    return nn.Sequential(fusion[0]) if shape.layout == "mmaction2" else fusion


def _time_kernels(shape: SlowFastShape) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]:
    """Return the temporal kernels of each block of res2 to res5: slow and fast."""
    depth = shape.depths[2]
    slow_res4, fast_res4 = ((3,) * n + (1,) * (depth - n) for n in shape.res4_temporal)
    return ((1,), (1,), slow_res4, (3,)), ((3,), (3,), fast_res4, (3,))


def _slowfast(name: str, /, *, num_classes: int, **options: Any) -> SlowFast:
    """Build a network from its name and all of its options, as a checkpoint keeps them."""
    _, depth, clip_name, *nl = name.split("_")
    depths, after = (R50, R50_NONLOCAL) if depth == "r50" else (R101, R101_NONLOCAL)
    kernels = options.get("res4_kernels")
    if kernels is not None and kernels not in RES4_KERNELS:
        raise unknown_name("res4_kernels", kernels, tuple(RES4_KERNELS))
    layout = options.get("layout", LAYOUTS[0])
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    plan = None
    if nl:
        pool = pool_size(options["nonlocal_pool"])
        plan = NonlocalPlan(after=after, affinity="dot_product", pool=pool)
    clip, alpha = CLIP_SPECS[clip_name]
    return SlowFast(
        name,
        shape=SlowFastShape(
            depths=depths,
            alpha=alpha,
            fusion_kernel=options["fusion_kernel"],
            res4_temporal=(R50[2], R50[2]) if kernels is None else RES4_KERNELS[kernels],
            nonlocal_plan=plan,
            layout=layout,
        ),
        num_classes=num_classes,
        width=options["width"],
        clip=clip,
        options=options,
    )


def _r50(
    name: str,
    /,
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 7,
    layout: str = LAYOUTS[0],
) -> SlowFast:
    return _slowfast(
        name, num_classes=num_classes, width=width, fusion_kernel=fusion_kernel, layout=layout
    )


def _r50_nl(
    name: str,
    /,
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    nonlocal_pool: str = "2x2x2",
) -> SlowFast:
    return _slowfast(
        name,
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        nonlocal_pool=nonlocal_pool,
    )


def _r101(
    name: str,
    /,
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
    layout: str = LAYOUTS[0],
) -> SlowFast:
    return _slowfast(
        name,
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
        layout=layout,
    )


def _r101_nl(
    name: str,
    /,
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
    nonlocal_pool: str = "2x2x2",
) -> SlowFast:
    return _slowfast(
        name,
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
        nonlocal_pool=nonlocal_pool,
    )


# GMACs per clip of 32 (16x8: 64) x 224 x 224
BUILDERS: dict[str, Callable[..., SlowFast]] = {
    "slowfast_r50_4x16": partial(_r50, "slowfast_r50_4x16", fusion_kernel=5),  # 27.6
    "slowfast_r50_8x8": partial(_r50, "slowfast_r50_8x8"),  # 50.3
    "slowfast_r50_16x8": partial(_r50, "slowfast_r50_16x8"),  # 101
    "slowfast_r101_8x8": partial(_r101, "slowfast_r101_8x8"),  # 96.4
    "slowfast_r101_16x8": partial(_r101, "slowfast_r101_16x8"),  # 193
    "slowfast_r50_4x16_nl": partial(_r50_nl, "slowfast_r50_4x16_nl"),  # 33.8
    "slowfast_r50_8x8_nl": partial(_r50_nl, "slowfast_r50_8x8_nl"),  # 65.2
    "slowfast_r50_16x8_nl": partial(_r50_nl, "slowfast_r50_16x8_nl", fusion_kernel=7),  # 143
    "slowfast_r101_8x8_nl": partial(_r101_nl, "slowfast_r101_8x8_nl"),  # 103
    "slowfast_r101_16x8_nl": partial(_r101_nl, "slowfast_r101_16x8_nl"),  # 208
}


MMACTION2_VARIANTS: dict[str, dict[str, Any]] = {
    "slowfast_r50_4x16": {"layout": "mmaction2"},
    "slowfast_r50_8x8": {"layout": "mmaction2"},
    "slowfast_r101_8x8": {"layout": "mmaction2", "fusion_kernel": 7},
}
"""Options of mmaction2's configurations (configs/recognition/slowfast)."""

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    name: (
        {},
        *([{"res4_kernels": "50_50"}] if "r101" in name else []),
        *([MMACTION2_VARIANTS[name]] if name in MMACTION2_VARIANTS else []),
    )
    for name in BUILDERS
}
"""Options that change the tensors, as published networks have them."""
