"""The task of scoring clips by sight and sound together: AV-joint-training of SCSampler.

Section 3.3.3: the audio-based and the video-based score are averaged, and the networks are
finetuned with respect to this average. Each network keeps the reading of its own objective (one
trained by AC its largest class probability, one by SAL-CL or SAL-RANK its sigmoid), so that any
trained samplers can be joined; the objective of the average is chosen anew.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from vidskim.data.cache.inputs import FeatureStore, aligned
from vidskim.errors import CheckpointError, UsageError, listed
from vidskim.look.network import NetworkSaliency
from vidskim.look.open import open_sampler
from vidskim.look.sampler import Sampler
from vidskim.train.augment_inputs import InputAugmentation
from vidskim.train.batches.inputs import ClipBatches, groups_of, max_inputs
from vidskim.train.batches.truth import groups_by_answers
from vidskim.train.examples import Examples, check_trained
from vidskim.train.key import Key, recipe
from vidskim.train.keys import DataKeys, DropKeys, OptimKeys, RankKeys, StepKeys
from vidskim.train.objectives import ClipScore, loss_of
from vidskim.train.run import Run
from vidskim.train.task import Job, Published, Task
from vidskim.train.tasks.saliency import measure, metadata_of, open_labels
from vidskim.train.tasks.saliency_recipe import check_groups, check_ranked


@recipe
class JointRecipe(DataKeys, StepKeys, DropKeys, OptimKeys, RankKeys):
    """Everything a joint training of saliency networks depends on."""

    task: Literal["saliency_joint"] = "saliency_joint"
    visual: Annotated[
        str,
        Key(
            "checkpoints of visual networks, commas between them",
            wanted="checkpoints of visual networks with commas between",
            is_file=True,
            several=True,
        ),
    ] = ""
    audio: Annotated[
        str,
        Key(
            "checkpoint of the network that listens",
            wanted="the checkpoint of a network that listens",
            is_file=True,
        ),
    ] = ""
    objective: Annotated[
        Literal["ac", "sal_cl", "sal_rank"],
        Key(
            'of the average: "ac" (all networks must have been trained by it), "sal_cl" or '
            '"sal_rank"'
        ),
    ] = "sal_rank"
    batch_size: int = 64
    steps: int = 500
    warmup_steps: int = 20
    learning_rate: float = 0.001
    save_every: int = 200


def _check(recipe: JointRecipe) -> None:
    check_groups(recipe)
    check_ranked(recipe)
    _check_objective(_sampler_of(recipe), recipe)


def _prepare(recipe: JointRecipe, examples: Examples, fabric: Fabric) -> Job:
    saliencies = list(_sampler_of(recipe).networks)
    if recipe.objective == "ac":
        _check_classes(saliencies, examples)
    labels = open_labels(recipe, examples)
    features = aligned([labels.features(examples.train, s.source) for s in saliencies])
    num_inputs = tuple(min(recipe.inputs_per_clip, max_inputs(f)) for f in features)
    if recipe.objective == "ac":
        check_trained(examples, features[0].rows, path=recipe.data)
        groups = groups_of(
            features,
            _classes_of(features, examples),
            usable=lambda truth: len(truth) > 0,
            reason="a clip that all networks can look at",
        )
    else:
        answers = labels.answers(features[0].rows)
        assert answers is not None, "check_ranked lets no recipe pass without a classifier"
        groups = groups_by_answers(
            features,
            answers,
            objective=recipe.objective,
            oracle_k=recipe.oracle_k,
            balance=recipe.balance,
        )
    batches = ClipBatches(
        tuple(features),
        groups,
        num_videos=recipe.batch_size // recipe.clips_per_video,
        num_clips=recipe.clips_per_video,
        num_inputs=num_inputs,
        seed=recipe.seed,
        augment=InputAugmentation(
            recipe.flip, recipe.min_scale, recipe.time_shift, recipe.frequency_mask
        ),
    )
    model = ClipScore(
        [saliency.network for saliency in saliencies],
        saliencies,
        num_inputs=num_inputs,
        as_classes=recipe.objective == "ac",
    )

    def measured(run: Run) -> dict[str, Any]:
        held_out = [labels.features(examples.test, s.source) for s in saliencies]
        return {
            **measure(saliencies, held_out, labels, examples=examples, recipe=recipe),
            "test_videos": len(aligned(held_out)[0]),
            "train_videos": len(features[0]),
        }

    told = {"joint_objective": recipe.objective, "trained_with": labels.metadata(examples)}
    return Job(
        model=model,
        batch_of=batches,
        loss_of=loss_of(
            recipe.objective, clips_per_video=recipe.clips_per_video, margin=recipe.margin
        ),
        measure=measured,
        publish=lambda: [
            Published(
                s.network, extra=metadata_of(s.source, objective=s.objective, joint=True) | told
            )
            for s in saliencies
        ],
    )


train_joint = Task(
    JointRecipe,
    _check,
    _prepare,
    models=lambda recipe: tuple(s.kind for s in _sampler_of(recipe).networks),
)
"""Finetunes trained saliency networks jointly."""


def _sampler_of(recipe: JointRecipe) -> Sampler:
    """Open the networks that a recipe names."""
    return _open([*(name.strip() for name in recipe.visual.split(",")), recipe.audio])


def _open(files: list[str]) -> Sampler:
    """Open networks for both modalities.

    Raises:
        CheckpointError: a file that holds no saliency network, or two of one source.
        UsageError: not both modalities.
    """
    if not all(files):
        raise UsageError("joint training needs checkpoints: give 'visual' and 'audio'")
    sampler = open_sampler(files)
    assert isinstance(sampler, Sampler), "a sampler without a clip stride"
    if sampler.audio is None or not sampler.visual:
        raise UsageError(
            f"joint training takes visual networks and one that listens, got {listed(files)}: give "
            "checkpoints of features 'motion', 'residual' or 'keyframe' as 'visual' and one of "
            "feature 'audio' as 'audio'"
        )
    return sampler


def _check_objective(sampler: Sampler, recipe: JointRecipe) -> None:
    """Refuse to average classes of networks that have none.

    Raises:
        UsageError: objective "ac" and a network that was trained by another.
    """
    others = [s.kind for s in sampler.networks if s.objective != "ac"]
    if recipe.objective == "ac" and others:
        raise UsageError(
            f"objective 'ac' averages class probabilities, the networks of {listed(others)} have "
            "none: give networks trained by 'ac', or objective 'sal_rank'"
        )


def _check_classes(saliencies: Sequence[NetworkSaliency], examples: Examples) -> None:
    """Refuse networks that classify into other classes than the manifest's.

    Raises:
        CheckpointError: with the first such network.
    """
    for saliency in saliencies:
        classes = getattr(saliency.network, "classes", None)
        if classes != examples.classes:
            raise CheckpointError(
                f"the network of {saliency.kind} was trained on other classes "
                f"({listed(classes or ())}) than the manifest has ({listed(examples.classes)}); "
                "give one trained on them, or objective 'sal_rank'"
            )


def _classes_of(
    features: Sequence[FeatureStore], examples: Examples
) -> Callable[[int], NDArray[Any]]:
    """Return the truth of AC: the class of the video for each clip, int64 ``[N]``."""

    def truth(row: int) -> NDArray[Any]:
        label = examples.class_index[features[0].rows[row].label]
        return np.full(len(features[0].counts(row)), label, np.int64)

    return truth
