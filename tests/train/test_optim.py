"""The learning rate against its closed form; what is decayed."""

import math

import pytest
import torch
from torch import nn

from vidskim.train.optim import RateSchedule, make_optimizer


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0), (100, 10), (7, 6), (1, 0)])
def test_schedule_is_linear_then_half_a_cosine(steps, warmup):
    schedule = RateSchedule(0.3, steps, warmup)
    for step in range(steps):
        if step < warmup:
            expected = 0.3 * (step + 1) / warmup
        else:
            expected = 0.15 + 0.15 * math.cos(math.pi * (step - warmup) / (steps - warmup))
        assert schedule(step) == pytest.approx(expected)


def test_schedule_peaks_after_the_warm_up_and_ends_at_zero():
    schedule = RateSchedule(0.5, 40, 8)
    rates = [schedule(step) for step in range(41)]
    assert rates[7] == rates[8] == max(rates) == 0.5
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert rates[40] == pytest.approx(0.0, abs=1e-12)
    assert schedule(1000) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_norms_and_biases_are_not_decayed(name, kind):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2))
    optimizer = make_optimizer(model, name=name, learning_rate=0.1, weight_decay=0.25)
    assert type(optimizer) is kind
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    found = {key: decay[id(p)] for key, p in model.named_parameters()}
    assert found == {
        "0.weight": 0.25, "0.bias": 0.0,
        "1.weight": 0.0, "1.bias": 0.0,
        "2.weight": 0.25, "2.bias": 0.0,
    }  # fmt: skip
