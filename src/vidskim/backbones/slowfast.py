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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.backbones.blocks import RESNET_STAGES, check_width, conv_norm, spatial_pool
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.nonlocal_block import NonlocalPlan, pool_size, with_nonlocal_blocks
from vidskim.backbones.slow import PYSLOWFAST_TRANSFORM, R50, bottleneck_stage
from vidskim.errors import UsageError, unknown_name

R101 = (3, 4, 23, 3)
"""Blocks per stage."""

BETA_INVERSE = 8
"""Channels of the slow pathway to one of the fast."""

RES4_KERNELS = {"101_101": (23, 23), "50_101": (6, 23), "50_50": (6, 6)}
"""Blocks of R101's res4 with a temporal kernel, slow and fast, by the name PySlowFast gives it."""

R50_NONLOCAL = ((), (1, 3), (1, 3, 5), ())
R101_NONLOCAL = ((), (), (6, 13, 20), ())
"""Blocks of the slow pathway's stages that a non-local block follows."""

CLIP_SPECS = {
    "4x16": (ClipSpec(32, 2, (224, 224)), 8),
    "8x8": (ClipSpec(32, 2, (224, 224)), 4),
    "16x8": (ClipSpec(64, 2, (224, 224)), 4),
}
"""The fast clip and alpha, fast frames per slow one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What tells one SlowFast network from another."""

    depths: tuple[int, ...]
    alpha: int
    """Fast frames per slow one."""
    fusion_kernel: int
    """Temporal kernel of the convolutions from the fast to the slow pathway."""
    res4_temporal: tuple[int, int]
    """How many blocks of res4, from the first on, have a temporal kernel: slow, fast pathway."""
    nonlocal_plan: NonlocalPlan | None = None


class Pathways(nn.Module):
    """One stage of both pathways; then the fast one is added to the slow one's channels.

    Args:
        slow: of the slow pathway.
        fast: of the fast pathway.
        fuse: from the fast map to what joins the slow map, at its frame rate; None for none.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module, *, fuse: nn.Module | None) -> None:
        super().__init__()
        self.slow = slow
        self.fast = fast
        self.fuse = fuse

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Map (slow ``[N, C, T, H, W]``, fast ``[N, c, alpha T, H, W]``) to the same pair."""
        slow, fast = self.slow(maps[0]), self.fast(maps[1])
        if self.fuse is not None:
            slow = torch.cat((slow, self.fuse(fast)), dim=1)
        return slow, fast


class PathwayStem(Pathways):
    """The first stage: takes the fast clip and picks the slow frames."""

    def __init__(
        self, slow: nn.Module, fast: nn.Module, *, fuse: nn.Module, alpha: int, name: str
    ) -> None:
        super().__init__(slow, fast, fuse=fuse)
        self.alpha = alpha
        self.name = name

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map clips ``[N, 3, T, H, W]`` to (slow, fast).

        Raises:
            UsageError: T is no multiple of alpha.
        """
        if x.shape[2] % self.alpha:
            raise UsageError(
                f"{self.name} takes {self.alpha} fast frames for each slow one: give a multiple of "
                f"{self.alpha} frames, got {x.shape[2]}"
            )
        return super().forward((slow_frames(x, alpha=self.alpha), x))


class JoinedPathways(Pathways):
    """The last stage: one map at the slow frame rate."""

    def __init__(self, slow: nn.Module, fast: nn.Module, *, alpha: int) -> None:
        super().__init__(slow, fast, fuse=None)
        self.alpha = alpha

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Map (slow, fast) to ``[N, C + c, T, H, W]``, slow channels first.

        Each alpha consecutive frames of the fast map are averaged, so that the mean over the joined
        map is that of each pathway, what the head takes.
        """
        slow, fast = super().forward(maps)
        N, c, T, H, W = fast.shape
        per_slow_frame = fast.reshape(N, c, T // self.alpha, self.alpha, H, W)
        return torch.cat((slow, per_slow_frame.mean(3)), dim=1)


def slow_frames(x: Tensor, *, alpha: int) -> Tensor:
    """Pick T / alpha frames, the first and the last among them, as PySlowFast does.

    Args:
        x: ``[N, C, T, H, W]``.
        alpha: frames that one is picked of.

    Returns:
        ``[N, C, T / alpha, H, W]``.
    """
    T = x.shape[2]
    # always on the CPU: another device may round to the neighboring frame
    index = torch.linspace(0, T - 1, T // alpha, device="cpu").long()
    return x.index_select(2, index.to(x.device))


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
        shape: Shape,
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
            fuse=_fusion(fast_width, kernel=kernel, alpha=alpha),
            alpha=alpha,
            name=name,
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
                else Pathways(slow, fast, fuse=_fusion(fast_out, kernel=kernel, alpha=alpha))
            )
            self.add_module(f"layer{i + 1}", stage)
            slow_in, fast_in = slow_out + 2 * fast_out, fast_out
        initialize_convolutions(self)
        self.slow_channels = slow_out
        """Channels of ``features`` that are the slow pathway's, the first."""
        self.add_head(slow_out + fast_out, num_classes, dropout=0.5)


def _stem(width: int, *, time_kernel: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm(3, width, (time_kernel, 7, 7), stride=(1, 2, 2)), spatial_pool()
    )


def _fusion(fast_channels: int, *, kernel: int, alpha: int) -> nn.Sequential:
    """Time-strided convolution to twice the channels (section 3.4)."""
    return conv_norm(fast_channels, 2 * fast_channels, (kernel, 1, 1), stride=(alpha, 1, 1))


def _time_kernels(shape: Shape) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]:
    """Return the temporal kernels of each block of res2 to res5: slow and fast."""
    depth = shape.depths[2]
    slow_res4, fast_res4 = ((3,) * n + (1,) * (depth - n) for n in shape.res4_temporal)
    return ((1,), (1,), slow_res4, (3,)), ((3,), (3,), fast_res4, (3,))


def _r50(
    clip_name: str,
    *,
    num_classes: int,
    width: int,
    fusion_kernel: int,
    nonlocal_pool: str | None = None,
) -> SlowFast:
    clip, alpha = CLIP_SPECS[clip_name]
    return SlowFast(
        f"slowfast_r50_{clip_name}" + ("" if nonlocal_pool is None else "_nl"),
        shape=Shape(
            depths=R50,
            alpha=alpha,
            fusion_kernel=fusion_kernel,
            res4_temporal=(R50[2], R50[2]),
            nonlocal_plan=_plan(R50_NONLOCAL, nonlocal_pool),
        ),
        num_classes=num_classes,
        width=width,
        clip=clip,
        options=_options(width=width, fusion_kernel=fusion_kernel, nonlocal_pool=nonlocal_pool),
    )


def _r101(
    clip_name: str,
    *,
    num_classes: int,
    width: int,
    fusion_kernel: int,
    res4_kernels: str,
    nonlocal_pool: str | None = None,
) -> SlowFast:
    if res4_kernels not in RES4_KERNELS:
        raise unknown_name("res4_kernels", res4_kernels, tuple(RES4_KERNELS))
    clip, alpha = CLIP_SPECS[clip_name]
    return SlowFast(
        f"slowfast_r101_{clip_name}" + ("" if nonlocal_pool is None else "_nl"),
        shape=Shape(
            depths=R101,
            alpha=alpha,
            fusion_kernel=fusion_kernel,
            res4_temporal=RES4_KERNELS[res4_kernels],
            nonlocal_plan=_plan(R101_NONLOCAL, nonlocal_pool),
        ),
        num_classes=num_classes,
        width=width,
        clip=clip,
        options=_options(
            width=width,
            fusion_kernel=fusion_kernel,
            res4_kernels=res4_kernels,
            nonlocal_pool=nonlocal_pool,
        ),
    )


def _plan(after: tuple[tuple[int, ...], ...], pool: str | None) -> NonlocalPlan | None:
    if pool is None:
        return None
    return NonlocalPlan(after=after, affinity="dot_product", pool=pool_size(pool))


def _options(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def slowfast_r50_4x16(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 5
) -> SlowFast:
    """SlowFast R50 4x16; 27.6 GMACs per 32x224x224 clip."""
    return _r50("4x16", num_classes=num_classes, width=width, fusion_kernel=fusion_kernel)


def slowfast_r50_4x16_nl(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 5, nonlocal_pool: str = "2x2x2"
) -> SlowFast:
    """SlowFast R50 4x16, five non-local blocks; 33.8 GMACs per 32x224x224 clip."""
    return _r50(
        "4x16",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        nonlocal_pool=nonlocal_pool,
    )


def slowfast_r50_8x8(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 7
) -> SlowFast:
    """SlowFast R50 8x8; 50.3 GMACs per 32x224x224 clip."""
    return _r50("8x8", num_classes=num_classes, width=width, fusion_kernel=fusion_kernel)


def slowfast_r50_8x8_nl(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 5, nonlocal_pool: str = "2x2x2"
) -> SlowFast:
    """SlowFast R50 8x8, five non-local blocks; 65.2 GMACs per 32x224x224 clip."""
    return _r50(
        "8x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        nonlocal_pool=nonlocal_pool,
    )


def slowfast_r50_16x8(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 7
) -> SlowFast:
    """SlowFast R50 16x8; 101 GMACs per 64x224x224 clip."""
    return _r50("16x8", num_classes=num_classes, width=width, fusion_kernel=fusion_kernel)


def slowfast_r50_16x8_nl(
    *, num_classes: int = 400, width: int = 64, fusion_kernel: int = 7, nonlocal_pool: str = "2x2x2"
) -> SlowFast:
    """SlowFast R50 16x8, five non-local blocks; 143 GMACs per 64x224x224 clip."""
    return _r50(
        "16x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        nonlocal_pool=nonlocal_pool,
    )


def slowfast_r101_8x8(
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
) -> SlowFast:
    """SlowFast R101 8x8; 96.4 GMACs per 32x224x224 clip."""
    return _r101(
        "8x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
    )


def slowfast_r101_8x8_nl(
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
    nonlocal_pool: str = "2x2x2",
) -> SlowFast:
    """SlowFast R101 8x8, three non-local blocks; 103 GMACs per 32x224x224 clip."""
    return _r101(
        "8x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
        nonlocal_pool=nonlocal_pool,
    )


def slowfast_r101_16x8(
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
) -> SlowFast:
    """SlowFast R101 16x8; 193 GMACs per 64x224x224 clip."""
    return _r101(
        "16x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
    )


def slowfast_r101_16x8_nl(
    *,
    num_classes: int = 400,
    width: int = 64,
    fusion_kernel: int = 5,
    res4_kernels: str = "101_101",
    nonlocal_pool: str = "2x2x2",
) -> SlowFast:
    """SlowFast R101 16x8, three non-local blocks; 208 GMACs per 64x224x224 clip."""
    return _r101(
        "16x8",
        num_classes=num_classes,
        width=width,
        fusion_kernel=fusion_kernel,
        res4_kernels=res4_kernels,
        nonlocal_pool=nonlocal_pool,
    )


BUILDERS = {
    "slowfast_r50_4x16": slowfast_r50_4x16,
    "slowfast_r50_8x8": slowfast_r50_8x8,
    "slowfast_r50_16x8": slowfast_r50_16x8,
    "slowfast_r101_8x8": slowfast_r101_8x8,
    "slowfast_r101_16x8": slowfast_r101_16x8,
    "slowfast_r50_4x16_nl": slowfast_r50_4x16_nl,
    "slowfast_r50_8x8_nl": slowfast_r50_8x8_nl,
    "slowfast_r50_16x8_nl": slowfast_r50_16x8_nl,
    "slowfast_r101_8x8_nl": slowfast_r101_8x8_nl,
    "slowfast_r101_16x8_nl": slowfast_r101_16x8_nl,
}


VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    name: ({}, {"res4_kernels": "50_50"}) for name in BUILDERS if "r101" in name
}
"""Options that change the tensors, as published networks have them."""
