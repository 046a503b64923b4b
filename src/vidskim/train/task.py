"""A task: what a recipe makes of itself, trained and published in one way for all of them.

recipe ── check ── begin run ── examples ── prepare ── steps ── measure ── files
|                       |          |
finished: its metrics    model, batches  stopped: its state
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from lightning_fabric import Fabric
from torch import Tensor, nn

from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.data.cache.frames import Store
from vidskim.train.examples import Examples, read_examples
from vidskim.train.key import check_numbers, portable
from vidskim.train.keys import DataKeys
from vidskim.train.loop import FitPlan, Take, fit, make_fabric, with_peers
from vidskim.train.optim import RateSchedule, make_optimizer
from vidskim.train.run import Run

Recipe = TypeVar("Recipe", bound=DataKeys)


@dataclass(frozen=True)
class Published:
    """A network that a task writes."""

    network: nn.Module
    save: Callable[..., None] = save_backbone
    """Writes it to a file, with ``metadata``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else its file says of itself."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a recipe has been made into.

    Attributes:
        model: what is trained, in place.
        batch_of: the batch of a step.
        measure: the metrics and their protocol, of the trained model.
        publish: the networks to write, one per model of the run.
        loss_of: what the model gives and the targets to a scalar; by default the cross entropy.
        slow: parameters that learn at the recipe's ``body_rate``.
        schedule: of the learning rate; by default as the recipe's keys say.
        take: forward and backward pass of a step, see `vidskim.train.loop.fit`.
    """

    model: nn.Module
    batch_of: Callable[[int], tuple[Any, Tensor]]
    measure: Callable[[Run], Mapping[str, Any]]
    publish: Callable[[], Sequence[Published]]
    loss_of: Callable[[Tensor, Tensor], Tensor] | None = None
    slow: Iterable[nn.Parameter] = ()
    schedule: RateSchedule | None = None
    take: Take | None = None


def _one_model(recipe: Any) -> tuple[str, ...]:
    return ("model",)


@dataclass(frozen=True)
class Task(Generic[Recipe]):
    """Trains what a recipe of its kind describes.

    Attributes:
        recipe: the class of its recipes.
        check: raises for keys that do not go together, before anything is read or written.
        prepare: recipe, examples and device to the job; draws its weights by the recipe's seed.
        is_shared: whether several processes may share its steps.
        models: names of the networks a run writes.
    """

    recipe: type[Recipe]
    check: Callable[[Recipe], None]
    prepare: Callable[[Recipe, Examples, Fabric], Job]
    is_shared: bool = False
    models: Callable[[Recipe], tuple[str, ...]] = _one_model

    def __call__(self, recipe: Recipe, *, stop_after: int | None = None) -> dict[str, Any]:
        """Train, or go on with an unfinished run of the same recipe.

        Under ``torchrun``, or with ``devices``, several processes share each step; the first one
        writes the run's folder.

        Args:
            recipe: what to do.
            stop_after: stop at this step, unfinished; the same call without it goes on from there.

        Returns:
            The metrics; of a finished run at once, nothing is trained again; empty if it was
            stopped, and in all processes but the first.

        Raises:
            UsageError: a recipe that cannot be run.
            ManifestError: unusable data.
            CheckpointError: unusable weights to start from, or a damaged state.
            VidskimError: the loss is NaN or infinity.
        """
        check_numbers(recipe)
        self.check(recipe)
        run = Run(Path(recipe.out), models=self.models(recipe))
        done = run.begin(asdict(recipe))
        if done is not None:
            return done
        devices = getattr(recipe, "devices", 1)
        fabric = make_fabric(recipe.precision, devices=devices, is_shared=self.is_shared)
        if self.is_shared:
            fabric.launch()
        examples = read_examples(
            recipe.data,
            train_split=recipe.train_split,
            test_split=recipe.test_split,
            multilabel=getattr(recipe, "multilabel", False),
            is_classified=getattr(recipe, "objective", "ac") == "ac",
        )
        with with_peers(fabric):
            job = self.prepare(recipe, examples, fabric)
            complete = optimize(
                job, recipe, run=run, fabric=fabric, stop_after=stop_after, data=examples
            )
        if not complete or not fabric.is_global_zero:
            return {}
        metrics = {
            "steps": recipe.steps,  # type: ignore[attr-defined]
            **job.measure(run),
            "manifest_sha256": examples.manifest_sha256,
            "num_classes": len(examples.classes),
        }
        for path, made in zip(run.model_paths, job.publish(), strict=True):
            metadata = {"recipe": portable(recipe), "metrics": metrics, **made.extra}
            made.save(made.network, path, metadata=metadata)
        run.finish(metrics)
        return metrics


def optimize(
    job: Job,
    recipe: Any,
    *,
    run: Run,
    fabric: Fabric,
    stop_after: int | None,
    data: Examples,
) -> bool:
    """Train a job as its recipe says, resuming the run's state; return whether it is done.

    Args:
        job: trained in place.
        recipe: a recipe's dataclass.
        run: the folder that logs and states go to.
        fabric: device and precision.
        stop_after: stop at this step, unfinished.
        data: a state of another manifest is not gone on with.

    Raises:
        CheckpointError: a damaged state.
        VidskimError: the loss is NaN or infinity.
    """
    schedule = job.schedule
    if schedule is None:
        has_drops = getattr(recipe, "schedule", "cosine") == "step"
        drops = (recipe.drop_every, recipe.drop_factor) if has_drops else ()
        schedule = RateSchedule(recipe.learning_rate, recipe.steps, recipe.warmup_steps, *drops)
    optimizer = make_optimizer(
        job.model,
        name=recipe.optimizer,
        learning_rate=schedule.learning_rate,
        weight_decay=recipe.weight_decay,
        slow=job.slow,
        slow_rate=getattr(recipe, "body_rate", 1.0),
    )
    smoothing = getattr(recipe, "label_smoothing", 0.0)
    return fit(
        job.model,
        optimizer,
        batch_of=job.batch_of,
        loss_of=job.loss_of or nn.CrossEntropyLoss(label_smoothing=smoothing),
        plan=FitPlan(schedule, save_every=recipe.save_every),
        run=run,
        fabric=fabric,
        stop_after=stop_after,
        take=job.take,
        data=data.manifest_sha256,
    )


def videos_of(frames: Store, held_out: Store) -> dict[str, int]:
    """Return the metrics of how many videos were trained on and measured, and how many damaged."""
    return {
        "test_videos": len(held_out),
        "train_videos": len(frames),
        "damaged_videos": len(frames.damaged) + len(held_out.damaged),
    }
