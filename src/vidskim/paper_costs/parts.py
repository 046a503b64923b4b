"""What the papers add to a backbone, as far as its cost goes: every multiply-add, no meaning.

FAST-GRU is the one that runs; collaborative memory is counted as it runs, too, and is not here. Of
the others: convolutions and matrix products of the right shapes in the right places, to be counted
on the meta device. None has a bias, and what counts nothing (ReLU, sigmoid, products of single
numbers) is left out.
"""

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from vidskim.aggregate.fast_gru import FastGruCell
from vidskim.backbones.contract import split_at
from vidskim.backbones.network import Network
from vidskim.backbones.registry import shapes_of
from vidskim.backbones.slow import bottleneck_stage
from vidskim.cost import Count, count


class FastGruStep(nn.Module):
    """The step of FAST-GRU that runs in `vidskim.aggregate`, on two maps joined."""

    def __init__(self, channels: int = 2048, *, reduction: int = 4) -> None:
        super().__init__()
        self.cell = FastGruCell(channels, reduction=reduction)

    def forward(self, joined: Tensor) -> Tensor:
        """Map ``[N, 2 C, T, H, W]`` (clip, state) to the new state ``[N, C, T, H, W]``."""
        clip, state = joined.chunk(2, dim=1)
        return cast(Tensor, self.cell(clip, state))


class CompressionModule(nn.Module):
    """The abstraction stage and the projections of query and key (SFC, section 4).

    The text speaks of two residual blocks; both columns of its tables, cost and parameters, ask for
    four bottlenecks of C, C / 4, C channels, the first at spatial stride two.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel: tuple[int, int, int] = (3, 1, 1),
        time_kernels: tuple[int, ...] = (3,),
    ) -> None:
        super().__init__()
        self.abstraction = bottleneck_stage(
            channels, channels // 4, 4, stride=2, time_kernels=time_kernels
        )
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.query, self.key = (
            nn.Conv3d(channels, channels, kernel, padding=padding, bias=False) for _ in range(2)
        )


class Rest(nn.Module):
    """The late part of a backbone and its head."""

    def __init__(self, backbone: Network, late: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.late = late

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T, H, W]`` to logits."""
        return self.backbone.classify(self.late(features))


def count_compressed(
    name: str,
    *,
    cut: str,
    size: tuple[int, int, int],
    kept_frames: int,
    kernel: tuple[int, int, int] = (3, 1, 1),
    time_kernels: tuple[int, ...] = (3,),
) -> Count:
    """Count one pass over a whole video with selective feature compression.

    Query and key are projected at half the map's height and width; the query after pooling. The
    attention map's own products are left out, as in the paper.

    Args:
        name: of the backbone.
        cut: stage after which its map is compressed.
        size: (T, h, w) of the video as it goes in.
        kept_frames: time steps of the map that the late part sees.
        kernel: of the two projections.
        time_kernels: of the first convolutions of the abstraction's blocks, repeated.
    """
    early, rest = _cut(name, cut)
    video = (1, 3, *size)
    head_map = _shape_after(early, video)  # [1, C, T, H, W]
    module = _module(head_map[1], kernel, time_kernels)
    small_map = _shape_after(module.abstraction, head_map)
    parts = [
        _count(early, video),
        _count(module.abstraction, head_map),
        _count(module.key, small_map),
        _count(module.query, (*small_map[:2], kept_frames, *small_map[3:])),
        _count(rest, (*head_map[:2], kept_frames, *head_map[3:])),
    ]
    return Count(
        macs=sum(part.macs for part in parts),
        params=sum(p.numel() for part in (rest.backbone, module) for p in part.parameters()),
        input_shape=video,
        macs_with_2bn=sum(part.macs_with_2bn for part in parts),
    )


@cache
def _cut(name: str, stage: str) -> tuple[nn.Module, Rest]:
    backbone = shapes_of(name).eval()
    early, late = split_at(backbone, stage)
    return early, Rest(backbone, late)


@cache
def _module(
    channels: int, kernel: tuple[int, int, int], time_kernels: tuple[int, ...]
) -> CompressionModule:
    with torch.device("meta"):
        return CompressionModule(channels, kernel=kernel, time_kernels=time_kernels).eval()


@cache
def _count(module: nn.Module, shape: tuple[int, ...]) -> Count:
    return count(module, shape)


@cache
def _shape_after(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.device("meta"), torch.no_grad():
        return tuple(module(torch.empty(shape)).shape)
