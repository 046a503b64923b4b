"""Batch norm over clips of different videos only (collaborative memory, section 3.3).

A batch of N clips of each of B videos holds clips that look alike: statistics over all of them
would be those of B videos taken for N B. They are taken over each group {clip n of every video}
instead, B clips of different videos, and the running ones are the mean over the groups. A backbone
then sees statistics of as many videos as in training on single clips of B videos.

Where a process holds a single video, a group is one clip; its statistics are then taken over the
clips that all processes hold.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from vidskim.errors import UsageError


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one group: the mean and the unbiased variance of each channel ``[C]``."""

    mean: Tensor
    variance: Tensor


@dataclass(slots=True)
class Grouping:
    """How the norms of a network see a batch; one object for all of them."""

    num_groups: int = 1
    """Groups that a batch holds one after another, of as many clips each."""
    is_synchronized: bool = False
    """Whether a group spans the processes that train together."""
    is_recording: bool = True
    """Whether running statistics are updated."""
    gathered: "dict[SubBatchNorm, list[Statistics]] | None" = None
    """Where statistics wait for those of further groups; None to record them at once."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave running statistics as they are: for clips that are seen twice in one step."""
        was, self.is_recording = self.is_recording, False
        try:
            yield
        finally:
            self.is_recording = was

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record what all passes inside have seen once, as if it had been one pass."""
        self.gathered = {}
        try:
            yield
        finally:
            gathered, self.gathered = self.gathered, None
        for norm, statistics in gathered.items():
            norm.record(statistics)


class SubBatchNorm(_BatchNorm):
    """A batch norm that takes the statistics of each group of a batch by themselves.

    It shares parameters and running statistics with the norm it replaces, under the same names, and
    does the same in evaluation.

    Args:
        like: the norm to replace.
        grouping: of the network.
    """

    def __init__(self, like: _BatchNorm, *, grouping: Grouping) -> None:
        nn.Module.__init__(self)
        self.num_features = like.num_features
        self.eps = like.eps
        self.momentum = like.momentum
        self.affine = like.affine
        self.track_running_stats = like.track_running_stats
        self._parameters = like._parameters
        self._buffers = like._buffers
        self.grouping = grouping
        self.training = like.training

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[G * B, C, ...]``, groups one after another, to the same shape.

        Raises:
            UsageError: groups of different size.
        """
        grouping = self.grouping
        if not self.training:
            return super().forward(x)
        if len(x) % grouping.num_groups:
            raise UsageError(
                f"a batch of {len(x)} clips cannot be in {grouping.num_groups} groups of one size"
            )
        parts = x.chunk(grouping.num_groups)
        if parts[0].numel() == parts[0].shape[1] and not grouping.is_synchronized:
            raise UsageError(
                "batch norm needs more than one place per channel, a group is one clip whose map "
                f"is {list(x.shape[2:])}: give more videos per step, or larger clips"
            )
        done, statistics = [], []
        for part in parts:
            normalize = self._synchronized if grouping.is_synchronized else self._local
            out, of_group = normalize(part)
            done.append(out)
            statistics.append(of_group)
        if grouping.is_recording and self.running_mean is not None:
            if grouping.gathered is None:
                self.record(statistics)
            else:
                grouping.gathered.setdefault(self, []).extend(statistics)
        return done[0] if len(done) == 1 else torch.cat(done)

    def _local(self, part: Tensor) -> tuple[Tensor, Statistics]:
        """Normalize one group ``[B, C, ...]``."""
        mean = torch.zeros_like(self.weight)
        variance = torch.ones_like(self.weight)
        # a momentum of one leaves the statistics of this group alone
        out = batch_norm(part, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        return out, Statistics(mean, variance)

    def _synchronized(self, part: Tensor) -> tuple[Tensor, Statistics]:
        """Normalize one group by statistics over all processes."""
        shape = (1, -1, *[1] * (part.ndim - 2))
        dims = (0, *range(2, part.ndim))
        x = part if part.dtype == torch.float64 else part.float()
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        mean = all_sum(x.sum(dims)) / count
        centered = x - mean.view(shape)
        variance = all_sum(centered.square().sum(dims)) / count
        scale = torch.rsqrt(variance + self.eps) * self.weight
        out = centered * scale.view(shape) + self.bias.view(shape)
        unbiased = variance.detach() * count / max(1, count - 1)
        return out.to(part.dtype), Statistics(mean.detach(), unbiased)

    def record(self, statistics: Sequence[Statistics]) -> None:
        """Move the running statistics towards the mean over groups."""
        mean = torch.stack([one.mean for one in statistics]).mean(0)
        variance = torch.stack([one.variance for one in statistics]).mean(0)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # a plain mean over all batches
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)

    def _check_input_dim(self, x: Tensor) -> None:
        """Take maps of any number of dimensions."""


def use_sub_batches(network: nn.Module) -> Grouping:
    """Replace the batch norms of a network, in place; return how they see a batch.

    Until something is changed in what is returned, a batch is one group, as before.
    """
    grouping = Grouping()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and child.affine:
                setattr(parent, name, SubBatchNorm(child, grouping=grouping))
    return grouping


class _AllSum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].detach().clone()
        distributed.all_reduce(total)
        return total


def all_sum(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, which gradients pass through."""
    return cast(Tensor, _AllSum.apply(x))  # type: ignore[no-untyped-call]
