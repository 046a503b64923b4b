"""One bottleneck network over space and time; R(2+1)D-50 to -152, R3D-50, R2D-26 and CSN are plans.

Every block is 1x1x1, the plan's middle convolution, 1x1x1, with the stage's stride in the middle
and a strided 1x1x1 projection in the first block of each stage. Parameters are named as in
torchvision and VMZ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from vidskim.backbones.blocks import RESNET_STAGES, Bottleneck, check_width, set_norm_eps
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.backbones.nonlocal_block import NonlocalPlan, with_nonlocal_blocks
from vidskim.clips.transform import Transform

Stride = tuple[int, int, int]
"""Over time, height and width."""

HALVING: tuple[Stride, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
"""Strides of res2 to res5 in VMZ's networks and FASTER's: time and space shrink together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What tells one bottleneck network from another."""

    stem: Callable[[int], nn.Module]
    """From the width to what turns a clip into a map of that many channels."""
    middle: Callable[[int, Stride], nn.Module]
    """From channels and stride to the convolution inside a block."""
    depths: Sequence[int]
    strides: Sequence[Stride] = HALVING
    """Of the first block of res2 to res5."""
    nonlocal_plan: NonlocalPlan | None = None
    norm_eps: float = 1e-5
    dropout: float = 0.0


class BottleneckNetwork(Network):
    """Stem, four stages of bottleneck blocks, head; keeps the contract of `contract.Backbone`.

    Args:
        name: what the registry calls it.
        plan: stem, blocks and strides.
        num_classes: classes of the head.
        width: channels of the stem, 64 in the papers; res2 has four times as many.
        clip: the clip it is made for.
        transform: from decoded frames to its input.
        options: what the builder was called with, for checkpoints.

    Raises:
        UsageError: a width or number of classes below one.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: Plan,
        num_classes: int,
        width: int,
        clip: ClipSpec,
        transform: Transform,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            name, stages=RESNET_STAGES, clip=clip, transform=transform, options=options
        )
        check_width(width)
        self.stem = plan.stem(width)
        in_channels = width
        for i, (depth, stride) in enumerate(zip(plan.depths, plan.strides, strict=True)):
            mid_channels = width << i
            blocks = []
            for j in range(depth):
                step = stride if j == 0 else (1, 1, 1)
                blocks.append(
                    Bottleneck(
                        in_channels,
                        mid_channels,
                        4 * mid_channels,
                        middle=plan.middle(mid_channels, step),
                        stride=step,
                    )
                )
                in_channels = 4 * mid_channels
            stage = nn.Sequential(*blocks)
            attention = plan.nonlocal_plan
            if attention is not None and attention.after[i]:
                stage = with_nonlocal_blocks(
                    stage,
                    in_channels,
                    after=attention.after[i],
                    affinity=attention.affinity,
                    pool=attention.pool,
                )
            self.add_module(f"layer{i + 1}", stage)
        initialize_convolutions(self)
        set_norm_eps(self, plan.norm_eps)
        self.add_head(in_channels, num_classes, dropout=plan.dropout)
