"""Small trained aggregators in float64, their weights by the papers' symbols, and how they step."""

from collections.abc import Callable

import by_steps
import numpy as np
import torch
from torch import Tensor, nn

from vidskim.model.aggregate import Concat, FastGru, Gru, Learned, Lstm, create_aggregator

NAMES = ("fast_gru", "gru", "lstm", "concat")
CHANNELS, CLASSES = 8, 3


def made(name: str, *, channels: int = CHANNELS, seed: int = 0, **options) -> Learned:
    """An aggregator of random weights, none of them small or special, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    built = create_aggregator(name, channels=channels, num_classes=CLASSES, **options).double()
    for weights in built.parameters():
        weights.data = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
    for buffer in built.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2, generator=generator)
    return built.eval()


def clips(
    num_clips: int,
    *,
    batch: int = 2,
    channels: int = CHANNELS,
    size: tuple[int, int, int] = (2, 3, 2),
    seed: int = 1,
) -> Tensor:
    """Maps ``[B, N, C, T, H, W]`` as a backbone gives them: none below zero, many zero."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, num_clips, channels, *size)
    return torch.randn(shape, generator=generator, dtype=torch.float64).relu()


def step_of(aggregator: Learned) -> nn.Module:
    """The module that runs once for each step."""
    match aggregator:
        case FastGru():
            return aggregator.cell
        case Concat():
            return aggregator.mix
        case Gru() | Lstm():
            return aggregator.gates
    raise AssertionError(type(aggregator))


def _matrix(module: nn.Module) -> np.ndarray:
    weight = module.weight.detach().numpy()
    return weight.reshape(weight.shape[:2])


def weights_of(aggregator: Learned) -> dict[str, np.ndarray]:
    """Weights by the symbols of `by_steps`: our modules join what the equations write apart."""
    C = aggregator.channels
    match aggregator:
        case FastGru(cell=cell):
            reset, update = _matrix(cell.squeeze_reset), _matrix(cell.squeeze_update)
            return {
                "U_rx": reset[:, :C],
                "U_ro": reset[:, C:],
                "U_zx": update[:, :C],
                "U_zo": update[:, C:],
                "W_r": _matrix(cell.expand_reset),
                "W_z": _matrix(cell.expand_update),
                "V_x": _matrix(cell.candidate_clip),
                "V_o": _matrix(cell.candidate_state),
            }
        case Gru():
            reset, update = _matrix(aggregator.gates)[:C], _matrix(aggregator.gates)[C:]
            return {
                "G_rx": reset[:, :C],
                "G_ro": reset[:, C:],
                "G_zx": update[:, :C],
                "G_zo": update[:, C:],
                "V_x": _matrix(aggregator.candidate_clip),
                "V_o": _matrix(aggregator.candidate_state),
            }
        case Lstm():
            rows = np.split(_matrix(aggregator.gates), 4)
            bias = np.split(aggregator.gates.bias.detach().numpy(), 4)
            found = {}
            for gate, row, b in zip("ifoc", rows, bias, strict=True):
                found |= {f"W_{gate}": row[:, :C], f"R_{gate}": row[:, C:], f"b_{gate}": b}
            return found
        case Concat(mix=mix, norm=norm):
            return {
                "W": _matrix(mix)[:, :C],
                "U": _matrix(mix)[:, C:],
                "mean": norm.running_mean.numpy(),
                "variance": norm.running_var.numpy(),
                "scale": norm.weight.detach().numpy(),
                "shift": norm.bias.detach().numpy(),
            }
    raise AssertionError(type(aggregator))


TRUTH: dict[str, Callable[..., np.ndarray]] = {
    "fast_gru": by_steps.fast_gru,
    "gru": by_steps.gru,
    "lstm": by_steps.lstm,
    "concat": by_steps.concat,
}


def true_logits(aggregator: Learned, features: Tensor) -> np.ndarray:
    """What the equations give for ``[B, N, C, T, H, W]``: ``[B, K]``."""
    found = weights_of(aggregator)
    weight, bias = (p.detach().numpy() for p in (aggregator.head.weight, aggregator.head.bias))
    outputs = [TRUTH[aggregator.name](found, video) for video in features.numpy()]
    return np.stack([by_steps.head(output, weight, bias) for output in outputs])
