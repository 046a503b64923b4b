"""The optimizer and its schedule, both functions of the recipe and the step alone."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class RateSchedule:
    """Linear warm-up, then half a cosine down to zero, or drops by a factor."""

    learning_rate: float
    steps: int
    warmup_steps: int = 0
    drop_every: int | None = None
    """Steps between two drops; None falls along the cosine."""
    drop_factor: float = 0.1
    drops: tuple[int, ...] = ()
    """Steps at which it drops, instead of ``drop_every``."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.drops:
            passed = sum(step >= drop for drop in self.drops)
            return float(self.learning_rate * self.drop_factor**passed)
        if self.drop_every is not None:
            return float(self.learning_rate * self.drop_factor ** (step // self.drop_every))
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def scaled_learning_rate(learning_rate: float, *, batch: int, reference: int) -> float:
    """Return the learning rate of another batch by the linear scaling rule.

    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.1: k times the examples per step,
    k times the learning rate. Where several clips are one video, videos are the examples.

    Args:
        learning_rate: of the batch it was found for.
        batch: examples per step, on all devices.
        reference: the same that ``learning_rate`` is meant for.
    """
    return learning_rate * batch / reference


RATE = "rate"
"""Key of a parameter group: its learning rate as a share of the schedule's."""


def make_optimizer(
    model: nn.Module,
    *,
    name: str,
    learning_rate: float,
    weight_decay: float,
    slow: Iterable[nn.Parameter] = (),
    slow_rate: float = 1.0,
) -> torch.optim.Optimizer:
    """Return SGD (Nesterov momentum 0.9) or AdamW; norms and biases are not decayed.

    Args:
        model: its parameters that take gradients are trained.
        name: "sgd" or "adamw".
        learning_rate: of the first step.
        weight_decay: of weights.
        slow: parameters that learn at a share of the learning rate, pretrained ones for example.
        slow_rate: that share.
    """
    known = {id(p) for p in slow} if slow_rate != 1 else set()
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, object]] = []
    for is_slow in (False, True) if known else (False,):
        mine = [p for p in trained if (id(p) in known) == is_slow]
        rate = {RATE: slow_rate} if is_slow else {}
        groups += [
            {"params": [p for p in mine if p.ndim > 1], "weight_decay": weight_decay, **rate},
            {"params": [p for p in mine if p.ndim <= 1], "weight_decay": 0.0, **rate},
        ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=learning_rate)
