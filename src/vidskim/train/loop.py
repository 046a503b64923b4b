"""The one training loop.

Everything a step depends on is a function of the recipe and the step's number: which rows are
drawn, how they are augmented, the learning rate. A run that is killed and started again therefore
goes on at the exact step and ends with the same weights, bit for bit on one device.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.errors import CheckpointError, UsageError, VidskimError, first_line
from vidskim.train.optim import RATE, RateSchedule
from vidskim.train.run import Run

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
"""Of Lightning Fabric; the parameters are float32 in all of them."""

GENTLER = "lower learning_rate or a longer warm-up (warmup_steps, warmup_epochs)"
"""What a training needs that diverges."""

Batch = tuple[Tensor, Tensor]
"""(network input, targets: class indices ``[N]`` or class probabilities ``[N, K]``)."""


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How long to train and how often to log, save and measure."""

    schedule: RateSchedule
    log_every: int = 20
    save_every: int = 100
    max_grad_norm: float = 5.0


def make_fabric(precision: Precision, *, devices: int = 1, is_shared: bool = False) -> Fabric:
    """Return Fabric on this machine's accelerator, or on its CPU.

    Args:
        precision: of Lightning Fabric.
        devices: processes to start here, one per device; under ``torchrun`` as many as it started.
        is_shared: whether the task can share its steps between processes.

    On a CPU only float32 trains rightly: where a convolution over 3 frames is given 2 (the last
    stage of every 3-D ResNet at 16 frames), or one over 3x3 cells a single one, oneDNN's bfloat16
    weight gradient reads memory that nobody wrote (measured with torch 2.13; the forward pass is
    right, so answering in bfloat16 is not concerned).

    Raises:
        UsageError: mixed precision where there is no CUDA device, several processes for a task that
            trains in one, or more than this machine has devices (cores, without CUDA).
    """
    started = _started("WORLD_SIZE")
    world = started or 1
    if world > 1 and not is_shared:
        raise UsageError(
            f"this task trains in one process, {world} were started; a backbone is trained on "
            "single clips in several by task 'memory' with num_clips 1 and interaction null"
        )
    if precision != "32-true" and not torch.cuda.is_available():
        raise UsageError(
            f"precision {precision} needs a CUDA device (on a CPU its gradients are not reliable); "
            "use 32-true"
        )
    if world > 1:
        local = _started("LOCAL_WORLD_SIZE") or world
        return Fabric(
            accelerator="auto",
            strategy="ddp",
            devices=local,
            num_nodes=world // local,
            precision=precision,
        )
    if started is not None:
        devices = 1  # whoever started this process has decided
    present = torch.cuda.device_count() or os.cpu_count() or 1
    if devices > present:
        raise UsageError(f"devices is {devices}, this machine has {present}: give at most as many")
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator="auto", strategy=strategy, devices=devices, precision=precision)
    return fabric


def _started(name: str) -> int | None:
    """Return a number that a launcher of processes left in the environment, None if there is none.

    Raises:
        UsageError: it is no number of processes.
    """
    told = os.environ.get(name)
    if told is None:
        return None
    if not told.isdecimal() or int(told) < 1:
        raise UsageError(f"{name} in the environment is {told!r}, not a number of processes")
    return int(told)


def num_processes(devices: int) -> int:
    """Return how many processes train together: as many as a launcher started, or ``devices``."""
    return _started("WORLD_SIZE") or devices


def is_first_process() -> bool:
    """Say whether this process is the first that ``torchrun`` started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


LOST = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "Broken pipe")
"""Words of the errors of a process whose peers are gone."""


@contextmanager
def with_peers(fabric: Fabric) -> Iterator[None]:
    """Say in one line that another process of a training has ended, whose message tells why.

    Raises:
        VidskimError: one has.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not any(word in str(error) for word in LOST):
            raise
        raise VidskimError(
            "another process of this training has ended, see its message; the same command goes on "
            "from the last saved step"
        ) from None


Take = Callable[[nn.Module, Any, Tensor], Tensor]
"""(the model as Fabric wraps it, input, targets): leaves gradients behind, returns the loss."""


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    batch_of: Callable[[int], tuple[Any, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    plan: FitPlan,
    run: Run,
    fabric: Fabric,
    stop_after: int | None = None,
    take: Take | None = None,
    data: str | None = None,
) -> bool:
    """Train a model in place, resuming the run's state if there is one.

    Where several processes train together, each is given its own share of the batch by
    ``batch_of``; the first one writes the run's folder. They learn what one process learns of the
    whole batch, up to rounding, but for what is drawn at random inside the network: each draws
    dropout's masks for its own share, by a seed of its own.

    Args:
        model: input, a tensor or a tuple of them, to logits or scores.
        optimizer: over the model's parameters.
        batch_of: the batch of a step; must depend on the step's number only.
        loss_of: (logits, targets) to a scalar.
        plan: length and intervals.
        run: the folder that logs and states go to.
        fabric: device and precision.
        stop_after: stop at this step without finishing (tests stop a run with it).
        take: forward and backward pass of a step, gradients averaged over processes; by default
            one of each, by ``loss_of``.
        data: what names the training data; a state that was left by others is refused.

    Returns:
        True when all steps are done.

    Raises:
        VidskimError: the loss, a weight or, in the end, an answer in evaluation is no number any
            more; the last state that was saved is from before and is kept. With ``take`` answers
            are left to whoever measures them.
        CheckpointError: the run's state is damaged or of another network.
    """
    wrapped, tuned = fabric.setup(model, optimizer)
    scaler = fabric.strategy.precision  # holds the loss scale of float16
    start, loss_sum, seen = 0, 0.0, 0
    state = run.load_state()
    if state is not None and state.get("data") not in (None, data):
        raise UsageError(
            f"{run.state_path}: was trained on another manifest of this name; choose another out "
            "folder or remove it"
        )
    if state is not None:
        try:
            model.load_state_dict(state["model"])
            tuned.load_state_dict(state["optimizer"])
            scaler.load_state_dict(state["precision"])
            start, loss_sum, seen = state["step"], state["loss_sum"], state["seen"]
        except (KeyError, ValueError, RuntimeError) as error:
            reason = first_line(error)
            raise CheckpointError(
                f"{run.state_path}: is the state of another network or version ({reason}); remove "
                "it to start anew"
            ) from None
        if not _is_finite(model):
            raise CheckpointError(
                f"{run.state_path}: holds weights that are no numbers; remove it and train with a "
                f"{GENTLER}"
            )
    if fabric.is_global_zero:
        run.cut_log(start)
    model.train()
    total = plan.schedule.steps
    end = total if stop_after is None else min(total, stop_after)
    clock, timed, saved = time.perf_counter(), 0, start
    diverged = partial(_diverged, run=run, precision=scaler.precision)
    bar = tqdm(
        range(start, end),
        initial=start,
        total=total,
        desc="training",
        delay=2,
        disable=None if fabric.is_global_zero else True,
    )
    for step in bar:
        torch.manual_seed(random_seed(step, place=fabric.global_rank))
        learning_rate = plan.schedule(step)
        for group in tuned.param_groups:
            group["lr"] = learning_rate * group.get(RATE, 1.0)
        tuned.zero_grad(set_to_none=True)
        x, target = batch_of(step)
        if take is not None:
            loss = take(wrapped, x, target)
        else:
            x, target = fabric.to_device((x, target))
            loss = loss_of(wrapped(x).float(), target)
            fabric.backward(loss)
        if fabric.world_size > 1:
            mean = fabric.all_reduce(loss.detach(), reduce_op="mean")
            assert isinstance(mean, Tensor)
            loss = mean
        fabric.clip_gradients(wrapped, tuned, max_norm=plan.max_grad_norm, error_if_nonfinite=False)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise diverged(f"the loss is {value} at step {step}", saved=saved)
        tuned.step()
        loss_sum, seen, timed = loss_sum + value, seen + 1, timed + 1
        done = step + 1
        is_saved = done % plan.save_every == 0 or done == end
        if (done % plan.log_every == 0 or done == total) and fabric.is_global_zero:
            run.log(
                {
                    "step": done,
                    "loss": round(loss_sum / seen, 6),
                    "learning_rate": learning_rate,
                    "seconds_per_step": round((time.perf_counter() - clock) / timed, 4),
                }
            )
            bar.set_postfix(loss=f"{loss_sum / seen:.3f}")
            clock, timed, seen, loss_sum = time.perf_counter(), 0, 0, 0.0
        if is_saved and not _is_finite(model):
            raise diverged(f"the weights are no numbers after step {step}", saved=saved)
        if done == total and take is None and not _answers_finite(model, x):
            told = f"the trained model's answers to the videos of step {step} are no numbers"
            raise diverged(told, saved=saved)
        saved = done if is_saved else saved
        if is_saved and fabric.is_global_zero:
            run.save_state(
                {
                    "model": model.state_dict(),
                    "optimizer": tuned.state_dict(),
                    "precision": scaler.state_dict(),
                    "step": done,
                    "loss_sum": loss_sum,
                    "seen": seen,
                    "data": data,
                }
            )
    model.eval()
    return end == total


def random_seed(step: int, *, place: int) -> int:
    """Return the seed of what a process draws at random inside the network in a step.

    Args:
        step: counted from 0; the seed of the first process, and of a single one.
        place: of the process. What the others draw is unlike the first one's and each other's: on
            a CPU torch takes the low 32 bits of a seed alone, so that these are what differs.
    """
    return step if place == 0 else int(np.random.SeedSequence([step, place]).generate_state(1)[0])


def _is_finite(model: nn.Module) -> bool:
    """Say whether all that is kept of a model is finite: weights and running statistics."""
    kept = [x for x in model.state_dict().values() if x.is_floating_point()]
    return not kept or bool(torch.stack([x.isfinite().all() for x in kept]).all())


@torch.inference_mode()
def _answers_finite(model: nn.Module, x: Any) -> bool:
    """Say whether a model's answers are finite in evaluation mode, which it is in afterwards.

    With weights that are, a training that diverges can end in running statistics so far off that
    all answers are NaN, of which the first class would be the best.
    """
    model.eval()
    return bool(model(x).isfinite().all())


def _diverged(what: str, *, run: Run, saved: int, precision: str) -> VidskimError:
    """Return the error of a training that has left the numbers."""
    other = "" if precision == "32-true" else ", or precision 32-true"
    kept = f"; the state after step {saved - 1} is kept there" if saved else ""
    return VidskimError(
        f"{run.folder}: {what}; the training diverges; train again into another folder with a "
        f"{GENTLER}{other}{kept}"
    )
