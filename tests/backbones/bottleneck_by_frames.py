"""Residual networks a second time: a list of convolutions by the publisher's names, run on frames.

No 3-D convolution is called: each tap in time is a 2-D convolution of frames, and batch norm is
written out. What `vidskim` makes of a publisher's file is held to this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution and the batch norm after it, by the names of their tensors."""

    conv: str
    norm: str
    shape: tuple[int, ...]
    """Of the weight: out, in / groups, T, H, W."""
    stride: tuple[int, int, int] = (1, 1, 1)
    relu: bool = True
    eps: float = 1e-5
    groups: int = 1
    pad_time: bool = True


@dataclass(frozen=True, kw_only=True)
class Net:
    """Stem, blocks as (layers, layers of the shortcut), head."""

    stem: Sequence[Layer]
    blocks: Sequence[tuple[Sequence[Layer], Sequence[Layer]]]
    head: str
    channels: int
    pool: bool
    num_classes: int = 7
    layers: list[Layer] = field(init=False)

    def __post_init__(self) -> None:
        parts = [*self.stem, *(layer for main, across in self.blocks for layer in (*main, *across))]
        object.__setattr__(self, "layers", parts)


def random_state(net: Net) -> dict[str, Tensor]:
    """Draw every tensor of a published file; sizes of activations stay as they are."""
    torch.manual_seed(0)
    state = {}
    for layer in net.layers:
        fan_in = layer.shape[1] * layer.shape[2] * layer.shape[3] * layer.shape[4]
        channels = layer.shape[0]
        state[f"{layer.conv}.weight"] = torch.randn(layer.shape) * (2 / fan_in) ** 0.5
        state[f"{layer.norm}.weight"] = torch.empty(channels).uniform_(0.4, 0.8)
        state[f"{layer.norm}.bias"] = torch.empty(channels).uniform_(-0.2, 0.2)
        state[f"{layer.norm}.running_mean"] = torch.empty(channels).uniform_(-0.2, 0.2)
        # small, so that epsilon counts
        state[f"{layer.norm}.running_var"] = torch.empty(channels).uniform_(0.05, 1.0)
        state[f"{layer.norm}.num_batches_tracked"] = torch.tensor(3)
    state[f"{net.head}.weight"] = torch.randn(net.num_classes, net.channels) * net.channels**-0.5
    state[f"{net.head}.bias"] = torch.randn(net.num_classes)
    return state


def logits(net: Net, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run a published state dict on clips ``[N, 3, T, H, W]``, to ``[N, num_classes]``."""
    for layer in net.stem:
        x = _run(layer, state, x)
    if net.pool:
        N, T = x.shape[0], x.shape[2]
        frames = max_pool2d(x.transpose(1, 2).flatten(0, 1), 3, stride=2, padding=1)
        x = frames.unflatten(0, (N, T)).transpose(1, 2)
    for main, across in net.blocks:
        y, short = x, x
        for layer in main:
            y = _run(layer, state, y)
        for layer in across:
            short = _run(layer, state, short)
        x = (y + short).clamp(min=0)
    pooled = x.mean((2, 3, 4))
    return pooled @ state[f"{net.head}.weight"].T + state[f"{net.head}.bias"]


def _run(layer: Layer, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Convolution as a sum over its taps in time, then (x - mean) / sqrt(var + eps) and so on."""
    weight = state[f"{layer.conv}.weight"]
    K = weight.shape[2]
    step = layer.stride[0]
    if layer.pad_time:
        x = pad(x, (0, 0, 0, 0, K // 2, K // 2))
    N, T = x.shape[0], (x.shape[2] - K) // step + 1
    out = torch.zeros(())
    for k in range(K):
        frames = x[:, :, k : k + (T - 1) * step + 1 : step].transpose(1, 2).flatten(0, 1)
        out = out + conv2d(
            frames,
            weight[:, :, k],
            stride=layer.stride[1:],
            padding=weight.shape[-1] // 2,
            groups=layer.groups,
        )
    mean, var, scale, shift = (
        state[f"{layer.norm}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    out = (out - mean) / (var + layer.eps).sqrt() * scale + shift
    out = out.clamp(min=0) if layer.relu else out
    return out.unflatten(0, (N, T)).transpose(1, 2)
