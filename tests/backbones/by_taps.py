"""Published networks a second time: convolutions and poolings summed tap by tap.

A forward pass draws the tensors of the file as it needs them, so that what it has used in the end
is the file: names and shapes come from the test, not from `vidskim`. No convolution, pooling or
batch norm of PyTorch is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad

Pads = Sequence[tuple[int, int]]
"""Before and after, for time, height and width."""


@dataclass
class File:
    """The tensors drawn so far, and operations that draw more."""

    eps: float = 1e-5
    counters: bool = True
    """Whether batch norms count the steps of training, as newer files do."""
    state: dict[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def draw(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of the file, drawn at its first use."""
        if name not in self.state:
            if len(shape) > 1:
                value = torch.randn(shape, generator=self.generator)
                value *= (2 / value[0].numel()) ** 0.5
            else:
                value = torch.rand(shape, generator=self.generator)
                # small variances, so that epsilon counts
                ends = {"weight": (0.4, 0.8), "running_var": (0.05, 1.0)}
                low, high = ends.get(name.rpartition(".")[2], (-0.2, 0.2))
                value = low + (high - low) * value
            self.state[name] = value
        assert self.state[name].shape == shape, name
        return self.state[name]

    def conv(
        self,
        name: str,
        x: Tensor,
        channels: int,
        kernel: Sequence[int] = (1, 1, 1),
        *,
        stride: Sequence[int] = (1, 1, 1),
        pads: Pads | None = None,
        channelwise: bool = False,
        bias: bool = False,
    ) -> Tensor:
        """Convolve ``[N, C, T, H, W]``, by default padded by half the kernel."""
        inside = 1 if channelwise else x.shape[1]
        weight = self.draw(f"{name}.weight", (channels, inside, *kernel))
        out = torch.zeros(())
        for place, part in taps(x, kernel, stride=stride, pads=pads):
            tap = weight[(..., *place)]
            if channelwise:
                out = out + part * tap[:, 0, None, None, None]
            else:
                out = out + torch.einsum("oc,ncthw->nothw", tap, part)
        if bias:
            out = out + self.draw(f"{name}.bias", (channels,))[:, None, None, None]
        return out

    def norm(self, name: str, x: Tensor, *, relu: bool = True) -> Tensor:
        """Normalize by the running statistics."""
        scale, shift, mean, var = (
            self.draw(f"{name}.{part}", (x.shape[1],))[:, None, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if self.counters:
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(3)
        out = (x - mean) * (scale / (var + self.eps).sqrt()) + shift
        return out.clamp(min=0) if relu else out


def taps(x, kernel, *, stride=(1, 1, 1), pads=None, value=0.0, count=None):
    """Yield each place of a kernel and what it sees of ``[N, C, T, H, W]`` in all its steps."""
    pads = [(k // 2, k // 2) for k in kernel] if pads is None else pads
    x = pad(x, [n for ends in reversed(pads) for n in ends], value=value)
    if count is None:
        count = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride)]
    for place in product(*map(range, kernel)):
        steps = (slice(p, p + (n - 1) * s + 1, s) for p, n, s in zip(place, count, stride))
        yield place, x[(..., *steps)]


def max_pool(x, kernel, *, stride, pads=None, count=None):
    """Take the largest of each window; what lies outside the map counts for nothing."""
    windows = taps(x, kernel, stride=stride, pads=pads, value=-torch.inf, count=count)
    return torch.stack([part for _, part in windows]).amax(0)
