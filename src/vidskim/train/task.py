"""What every task shares: from a recipe to the optimization, and from there to the files."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from vidskim.backbones.checkpoint import save_backbone
from vidskim.backbones.network import Network
from vidskim.train.checkpoint import Run
from vidskim.train.examples import Examples, portable
from vidskim.train.fit import Batch, Plan, fit
from vidskim.train.optim import Schedule, make_optimizer


def optimize(
    model: Network,
    recipe: Any,
    *,
    batch_of: Callable[[int], Batch],
    run: Run,
    fabric: Fabric,
    stop_after: int | None,
) -> bool:
    """Train a network as its recipe says, resuming the run's state; return whether it is done.

    Args:
        model: trained in place.
        recipe: a recipe's dataclass.
        batch_of: the batch of a step.
        run: the folder that logs and states go to.
        fabric: device and precision.
        stop_after: stop at this step, unfinished.

    Raises:
        CheckpointError: a damaged state.
        VidskimError: the loss is no number any more.
    """
    optimizer = make_optimizer(
        model,
        name=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    plan = Plan(
        Schedule(recipe.learning_rate, recipe.steps, recipe.warmup_steps),
        save_every=recipe.save_every,
    )
    return fit(
        model,
        optimizer,
        batch_of=batch_of,
        loss_of=nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        plan=plan,
        run=run,
        fabric=fabric,
        stop_after=stop_after,
    )


def publish(
    model: Network,
    recipe: Any,
    *,
    examples: Examples,
    measured: Mapping[str, Any],
    run: Run,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the trained network with its recipe and metrics, and close the run.

    Args:
        model: the network.
        recipe: a recipe's dataclass.
        examples: what it was trained on.
        measured: its metrics and their protocol.
        run: the folder.
        extra: what else the checkpoint should say of itself.

    Returns:
        All metrics.
    """
    metrics = {
        **measured,
        "manifest_sha256": examples.manifest_sha256,
        "num_classes": len(examples.classes),
        "steps": asdict(recipe)["steps"],
    }
    metadata = {"recipe": portable(recipe), "metrics": metrics, **(extra or {})}
    save_backbone(model, run.model_path, metadata=metadata)
    run.finish(metrics)
    return metrics
