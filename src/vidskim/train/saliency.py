"""The task of scoring clips cheaply: SCSampler's action-classification objective on motion maps.

SCSampler, section 3.2.1: a light classifier is trained with the video's label on every clip of it,
as if all of them showed the class; where a clip shows nothing it learns to be unsure.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from vidskim.backbones.registry import IMAGE_BACKBONES, create_backbone
from vidskim.data.store import Store, motion_store
from vidskim.errors import unknown_name
from vidskim.train.checkpoint import Run
from vidskim.train.examples import check_numbers, read_examples
from vidskim.train.fit import Batch, Precision, make_fabric
from vidskim.train.task import optimize, publish


@dataclass(frozen=True)
class SaliencyRecipe:
    """Everything a training of a saliency network depends on.

    Attributes:
        data: manifest of whole videos.
        out: folder of the run; an unfinished run of the same recipe there is resumed.
        task: must be "saliency".
        objective: "ac", action classification (SCSampler, section 3.2.1).
        feature: "motion", displacement maps at 1/16 of the video's size.
        network: name of an image network.
        width: channels of its first stage (64 is the published size).
        stem: "imagenet", or "small" for maps of a dozen cells.
        map_height: maps are resized to this height.
        map_width: and this width.
        train_split: split to train on.
        test_split: split to measure on.
        label_smoothing: share of the target spread over all classes.
        batch_size: motion maps per step.
        steps: optimizer steps.
        warmup_steps: steps of linear warm-up.
        learning_rate: at its highest.
        weight_decay: for weights, not for norms and biases.
        optimizer: "sgd" or "adamw".
        precision: "32-true"; beside a CUDA device also "bf16-mixed" or "16-mixed".
        seed: for initialization and order.
        save_every: steps between saved states.
        cache: folder for motion maps.
    """

    data: str
    out: str
    task: Literal["saliency"] = "saliency"
    objective: Literal["ac"] = "ac"
    feature: Literal["motion"] = "motion"
    network: str = "resnet_18"
    width: int = 64
    stem: Literal["imagenet", "small"] = "imagenet"
    map_height: int = 14
    map_width: int = 14
    train_split: str = "train"
    test_split: str = "test"
    label_smoothing: float = 0.0
    batch_size: int = 256
    steps: int = 2000
    warmup_steps: int = 50
    learning_rate: float = 0.05
    weight_decay: float = 1e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 200
    cache: str = "runs/cache"


def train_saliency(recipe: SaliencyRecipe, *, stop_after: int | None = None) -> dict[str, Any]:
    """Train a saliency network, or go on with an unfinished run of the same recipe.

    Args:
        recipe: what to do.
        stop_after: stop at this step, unfinished; the same call without it goes on from there.

    Returns:
        The metrics; of a finished run at once, nothing is trained again; empty if it was stopped.

    Raises:
        UsageError: a recipe that cannot be run.
        ManifestError: unusable data.
        CheckpointError: a damaged state.
        VidskimError: the loss is no number any more.
    """
    check_numbers(recipe)
    if recipe.network not in IMAGE_BACKBONES:
        raise unknown_name("saliency network", recipe.network, IMAGE_BACKBONES)
    run = Run(Path(recipe.out))
    run.begin(asdict(recipe))
    done = run.metrics()
    if done is not None:
        return done
    fabric = make_fabric(recipe.precision)
    examples = read_examples(
        recipe.data, train_split=recipe.train_split, test_split=recipe.test_split
    )
    size = (recipe.map_height, recipe.map_width)
    maps = motion_store(examples.train, size=size, folder=Path(recipe.cache))
    torch.manual_seed(recipe.seed)
    model = create_backbone(
        recipe.network,
        num_classes=len(examples.classes),
        in_channels=2,
        width=recipe.width,
        stem=recipe.stem,
    )
    model.classes = examples.classes
    labels = np.array([examples.class_index[row.label] for row in maps.rows])
    complete = optimize(
        model,
        recipe,
        batch_of=MapSampler(recipe, maps, labels),
        run=run,
        fabric=fabric,
        stop_after=stop_after,
    )
    if not complete:
        return {}
    held_out = motion_store(examples.test, size=size, folder=Path(recipe.cache))
    measured = {
        "test_accuracy": map_accuracy(model, held_out, examples.class_index),
        "test_videos": len(held_out),
        "train_videos": len(maps),
        "protocol": f"mean probability over all motion maps, split {recipe.test_split}",
    }
    extra = {"map_size": list(size)}
    return publish(model, recipe, examples=examples, measured=measured, run=run, extra=extra)


class MapSampler:
    """The batch of a step: every map from a video drawn anew, long and short ones alike."""

    def __init__(self, recipe: SaliencyRecipe, maps: Store, labels: np.ndarray) -> None:
        self.recipe = recipe
        self.maps = maps
        self.labels = labels
        self.lengths = np.array([shape[0] for shape in maps.shapes])

    def __call__(self, step: int) -> Batch:
        """Return motion maps ``[N, 2, h, w]`` and class indices ``[N]``."""
        generator = np.random.default_rng([self.recipe.seed, step])
        rows = generator.integers(0, len(self.maps), self.recipe.batch_size)
        places = (generator.random(self.recipe.batch_size) * self.lengths[rows]).astype(int)
        x = np.stack([self.maps[row][place] for row, place in zip(rows, places)])
        return torch.from_numpy(x).float(), torch.from_numpy(self.labels[rows])


@torch.inference_mode()
def map_accuracy(model: nn.Module, store: Store, class_index: dict[str, int]) -> float:
    """Return the share of videos whose mean class probability over all maps is right."""
    model.eval()
    device = next(model.parameters()).device
    right = 0
    for n, row in enumerate(store.rows):
        maps = torch.from_numpy(store[n].astype(np.float32))  # [P, 2, h, w]
        logits = torch.cat([model(part.to(device)) for part in torch.split(maps, 512)])
        right += int(torch.softmax(logits, 1).mean(0).argmax()) == class_index[row.label]
    return right / len(store)
