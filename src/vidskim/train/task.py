"""What every task shares: from a recipe to the optimization, and from there to the files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.data.cache.frames import Store
from vidskim.train.examples import Examples
from vidskim.train.key import portable
from vidskim.train.loop import FitPlan, Take, fit
from vidskim.train.optim import RateSchedule, make_optimizer
from vidskim.train.run import Run


def optimize(
    model: nn.Module,
    recipe: Any,
    *,
    batch_of: Callable[[int], tuple[Any, Tensor]],
    run: Run,
    fabric: Fabric,
    stop_after: int | None,
    loss_of: Callable[[Tensor, Tensor], Tensor] | None = None,
    slow: Iterable[nn.Parameter] = (),
    schedule: RateSchedule | None = None,
    take: Take | None = None,
    data: str | None = None,
) -> bool:
    """Train a network as its recipe says, resuming the run's state; return whether it is done.

    Args:
        model: trained in place.
        recipe: a recipe's dataclass.
        batch_of: the batch of a step.
        run: the folder that logs and states go to.
        fabric: device and precision.
        stop_after: stop at this step, unfinished.
        loss_of: what the model gives and the targets to a scalar; by default the cross entropy.
        slow: parameters that learn at the recipe's ``body_rate``.
        schedule: of the learning rate; by default as the recipe's keys say.
        take: forward and backward pass of a step, see `vidskim.train.loop.fit`.
        data: hash of the manifest; a state of another one is not gone on with.

    Raises:
        CheckpointError: a damaged state.
        VidskimError: the loss is no number any more.
    """
    if schedule is None:
        has_drops = getattr(recipe, "schedule", "cosine") == "step"
        drops = (recipe.drop_every, recipe.drop_factor) if has_drops else ()
        schedule = RateSchedule(recipe.learning_rate, recipe.steps, recipe.warmup_steps, *drops)
    optimizer = make_optimizer(
        model,
        name=recipe.optimizer,
        learning_rate=schedule.learning_rate,
        weight_decay=recipe.weight_decay,
        slow=slow,
        slow_rate=getattr(recipe, "body_rate", 1.0),
    )
    return fit(
        model,
        optimizer,
        batch_of=batch_of,
        loss_of=loss_of or nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        plan=FitPlan(schedule, save_every=recipe.save_every),
        run=run,
        fabric=fabric,
        stop_after=stop_after,
        take=take,
        data=data,
    )


def videos_of(frames: Store, held_out: Store) -> dict[str, int]:
    """Return the metrics of how many videos were trained on and measured, and how many damaged."""
    return {
        "test_videos": len(held_out),
        "train_videos": len(frames),
        "damaged_videos": len(frames.damaged) + len(held_out.damaged),
    }


def publish(
    model: nn.Module,
    recipe: Any,
    *,
    examples: Examples,
    measured: Mapping[str, Any],
    run: Run,
    extra: Mapping[str, Any] | None = None,
    save: Callable[..., None] = save_backbone,
) -> dict[str, Any]:
    """Write the trained network with its recipe and metrics, and close the run.

    Args:
        model: the network.
        recipe: a recipe's dataclass.
        examples: what it was trained on.
        measured: its metrics and their protocol.
        run: the folder.
        extra: what else the checkpoint should say of itself.
        save: writes the network to a file, with ``metadata``.

    Returns:
        All metrics.
    """
    metrics = {
        **measured,
        "manifest_sha256": examples.manifest_sha256,
        "num_classes": len(examples.classes),
        **({"steps": asdict(recipe)["steps"]} if "steps" not in measured else {}),
    }
    metadata = {"recipe": portable(recipe), "metrics": metrics, **(extra or {})}
    save(model, run.model_path, metadata=metadata)
    run.finish(metrics)
    return metrics
