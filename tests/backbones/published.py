"""Published networks a second time: a forward pass that draws the file's tensors as it needs them.

What it has used in the end is the file: names and shapes come from here, not from `vidskim`. No
3-D convolution is called: each tap in time is a 2-D convolution of frames, groups are convolved one
by one, batch norm is written out.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

STATISTICS = ("weight", "bias", "running_mean", "running_var")


@dataclass
class Published:
    """The tensors drawn so far, and operations that draw more."""

    state: dict[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def draw(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return a tensor of the file, drawn at its first use; on meta only its shape is."""
        if name not in self.state:
            if like.device.type == "meta":
                value = torch.empty(shape, device="meta")
            elif len(shape) > 1:
                value = torch.randn(shape, generator=self.generator)
                value *= (2 / value[0].numel()) ** 0.5
            else:
                value = torch.rand(shape, generator=self.generator)
                low, high = {"weight": (0.4, 0.9), "running_var": (0.2, 1.0)}.get(
                    name.rpartition(".")[2], (-0.2, 0.2)
                )
                value = low + (high - low) * value
            self.state[name] = value
        assert self.state[name].shape == shape, name
        return self.state[name]

    def conv(
        self,
        name: str,
        x: Tensor,
        channels: int,
        *,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
        groups: int = 1,
    ) -> Tensor:
        """Convolve ``[N, C, T, H, W]``, padded by half the kernel."""
        inside = x.shape[1] // groups
        weight = self.draw(f"{name}.weight", (channels, inside, *kernel), x)
        K, step = kernel[0], stride[0]
        x = pad(x, (0, 0, 0, 0, K // 2, K // 2))
        N, T = x.shape[0], (x.shape[2] - K) // step + 1
        out = []
        for part, own in zip(x.split(inside, 1), weight.chunk(groups), strict=True):
            taps = [
                conv2d(
                    part[:, :, k : k + (T - 1) * step + 1 : step].transpose(1, 2).flatten(0, 1),
                    own[:, :, k],
                    stride=stride[1:],
                    padding=(kernel[1] // 2, kernel[2] // 2),
                )
                for k in range(K)
            ]
            out.append(sum(taps))
        return torch.cat(out, 1).unflatten(0, (N, T)).transpose(1, 2)

    def norm(self, name: str, x: Tensor, *, relu: bool = True) -> Tensor:
        """Normalize by the running statistics."""
        scale, shift, mean, var = (
            self.draw(f"{name}.{part}", (x.shape[1],), x)[:, None, None, None]
            for part in STATISTICS
        )
        out = (x - mean) * (scale / (var + 1e-5).sqrt()) + shift
        return out.clamp(min=0) if relu else out

    def head(self, name: str, pooled: Tensor, num_classes: int) -> Tensor:
        """Map ``[N, C]`` to logits."""
        weight = self.draw(f"{name}.weight", (num_classes, pooled.shape[1]), pooled)
        return pooled @ weight.T + self.draw(f"{name}.bias", (num_classes,), pooled)


@dataclass(frozen=True, kw_only=True)
class Names:
    """Convolution and norm, as a publisher calls them; s, b and n are stage, block and number."""

    stem: tuple[str, str]
    block: tuple[str, str]
    shortcut: tuple[str, str]

    def at(self, prefix: str) -> "Names":
        """Return the same names below a prefix."""
        parts = (self.stem, self.block, self.shortcut)
        stem, block, shortcut = ((prefix + conv, prefix + norm) for conv, norm in parts)
        return Names(stem=stem, block=block, shortcut=shortcut)


TPN_NAMES = Names(
    stem=("conv1", "bn1"),
    block=("layer{s}.{b}.conv{n}", "layer{s}.{b}.bn{n}"),
    shortcut=("layer{s}.{b}.downsample.0", "layer{s}.{b}.downsample.1"),
).at("backbone.")

MMACTION2_PARTS = Names(
    stem=("conv1.conv", "conv1.bn"),
    block=("layer{s}.{b}.conv{n}.conv", "layer{s}.{b}.conv{n}.bn"),
    shortcut=("layer{s}.{b}.downsample.conv", "layer{s}.{b}.downsample.bn"),
)
MMACTION2_NAMES = MMACTION2_PARTS.at("backbone.")


def stem(
    file: Published, names: Names, x: Tensor, width: int, *, time_kernel: int = 1, step: int = 1
) -> Tensor:
    """Run 7x7 convolution, norm and 3x3 max pooling; both stride space by 2 and time by step."""
    conv, norm = names.stem
    x = file.conv(conv, x, width, kernel=(time_kernel, 7, 7), stride=(step, 2, 2))
    x = file.norm(norm, x)[:, :, ::step]
    N, _, T = x.shape[:3]
    frames = max_pool2d(x.transpose(1, 2).flatten(0, 1), 3, stride=2, padding=1)
    return frames.unflatten(0, (N, T)).transpose(1, 2)


def stage(
    file: Published, names: Names, x: Tensor, s: int, width: int, time_kernels: tuple[int, ...]
) -> Tensor:
    """Run the bottlenecks of layer s (1 to 4), one per temporal kernel."""
    inside = width * 2 ** (s - 1)
    for b, K in enumerate(time_kernels):
        stride = (1, 2, 2) if s > 1 and b == 0 else (1, 1, 1)
        y = x
        for n, kernel in enumerate(((K, 1, 1), (1, 3, 3), (1, 1, 1)), start=1):
            conv, norm = (part.format(s=s, b=b, n=n) for part in names.block)
            channels = inside * (4 if n == 3 else 1)
            y = file.conv(conv, y, channels, kernel=kernel, stride=stride if n == 2 else (1, 1, 1))
            y = file.norm(norm, y, relu=n < 3)
        if b == 0:
            conv, norm = (part.format(s=s, b=b) for part in names.shortcut)
            x = file.conv(conv, x, 4 * inside, kernel=(1, 1, 1), stride=stride)
            x = file.norm(norm, x, relu=False)
        x = (x + y).clamp(min=0)
    return x


SLOW_TIME_KERNELS = ((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3)
