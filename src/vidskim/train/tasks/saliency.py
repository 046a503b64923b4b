"""The task of scoring clips cheaply: SCSampler's networks by one of its three objectives.

AC (section 3.2.1) trains a light classifier with the video's label on every input of it, as if all
of them showed the class; where a clip shows nothing it learns to be unsure. SAL-CL and SAL-RANK
(section 3.2.2) learn from the answers of a frozen clip classifier which clips it can tell most by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vidskim.account import count
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.backbones.open import open_model
from vidskim.backbones.registry import IMAGE_BACKBONES, create_backbone
from vidskim.data.cache.answers import Answers, check_labels, clip_answers
from vidskim.data.cache.inputs import FeatureStore, feature_store
from vidskim.data.folder import load_manifest
from vidskim.data.manifest import Row
from vidskim.errors import UsageError, unknown_name
from vidskim.evaluate.benchmark import moments_of
from vidskim.look.network import NetworkSaliency
from vidskim.look.sources import Source, to_json
from vidskim.train.agreement import agreement, score_row, video_accuracy
from vidskim.train.augment_inputs import InputAugmentation
from vidskim.train.batches.inputs import ClipBatches, InputBatches, max_inputs
from vidskim.train.batches.truth import groups_by_answers
from vidskim.train.examples import Examples, check_trained
from vidskim.train.losses import action_loss
from vidskim.train.objectives import ClipScore, HeadOnly, Loss, loss_of
from vidskim.train.run import Run
from vidskim.train.task import Job, Published, Task
from vidskim.train.tasks.saliency_recipe import (
    RANKED,
    SaliencyRecipe,
    check_saliency,
    input_size,
    source_of,
)


@dataclass(frozen=True)
class Labels:
    """The clip classifier that labels clips, and the grid it lays over a video."""

    name: str | None
    network: Network | None
    num_frames: int
    stride: int
    cache: Path

    def answers(self, rows: tuple[Row, ...]) -> Answers | None:
        """Return its answers to the videos of rows, None where there is no classifier."""
        if self.network is None:
            return None
        return clip_answers(rows, self.network, folder=self.cache)

    def features(self, rows: tuple[Row, ...], source: Source) -> FeatureStore:
        """Return the inputs of a source on its grid."""
        return feature_store(
            rows, source, num_frames=self.num_frames, stride=self.stride, folder=self.cache
        )

    def metadata(self, examples: Examples) -> dict[str, Any]:
        """Return what a checkpoint tells of what it was trained with."""
        network = self.network
        return {
            "model": None if network is None else network.name,
            "weights_sha256": None if network is None else weights_sha256(network),
            "manifest_sha256": examples.manifest_sha256,
        }


def _check(recipe: SaliencyRecipe) -> None:
    if recipe.network not in IMAGE_BACKBONES:
        raise unknown_name("saliency network", recipe.network, IMAGE_BACKBONES)
    check_saliency(recipe)


def _prepare(recipe: SaliencyRecipe, examples: Examples, fabric: Fabric) -> Job:
    source = source_of(recipe)
    torch.manual_seed(recipe.seed)
    network = _build(recipe, source, classes=examples.classes)
    labels = open_labels(recipe, examples)
    features = labels.features(examples.train, source)
    model: nn.Module = HeadOnly(network) if recipe.freeze else network
    augment = InputAugmentation(
        recipe.flip, recipe.min_scale, recipe.time_shift, recipe.frequency_mask
    )
    saliency = NetworkSaliency(network, source, objective=recipe.objective)
    body = [p for stage in network.stage_modules() for p in stage.parameters()]
    batches: Callable[[int], tuple[Any, Tensor]]
    loss: Loss
    if recipe.objective in RANKED:
        batches = _ranked_batches(recipe, features, labels, augment)
        model = ClipScore([model], [saliency], num_inputs=batches.num_inputs)
        loss = loss_of(
            recipe.objective, clips_per_video=recipe.clips_per_video, margin=recipe.margin
        )
    else:
        check_trained(examples, features.rows, path=recipe.data)
        targets = np.array([examples.class_index[row.label] for row in features.rows])
        batches = InputBatches(features, targets, recipe.batch_size, recipe.seed, augment)
        loss = partial(action_loss, label_smoothing=recipe.label_smoothing)

    def measured(run: Run) -> dict[str, Any]:
        held_out = labels.features(examples.test, source)
        return {
            **measure([saliency], [held_out], labels, examples=examples, recipe=recipe),
            "test_videos": len(held_out),
            "train_videos": len(features),
        }

    extra = metadata_of(source, objective=recipe.objective) | {
        "trained_with": labels.metadata(examples)
    }
    return Job(
        model=model,
        batch_of=batches,
        loss_of=loss,
        slow=body if recipe.init is not None and not recipe.freeze else [],
        measure=measured,
        publish=lambda: [Published(network, extra=extra)],
    )


train_saliency = Task(SaliencyRecipe, _check, _prepare)
"""Trains a saliency network."""


def _ranked_batches(
    recipe: SaliencyRecipe,
    features: FeatureStore,
    labels: Labels,
    augment: InputAugmentation,
) -> ClipBatches:
    """Return batches of clips of the same videos with what the classifier says of them."""
    answers = labels.answers(features.rows)
    assert answers is not None, "check_saliency lets no recipe pass without a classifier"
    groups = groups_by_answers(
        (features,),
        answers,
        objective=recipe.objective,
        oracle_k=recipe.oracle_k,
        balance=recipe.balance,
    )
    return ClipBatches(
        (features,),
        groups,
        num_videos=recipe.batch_size // recipe.clips_per_video,
        num_clips=recipe.clips_per_video,
        num_inputs=(min(recipe.inputs_per_clip, max_inputs(features)),),
        seed=recipe.seed,
        augment=augment,
    )


def metadata_of(source: Source, *, objective: str, joint: bool = False) -> dict[str, Any]:
    """Return what a saliency checkpoint must say for `vidskim.look.open` to open it."""
    return {"source": to_json(source), "objective": objective, "joint": joint}


def open_labels(recipe: Any, examples: Examples) -> Labels:
    """Open the classifier of a recipe and check that it knows the labels.

    Raises:
        UsageError: a grid other than the classifier's.
        ManifestError: labels that it does not know.
        CheckpointError: weights that cannot be had.
    """
    network: Network | None = None
    num_frames, stride = recipe.num_frames or 16, recipe.stride or 1
    if recipe.classifier is not None:
        network, _ = open_model(recipe.classifier)
        assert network.clip is not None
        check_labels([*examples.train, *examples.test], network, name=recipe.classifier)
        given = (recipe.num_frames, recipe.stride)
        own = (network.clip.num_frames, network.clip.stride)
        if any(wanted not in (None, found) for wanted, found in zip(given, own)):
            raise UsageError(
                f"num_frames and stride are {num_frames} and {stride}, the classifier "
                f"{recipe.classifier} takes {own[0]} and {own[1]}; give these, or null"
            )
        num_frames, stride = own
    return Labels(recipe.classifier, network, num_frames, stride, Path(recipe.cache))


def measure(
    saliencies: list[NetworkSaliency],
    held_out: list[FeatureStore],
    labels: Labels,
    *,
    examples: Examples,
    recipe: Any,
) -> dict[str, Any]:
    """Measure one network, or the joint score of several, on the test videos that all can see.

    Returns:
        Metrics and their protocol.
    """
    found: dict[str, Any] = {}
    if len(saliencies) == 1 and saliencies[0].objective == "ac":
        found["test_accuracy"] = video_accuracy(saliencies[0], held_out[0], examples.class_index)
    rows = [row for row in held_out[0].rows if all(row in f.rows for f in held_out)]
    scores = []
    for row in rows:
        by_kind = {
            s.kind: score_row(s, f, f.rows.index(row)).scores for s, f in zip(saliencies, held_out)
        }
        sight = [x for kind, x in by_kind.items() if kind != "audio"]
        modalities = [torch.stack(sight).mean(0)] if sight else []
        modalities += [x for kind, x in by_kind.items() if kind == "audio"]
        scores.append(torch.stack(modalities).mean(0))
    moments = None if recipe.moments is None else _moments(recipe.moments)
    answers = labels.answers(tuple(rows))
    if answers is not None or moments is not None:
        found |= agreement(
            scores,
            rows,
            k=recipe.test_k,
            num_frames=labels.num_frames,
            stride=labels.stride,
            answers=answers,
            moments=moments,
        )
    found["protocol"] = (
        f"mean over all inputs of a clip, clips of {labels.num_frames}x{labels.stride} frames, "
        f"k = {recipe.test_k}, split {recipe.test_split}"
    )
    return found


def _moments(path: str) -> Mapping[str, list[tuple[float, float]]]:
    return moments_of(load_manifest(path))


def _build(recipe: SaliencyRecipe, source: Source, *, classes: tuple[str, ...]) -> Network:
    """Build the network, from scratch or from a checkpoint less its head."""
    is_ac = recipe.objective == "ac"
    num_classes = len(classes) if is_ac else 1
    if recipe.init is None:
        options: dict[str, Any] = {"in_channels": source.channels, "width": recipe.width}
        if "stem" in signature(IMAGE_BACKBONES[recipe.network]).parameters:
            options["stem"] = recipe.stem
        network = create_backbone(recipe.network, num_classes=num_classes, **options)
    else:
        network = _started(recipe, source)
        network.reset_classifier(num_classes)
    network.classes = classes if is_ac else None
    count(network, (1, source.channels, *input_size(recipe)))  # says what it does not take
    return network


def _started(recipe: SaliencyRecipe, source: Source) -> Network:
    """Open the network that a recipe starts from, ending at the layer it freezes, if any.

    Raises:
        UsageError: another network than the recipe's, or one without that layer.
    """
    assert recipe.init is not None
    network = load_backbone(checkpoint=recipe.init)
    told = (network.name, network.options.get("width"), network.options.get("in_channels"))
    wanted = (recipe.network, recipe.width, source.channels)
    if told != wanted:
        names = ("network", "width", "channels")
        pairs = ", ".join(f"{n} {a} and not {b}" for n, a, b in zip(names, told, wanted) if a != b)
        raise UsageError(f"{recipe.init}: holds a network of {pairs}; correct the recipe")
    if not recipe.freeze:
        return network
    cut = create_backbone(network.name, head_on=recipe.freeze, **network.options)
    known = network.state_dict()
    body = {name: known[name] for name in cut.state_dict() if not name.startswith("fc.")}
    cut.load_state_dict({**cut.state_dict(), **body})
    return cut
