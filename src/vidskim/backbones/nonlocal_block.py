"""Non-local blocks: every place of a map attends to every other and adds what it finds.

Wang et al., "Non-local Neural Networks", CVPR 2018, section 3.3, as PySlowFast builds them
(models/nonlocal_helper.py): half the channels inside, batch norm on the output.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from vidskim.errors import unknown_name

Affinity = Literal["softmax", "dot_product"]
"""How the products of queries and keys become weights: softmax of products divided by the root of
the channels, or products divided by the number of keys."""

POOLS = {"1x2x2": (1, 2, 2), "2x2x2": (2, 2, 2)}
"""Names of what keys and values are max-pooled by over (time, height, width): PySlowFast's
configurations for Kinetics; those for AVA, and the SlowFast and collaborative memory papers' costs.
"""

R50_NONLOCAL = ((), (1, 3), (1, 3, 5), ())
R101_NONLOCAL = ((), (), (6, 13, 20), ())
"""Blocks of res2 to res5 that a non-local block follows in PySlowFast's configurations: every other
one of res3 and res4, or three of res4 that lie seven apart."""


@dataclass(frozen=True, slots=True)
class NonlocalPlan:
    """Where a residual network has non-local blocks, and of what kind."""

    after: tuple[tuple[int, ...], ...]
    """For each stage from res2 on, the residual blocks that one follows, counted from 0."""
    affinity: Affinity
    pool: tuple[int, int, int]
    """Max pooling of keys and values over (time, height, width)."""


class NonlocalBlock(nn.Module):
    """``x + norm(out(attention(x)))``, ``[N, C, T, H, W]`` to the same.

    The norm's scale starts at zero (Wang et al. 2018, section 4.1), so that an untrained block
    changes nothing.

    Args:
        channels: C.
        affinity: how weights are made of products.
        pool: max pooling of keys and values over (time, height, width); cut to a smaller map.
    """

    def __init__(
        self, channels: int, *, affinity: Affinity, pool: tuple[int, int, int] = (1, 2, 2)
    ) -> None:
        super().__init__()
        inside = channels // 2
        self.affinity = affinity
        self.pool = pool
        self.query = nn.Conv3d(channels, inside, 1)
        self.key = nn.Conv3d(channels, inside, 1)
        self.value = nn.Conv3d(channels, inside, 1)
        self.out = nn.Conv3d(inside, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Add to every place what it attends to; P places, Q of them after pooling."""
        N, _, T, H, W = x.shape
        size = (min(self.pool[0], T), min(self.pool[1], H), min(self.pool[2], W))
        pooled = x if size == (1, 1, 1) else max_pool3d(x, size)
        query = self.query(x).flatten(2).transpose(1, 2)  # [N, P, C / 2]
        key = self.key(pooled).flatten(2)  # [N, C / 2, Q]
        value = self.value(pooled).flatten(2).transpose(1, 2)  # [N, Q, C / 2]
        product = torch.bmm(query, key)  # [N, P, Q]
        if self.affinity == "softmax":
            weights = torch.softmax(product * key.shape[1] ** -0.5, dim=2)
        else:
            weights = product / key.shape[2]
        found = torch.bmm(weights, value).transpose(1, 2)  # [N, C / 2, P]
        added: Tensor = self.norm(self.out(found.reshape(N, -1, T, H, W)))
        return x + added


def with_nonlocal_blocks(
    stage: nn.Sequential,
    channels: int,
    *,
    after: Sequence[int],
    affinity: Affinity,
    pool: tuple[int, int, int],
) -> nn.Sequential:
    """Return a stage with a non-local block behind some of its blocks.

    The others keep their names ("0", "1", ...); the one behind block 3 is ``nonlocal3``.

    Args:
        stage: residual blocks one after another.
        channels: that they give.
        after: the blocks that one follows, counted from 0.
        affinity: see `NonlocalBlock`.
        pool: see `NonlocalBlock`.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, block in stage.named_children():
        modules[name] = block
        if int(name) in after:
            modules[f"nonlocal{name}"] = NonlocalBlock(channels, affinity=affinity, pool=pool)
    return nn.Sequential(modules)


def pool_size(name: str) -> tuple[int, int, int]:
    """Return what an option such as ``2x2x2`` stands for.

    Raises:
        UsageError: no pooling of this name.
    """
    if name not in POOLS:
        raise unknown_name("nonlocal_pool", name, tuple(POOLS))
    return POOLS[name]
