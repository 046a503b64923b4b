"""Compression of a map over time: few steps are kept, each a mix of all steps of the whole video.

Liu et al., "Selective Feature Compression for Efficient Activity Recognition Inference", ICCV 2021,
section 3.1. F is the map of a whole video, ``[C, T, H, W]``, tau the ratio, K = T / tau::

    F_abs = abstraction(F)                       [C, T, H/2, W/2]
    q     = pool(F_abs)                          [C, K, H/2, W/2]
    M     = softmax over T of theta_q(q)' theta_k(F_abs)         [K, T]         eq. 5
    out   = M F                                  [C, K, H, W]                   eq. 3, 4

M relates whole time steps: keys and values differ in height and width, and the costs of the paper's
tables grow linearly with T. F itself is not transformed on the way, so that what follows can be
frozen.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, adaptive_max_pool3d

from vidskim.backbones.blocks import close_branches
from vidskim.backbones.contract import Maps
from vidskim.backbones.network import initialize_convolutions
from vidskim.backbones.slow import bottleneck_stage
from vidskim.errors import UsageError, unknown_name
from vidskim.model.full_precision import full_precision

Pooling = Literal["topk", "topk_places", "average", "max"]
"""How K queries are made of T steps (table 6 (b)): the K steps whose mean activation is highest, in
the order of time; the K highest values of every channel and place, in the order of time; or the
mean or maximum of K neighboring parts."""

Value = Literal["head", "abstracted", "projected"]
"""What M mixes (table 6 (c)): the map as it is, F_abs, or the map after a convolution of its own as
in self-attention."""

Kernel = Literal["1x1x1", "3x1x1", "3x3x3"]
"""Of the convolutions of query and key (table 6 (d)), time first."""

Scale = Literal["none", "channels", "features"]
"""What the products of queries and keys are divided by: nothing, as printed in eq. 5; the root of
C; or the root of the C H' W' numbers that each product sums over."""


MAX_RATIO = 10_000

RATIO = re.compile(r"\s*\d{1,8}(\.\d{0,8}|/\d{1,8})?\s*")
"""What text may be: an exponent could ask for a number of any length."""


@dataclass(frozen=True, slots=True)
class Attention:
    """How much each kept step takes of each step of the video."""

    weights: Tensor
    """M, ``[N, K, T]``; each row sums to one."""
    kept: Tensor | None
    """The steps that the queries are, sorted, ``[N, K]``; None where a query is no single step."""


class TemporalCompression(nn.Module):
    """Phi: maps of whole videos to maps of fewer steps.

    The projections begin as the identity: a query is most like its own step, so that an untrained
    compression passes on the kept steps, more or less alone (the paper does not say how it begins).

    Where a network has several pathways (SlowFast), the first map decides and the others follow it:
    each of its steps stands for as many neighboring ones of theirs. A class token, a map of one
    place, passes as it is.

    Args:
        channels: C of the (first) map.
        ratio: tau, T / K: a number from 1 on, or text such as "4/3".
        pooling: of the queries.
        abstraction: whether queries and keys are made of F_abs or of the map itself.
        value: what is mixed.
        kernel: of the convolutions of query and key; without bias.
        scale: of the products.
        num_blocks: of the abstraction, bottlenecks of C, C / 4, C channels with 3x1x1 and 1x3x3
            convolutions, the first one at spatial stride two. The text has "two ResNet blocks";
            both costs and parameters of the tables ask for four.
        time_kernels: of the first convolutions of the abstraction's blocks, repeated.

    Raises:
        UsageError: an unknown word, a ratio below one, channels that four does not divide,
            abstracted values without an abstraction, or an impossible abstraction.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float | str = 2,
        pooling: Pooling = "topk",
        abstraction: bool = True,
        value: Value = "head",
        kernel: Kernel = "3x1x1",
        scale: Scale = "none",
        num_blocks: int = 4,
        time_kernels: tuple[int, ...] = (3,),
    ) -> None:
        super().__init__()
        for what, word, words in (
            ("pooling", pooling, get_args(Pooling)),
            ("value", value, get_args(Value)),
            ("kernel", kernel, get_args(Kernel)),
            ("scale", scale, get_args(Scale)),
        ):
            if word not in words:
                raise unknown_name(what, str(word), words)
        if type(abstraction) is not bool:
            raise UsageError(f"abstraction is true or false, got {abstraction!r}")
        if value == "abstracted" and not abstraction:
            raise UsageError(
                "value 'abstracted' needs an abstraction: set it true, or value 'head'"
            )
        if abstraction and (channels < 4 or channels % 4):
            raise UsageError(
                f"an abstraction has bottlenecks of a quarter of the channels, {channels} are no "
                "multiple of four: cut at another stage, or leave it out"
            )
        if type(num_blocks) is not int or not 1 <= num_blocks <= 64:
            raise UsageError(f"an abstraction has 1 to 64 blocks, got {num_blocks!r}")
        kernels = tuple(time_kernels)
        if not kernels or len(kernels) > 64 or any(k not in (1, 3, 5, 7) for k in kernels):
            raise UsageError(
                f"time kernels of an abstraction are odd numbers up to 7, got {time_kernels!r}"
            )
        self.channels = channels
        self.ratio = read_ratio(ratio)
        self.pooling: Pooling = pooling
        self.value: Value = value
        self.scale: Scale = scale
        self.options: dict[str, Any] = {
            "ratio": str(self.ratio),
            "pooling": pooling,
            "abstraction": abstraction,
            "value": value,
            "kernel": kernel,
            "scale": scale,
            "num_blocks": num_blocks,
            "time_kernels": list(kernels),
        }
        """What builds it again, beside the channels; plain JSON values."""
        self.abstraction = None
        if abstraction:
            self.abstraction = bottleneck_stage(
                channels, channels // 4, num_blocks, stride=2, time_kernels=kernels
            )
            initialize_convolutions(self.abstraction)
            close_branches(self.abstraction)
        size = tuple(int(n) for n in kernel.split("x"))
        self.query = _projection(channels, size)
        self.key = _projection(channels, size)
        self.projection = _projection(channels, size) if value == "projected" else None

    def num_kept(self, num_steps: int) -> int:
        """Return K of T steps: T / tau, rounded down, at least one."""
        return max(1, int(num_steps / self.ratio))

    def forward(self, maps: Maps) -> Maps:
        """Map ``[N, C, T, H, W]`` to ``[N, C, K, H, W]``, and the maps of other pathways alike."""
        return self.compress(maps)[0]

    def compress(self, maps: Maps) -> tuple[Maps, Attention]:
        """Return the compressed maps and what they are mixed by."""
        first = maps[0] if isinstance(maps, tuple) else maps
        abstracted = first if self.abstraction is None else self.abstraction(first)
        attention = self.attend(abstracted)
        if self.value == "head":
            return mix(attention.weights, maps), attention
        if isinstance(maps, tuple):
            raise UsageError(
                "a network of several pathways is compressed with value 'head' only: the others "
                "have no abstraction"
            )
        value = abstracted if self.projection is None else self.projection(first)
        return mix(attention.weights, value), attention

    def attend(self, features: Tensor) -> Attention:
        """Relate pooled queries to keys, both made of ``[N, C, T, H', W']`` (eq. 5).

        The products, sums over whole maps, are in float32 at least.
        """
        pooled, kept = self._pool(features)
        query, key = self.query(pooled), self.key(features)
        size = features.shape[1:2] if self.scale == "channels" else key[0, :, 0].shape
        with full_precision(features):
            query, key = (_rows(x) for x in (query, key))
            products = query @ key.transpose(1, 2)  # [N, K, T]
            if self.scale != "none":
                products = products / math.sqrt(math.prod(size))
            return Attention(products.softmax(2), kept)

    def _pool(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Make queries ``[N, C, K, H', W']`` of ``[N, C, T, H', W']``; say which steps they are."""
        T = features.shape[2]
        K = self.num_kept(T)
        if self.pooling == "topk":
            kind = torch.promote_types(features.dtype, torch.float32)  # bf16 would tie most steps
            activation = features.mean((1, 3, 4), dtype=kind)
            kept = activation.topk(K, dim=1).indices.sort(1).values  # [N, K]
            index = kept[:, None, :, None, None].expand(
                -1, features.shape[1], -1, *features.shape[3:]
            )
            return features.gather(2, index), kept
        if self.pooling == "topk_places":
            return features.gather(2, features.topk(K, dim=2).indices.sort(2).values), None
        pool = adaptive_avg_pool3d if self.pooling == "average" else adaptive_max_pool3d
        return pool(features, (K, *features.shape[3:])), None


def mix(weights: Tensor, maps: Maps) -> Maps:
    """Mix the steps of maps: ``[N, K, T]`` and ``[N, C, T, H, W]`` to ``[N, C, K, H, W]`` (eq. 4).

    Of several maps, one of a T steps, whole a, has a neighboring steps for each of M's; a map of
    one place is a class token, and passes.

    Raises:
        UsageError: a map whose steps are no multiple of M's.
    """
    if isinstance(maps, tuple):
        return tuple(_mixed(weights, one) for one in maps)
    return _mixed(weights, maps)


def _mixed(weights: Tensor, x: Tensor) -> Tensor:
    N, C, T, H, W = x.shape
    if T == H == W == 1 and weights.shape[2] > 1:
        return x
    if T % weights.shape[2]:
        raise UsageError(
            f"an attention over {weights.shape[2]} steps cannot be shared by a map of {T}"
        )
    K, each = weights.shape[1], T // weights.shape[2]
    # the order of channels_last_3d, in which networks run: such maps are not copied
    rows = x.permute(0, 2, 3, 4, 1).reshape(N, weights.shape[2], -1)  # [N, T, each H W C]
    mixed = weights.to(x.dtype) @ rows
    return mixed.reshape(N, K * each, H, W, C).permute(0, 4, 1, 2, 3)


def attention_macs(shape: tuple[int, ...], *, num_kept: int, small: tuple[int, int]) -> int:
    """Return the multiply-adds of M and of its mixing, which the paper's costs leave out.

    Args:
        shape: of the map that is mixed, ``(C, T, H, W)``.
        num_kept: K.
        small: (H', W') of queries and keys.
    """
    C, T, H, W = shape
    return num_kept * T * C * (small[0] * small[1] + H * W)


def read_ratio(ratio: float | str | Fraction) -> Fraction:
    """Read tau: a number from 1 on, or text such as "4/3".

    Raises:
        UsageError: anything else.
    """
    try:
        is_plain = not isinstance(ratio, str) or RATIO.fullmatch(ratio) is not None
        read = Fraction(ratio) if is_plain else Fraction(0)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        read = Fraction(0)
    if isinstance(ratio, bool) or not 1 <= read <= MAX_RATIO:
        raise UsageError(
            f"ratio (tau) is a number from 1 to {MAX_RATIO}, or text such as 4/3, got {ratio!r}"
        )
    return read.limit_denominator(1000)


def _projection(channels: int, kernel: tuple[int, ...]) -> nn.Conv3d:
    size = (kernel[0], kernel[1], kernel[2])
    projection = nn.Conv3d(
        channels, channels, size, padding=(size[0] // 2, size[1] // 2, size[2] // 2), bias=False
    )
    nn.init.dirac_(projection.weight)
    return projection


def _rows(x: Tensor) -> Tensor:
    """Bring ``[N, C, T, H, W]`` to one row per step, ``[N, T, H W C]``, of float32 at least."""
    rows = x.permute(0, 2, 3, 4, 1).flatten(2)
    return rows if rows.dtype == torch.float64 else rows.float()
