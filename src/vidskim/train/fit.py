"""The one training loop.

Everything a step depends on is a function of the recipe and the step's number: which rows are
drawn, how they are augmented, the learning rate. A run that is killed and started again therefore
goes on at the exact step and ends with the same weights, bit for bit on one device.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.errors import VidskimError
from vidskim.train.checkpoint import Run
from vidskim.train.optim import Schedule

Batch = tuple[Tensor, Tensor]
"""(network input, targets: class indices ``[N]`` or class probabilities ``[N, K]``)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and how often to log, save and measure."""

    schedule: Schedule
    log_every: int = 20
    save_every: int = 100
    max_grad_norm: float = 5.0


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    batch_of: Callable[[int], Batch],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    plan: Plan,
    run: Run,
    fabric: Fabric,
    stop_after: int | None = None,
) -> bool:
    """Train a model in place, resuming the run's state if there is one.

    Args:
        model: input to logits.
        optimizer: over the model's parameters.
        batch_of: the batch of a step; must depend on the step's number only.
        loss_of: (logits, targets) to a scalar.
        plan: length and intervals.
        run: the folder that logs and states go to.
        fabric: device and precision.
        stop_after: stop at this step without finishing (tests stop a run with it).

    Returns:
        True when all steps are done.

    Raises:
        VidskimError: the loss is no number any more.
    """
    wrapped, tuned = fabric.setup(model, optimizer)
    start = 0
    state = run.load_state()
    if state is not None:
        model.load_state_dict(state["model"])
        tuned.load_state_dict(state["optimizer"])
        start = state["step"]
    model.train()
    total = plan.schedule.steps
    end = total if stop_after is None else min(total, stop_after)
    clock, seen, loss_sum = time.perf_counter(), 0, 0.0
    bar = tqdm(
        range(start, end), initial=start, total=total, desc="training", delay=2, disable=None
    )
    for step in bar:
        torch.manual_seed(step)
        learning_rate = plan.schedule(step)
        for group in tuned.param_groups:
            group["lr"] = learning_rate
        x, target = batch_of(step)
        x, target = fabric.to_device((x, target))
        tuned.zero_grad(set_to_none=True)
        loss = loss_of(wrapped(x).float(), target)
        fabric.backward(loss)
        fabric.clip_gradients(wrapped, tuned, max_norm=plan.max_grad_norm, error_if_nonfinite=False)
        value = float(loss.detach())
        if value != value or value in (float("inf"), float("-inf")):
            raise VidskimError(
                f"{run.folder}: the loss is {value} at step {step}; lower learning_rate or use "
                "precision 32-true, then start the same command again"
            )
        tuned.step()
        loss_sum, seen = loss_sum + value, seen + 1
        done = step + 1
        if done % plan.log_every == 0 or done == end:
            seconds = (time.perf_counter() - clock) / seen
            record: Mapping[str, Any] = {
                "step": done,
                "loss": round(loss_sum / seen, 6),
                "learning_rate": learning_rate,
                "seconds_per_step": round(seconds, 4),
            }
            run.log(record)
            bar.set_postfix(loss=f"{loss_sum / seen:.3f}")
            clock, seen, loss_sum = time.perf_counter(), 0, 0.0
        if done % plan.save_every == 0 or done == end:
            run.save_state(
                {"model": model.state_dict(), "optimizer": tuned.state_dict(), "step": done}
            )
    model.eval()
    return end == total
