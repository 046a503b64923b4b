"""Slow-only, I3D and SlowFast a second time, from a published state dict and its names alone.

No 3-D convolution is called: each tap in time is a 2-D convolution of frames. Batch norm is
written out; dot-product attention is taken in the other order, keys times values first; each
pathway is averaged by itself before the head. What `vidskim` makes of a file is held to this.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

STRIDES = (1, 2, 2, 2)


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network's plan; what is per pathway comes in a tuple, slow first."""

    kernels: tuple[tuple[tuple[int, ...], ...], ...]
    """Temporal kernels: pathway, stage, block."""
    stem_kernels: tuple[int, ...]
    alpha: int = 1
    fusion_kernel: int = 0
    time_pool: int = 1
    attention: dict[int, tuple[int, ...]] | None = None
    """Stage (2 to 5) to the blocks of the first pathway that a non-local block follows."""
    softmax: bool = False
    pool: tuple[int, int, int] = (1, 2, 2)
    width: int = 16
    num_classes: int = 5

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each pathway's stem."""
        return (self.width, self.width // 8)[: len(self.kernels)]


@dataclass(frozen=True)
class PySlowFast:
    """Names as in PySlowFast's models."""

    net: Net

    def stem(self, pathway: int) -> tuple[str, str]:
        return f"s1.pathway{pathway}_stem.conv", f"s1.pathway{pathway}_stem.bn"

    def fusion(self, stage: int) -> tuple[str, str]:
        return f"s{stage}_fuse.conv_f2s", f"s{stage}_fuse.bn"

    def block(self, pathway: int, stage: int, block: int, part: str) -> tuple[str, str]:
        at = f"s{stage}.pathway{pathway}_res{block}."
        at += "branch1" if part == "shortcut" else f"branch2.{part}"
        return at, f"{at}_bn"

    def attention(self, stage: int, block: int) -> tuple[str, ...]:
        at = f"s{stage}.pathway0_nonlocal{block}."
        return tuple(
            f"{at}{part}" for part in ("conv_theta", "conv_phi", "conv_g", "conv_out", "bn")
        )

    @property
    def head(self) -> str:
        return "head.projection"


@dataclass(frozen=True)
class PyTorchVideo:
    """Names as in PyTorchVideo's hub; a pooling over time is a block of its own."""

    net: Net

    def _at(self, pathway: int, stage: int) -> str:
        number = stage - 1 + (self.net.time_pool > 1 and stage > 2)
        two = len(self.net.kernels) > 1
        return f"blocks.{number}." + (f"multipathway_blocks.{pathway}." if two else "")

    def stem(self, pathway: int) -> tuple[str, str]:
        return self._at(pathway, 1) + "conv", self._at(pathway, 1) + "norm"

    def fusion(self, stage: int) -> tuple[str, str]:
        at = f"blocks.{stage - 1}.multipathway_fusion."
        return at + "conv_fast_to_slow", at + "norm"

    def block(self, pathway: int, stage: int, block: int, part: str) -> tuple[str, str]:
        at = f"{self._at(pathway, stage)}res_blocks.{block}."
        if part == "shortcut":
            return at + "branch1_conv", at + "branch1_norm"
        return f"{at}branch2.conv_{part}", f"{at}branch2.norm_{part}"

    @property
    def head(self) -> str:
        extra = self.net.time_pool > 1 or len(self.net.kernels) > 1
        return "blocks.6.proj" if extra else "blocks.5.proj"


Names = PySlowFast | PyTorchVideo


def shapes(names: Names) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of every tensor of a published file."""
    net = names.net
    fast = net.widths[-1]
    for p, width in enumerate(net.widths):
        yield from _conv_norm(names.stem(p), (width, 3, net.stem_kernels[p], 7, 7))
    for s in range(1, 5) if net.fusion_kernel else ():
        c = fast if s == 1 else fast * 2**s
        yield from _conv_norm(names.fusion(s), (2 * c, c, net.fusion_kernel, 1, 1))
    for p, width in enumerate(net.widths):
        for s, kernels in enumerate(net.kernels[p], start=2):
            inner, out = width * 2 ** (s - 2), width * 2**s
            joined = 2 * (fast if s == 2 else fast * 2 ** (s - 1)) if net.fusion_kernel else 0
            first = (width if s == 2 else out // 2) + (joined if p == 0 else 0)
            for b, kernel in enumerate(kernels):
                channels = out if b else first
                yield from _conv_norm(names.block(p, s, b, "a"), (inner, channels, kernel, 1, 1))
                yield from _conv_norm(names.block(p, s, b, "b"), (inner, inner, 1, 3, 3))
                yield from _conv_norm(names.block(p, s, b, "c"), (out, inner, 1, 1, 1))
                if b == 0:
                    yield from _conv_norm(names.block(p, s, b, "shortcut"), (out, first, 1, 1, 1))
                if p == 0 and b in (net.attention or {}).get(s, ()):
                    *ins, last, norm = names.attention(s, b)
                    for conv in ins:
                        yield f"{conv}.weight", (out // 2, out, 1, 1, 1)
                        yield f"{conv}.bias", (out // 2,)
                    yield from _conv_norm((last, norm), (out, out // 2, 1, 1, 1))
                    yield f"{last}.bias", (out,)
    yield f"{names.head}.weight", (net.num_classes, 32 * sum(net.widths))
    yield f"{names.head}.bias", (net.num_classes,)


def _conv_norm(
    names: tuple[str, str], shape: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{names[0]}.weight", shape
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{names[1]}.{part}", shape[:1]
    yield f"{names[1]}.num_batches_tracked", ()


def random_state(names: Names) -> dict[str, Tensor]:
    """Draw every tensor of a published file, with statistics that a swap would show."""
    torch.manual_seed(0)
    state = {}
    for key, shape in shapes(names):
        if not shape:
            state[key] = torch.tensor(3)
        elif key.endswith("running_var"):
            state[key] = torch.empty(shape).uniform_(0.3, 1.5)
        elif len(shape) == 1 and key.endswith("weight"):
            state[key] = torch.empty(shape).uniform_(0.4, 0.8)
        elif len(shape) == 1:
            state[key] = torch.empty(shape).uniform_(-0.2, 0.2)
        else:
            state[key] = torch.randn(shape) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
            if "conv_theta" in key or "conv_phi" in key:  # or attention outgrows the map it reads
                state[key] *= 0.1
    return state


def logits(names: Names, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run a published state dict on clips ``[N, 3, T, H, W]``, to ``[N, num_classes]``."""
    pooled = torch.cat([m.mean((2, 3, 4)) for m in maps(names, state, x)], 1)
    return pooled @ state[f"{names.head}.weight"].T + state[f"{names.head}.bias"]


def probabilities_over_windows(
    names: Names, state: dict[str, Tensor], x: Tensor, *, side: int
) -> Tensor:
    """Return the mean softmax over every ``side`` x ``side`` window of the last maps."""
    last = maps(names, state, x)
    H, W = last[0].shape[-2:]
    seen = []
    for i in range(H - side + 1):
        for j in range(W - side + 1):
            cut = [m[..., i : i + side, j : j + side].mean((2, 3, 4)) for m in last]
            score = torch.cat(cut, 1) @ state[f"{names.head}.weight"].T
            seen.append((score + state[f"{names.head}.bias"]).softmax(1))
    return torch.stack(seen).mean(0)


def maps(names: Names, state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Return the last map of every pathway."""
    net = names.net
    ways = [x]
    if net.alpha > 1:
        index = torch.linspace(0, x.shape[2] - 1, x.shape[2] // net.alpha).long().tolist()
        ways = [torch.stack([x[:, :, t] for t in index], 2), x]
    for s in range(1, 6):
        for p, way in enumerate(ways):
            ways[p] = _stage(names, state, way, p, s)
        if net.fusion_kernel and s < 5:
            fused = _conv(state, names.fusion(s), ways[1], stride=1, time_stride=net.alpha)
            ways[0] = torch.cat([ways[0], fused.clamp(min=0)], 1)
    return ways


def _stage(names: Names, state: dict[str, Tensor], x: Tensor, p: int, s: int) -> Tensor:
    net = names.net
    if s == 1:
        x = _conv(state, names.stem(p), x, stride=2).clamp(min=0)
        N = x.shape[0]
        frames = max_pool2d(x.transpose(1, 2).flatten(0, 1), 3, stride=2, padding=1)
        return frames.unflatten(0, (N, -1)).transpose(1, 2)
    for b in range(len(net.kernels[p][s - 2])):
        stride = STRIDES[s - 2] if b == 0 else 1
        y = _conv(state, names.block(p, s, b, "a"), x, stride=1).clamp(min=0)
        y = _conv(state, names.block(p, s, b, "b"), y, stride=stride).clamp(min=0)
        y = _conv(state, names.block(p, s, b, "c"), y, stride=1)
        if b == 0:
            x = _conv(state, names.block(p, s, b, "shortcut"), x, stride=stride)
        x = (x + y).clamp(min=0)
        if p == 0 and b in (net.attention or {}).get(s, ()):
            x = x + torch.cat([_attend(names, state, one, s, b) for one in x.split(1)])
    if s == 2 and net.time_pool > 1:
        x = torch.stack([m.amax(2) for m in x.split(net.time_pool, 2)], 2)
    return x


def _conv(
    state: dict[str, Tensor],
    names: tuple[str, str],
    x: Tensor,
    *,
    stride: int,
    time_stride: int = 1,
) -> Tensor:
    """Convolution as a sum over its taps in time, then batch norm."""
    weight = state[f"{names[0]}.weight"]
    K, side = weight.shape[2], weight.shape[-1]
    x = pad(x, (0, 0, 0, 0, K // 2, K // 2))
    N, T = x.shape[0], (x.shape[2] - K) // time_stride + 1
    total = torch.zeros(())
    for k in range(K):
        taps = (
            x[:, :, k : k + (T - 1) * time_stride + 1 : time_stride].transpose(1, 2).flatten(0, 1)
        )
        total = total + conv2d(taps, weight[:, :, k], stride=stride, padding=side // 2)
    return _norm(state, names[1], total.unflatten(0, (N, T)).transpose(1, 2))


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var, scale, shift = (
        state[f"{name}.{part}"][:, None, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def _attend(names: Names, state: dict[str, Tensor], x: Tensor, s: int, b: int) -> Tensor:
    """What a non-local block adds to one map ``[1, C, T, H, W]``."""
    theta, phi, g, out, norm = names.attention(s, b)  # type: ignore[union-attr]
    t, h, w = names.net.pool
    T, H, W = x.shape[2:]
    cells = [
        x[0, :, i : i + t, j : j + h, k : k + w].amax((1, 2, 3))
        for i in range(0, T - t + 1, t)
        for j in range(0, H - h + 1, h)
        for k in range(0, W - w + 1, w)
    ]

    def apply(name: str, columns: Tensor) -> Tensor:
        return state[f"{name}.weight"].flatten(1) @ columns + state[f"{name}.bias"][:, None]

    pooled = torch.stack(cells, 1)  # [C, Q]
    query, key, value = apply(theta, x[0].flatten(1)), apply(phi, pooled), apply(g, pooled)
    if names.net.softmax:
        weights = (query.T @ key / query.shape[0] ** 0.5).exp()  # [P, Q]
        found = value @ (weights / weights.sum(1, keepdim=True)).T
    else:
        found = (value @ key.T / key.shape[1]) @ query
    return _norm(state, norm, apply(out, found).reshape(1, -1, T, H, W))
