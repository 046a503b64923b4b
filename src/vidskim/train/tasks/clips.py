"""The task of recognizing single clips: any clip backbone, on the stretches of a manifest."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from vidskim.backbones.network import Network
from vidskim.clips.transform import Transform
from vidskim.data.cache.frames import Store, frame_store
from vidskim.train.augment import mixup, random_clip
from vidskim.train.batches.order import rows_of_step
from vidskim.train.clip_network import augmentation_of, build_network, check_clips, prepared
from vidskim.train.examples import Examples, check_trained
from vidskim.train.key import Key, recipe
from vidskim.train.keys import ClipKeys, DataKeys, OptimKeys, SmoothingKeys, StepKeys
from vidskim.train.loop import Batch
from vidskim.train.measure import refuse_no_numbers
from vidskim.train.run import Run
from vidskim.train.task import Job, Published, Task, videos_of


@recipe
class ClipRecipe(DataKeys, StepKeys, OptimKeys, SmoothingKeys, ClipKeys):
    """Everything a training of a clip classifier depends on."""

    task: Literal["clips"] = "clips"
    mixup: Annotated[float, Key("alpha of mixup, 0 for none", low=0, high=1000)] = 0.0
    short_side: int = 128
    crop_height: int = 112
    crop_width: int = 112
    color: float = 0.2
    label_smoothing: float = 0.1
    batch_size: int = 16
    test_clips: int = 5


def _prepare(recipe: ClipRecipe, examples: Examples, fabric: Fabric) -> Job:
    torch.manual_seed(recipe.seed)
    model = build_network(recipe, examples.classes, init=recipe.init)
    transform = model.transform
    assert transform is not None
    read = partial(frame_store, folder=Path(recipe.cache), source=recipe.data)
    largest = recipe.max_short_side or recipe.short_side
    frames = read(examples.train, transform=replace(transform, short_side=largest))
    check_trained(examples, frames.rows, path=recipe.data)
    labels = np.array([examples.class_index[row.label] for row in frames.rows])

    def measure(run: Run) -> dict[str, Any]:
        held_out = read(examples.test, transform=transform)
        number = recipe.test_clips
        return {
            "test_accuracy": clip_accuracy(model, held_out, examples.class_index, num_clips=number),
            **videos_of(frames, held_out),
            "protocol": f"{number} clips x 1 crop, {model.clip}, split {recipe.test_split}",
        }

    return Job(
        model=model,
        batch_of=ClipSampler(
            recipe, frames, labels, num_classes=len(examples.classes), transform=transform
        ),
        measure=measure,
        publish=lambda: [Published(model)],
    )


train_clips = Task(ClipRecipe, check_clips, _prepare)
"""Trains a clip classifier."""


class ClipSampler:
    """The batch of a step: rows in an order shuffled every epoch, clips drawn and augmented."""

    def __init__(
        self,
        recipe: ClipRecipe,
        frames: Store,
        labels: np.ndarray,
        *,
        num_classes: int,
        transform: Transform,
    ) -> None:
        self.recipe = recipe
        self.transform = transform
        self.frames = frames
        self.labels = labels
        self.num_classes = num_classes
        self.augmentation = augmentation_of(recipe)

    def __call__(self, step: int) -> Batch:
        """Return input ``[N, 3, T, h, w]`` and targets."""
        recipe = self.recipe
        rows = rows_of_step(
            step, num_rows=len(self.frames), batch_size=recipe.batch_size, seed=recipe.seed
        )
        generator = np.random.default_rng([recipe.seed, 1, step])
        clips = [
            random_clip(
                self.frames[row],
                num_frames=recipe.num_frames,
                stride=recipe.stride,
                augmentation=self.augmentation,
                generator=generator,
            )
            for row in rows
        ]
        x = prepared(torch.stack(clips), self.transform)
        target: Tensor = torch.from_numpy(self.labels[rows])
        if recipe.mixup > 0:
            x, target = mixup(
                x, target, num_classes=self.num_classes, alpha=recipe.mixup, generator=generator
            )
        return x.contiguous(memory_format=torch.channels_last_3d), target


@torch.inference_mode()
def clip_accuracy(
    model: Network, store: Store, class_index: dict[str, int], *, num_clips: int
) -> float:
    """Return the share of rows whose mean class probability over clips is right.

    Raises:
        VidskimError: the model's answers to a row are no numbers.
    """
    model.eval()
    assert model.clip is not None
    assert model.transform is not None
    device = next(model.parameters()).device
    span = (model.clip.num_frames - 1) * model.clip.stride + 1
    right = 0
    for n, row in enumerate(store.rows):
        frames = store[n]
        room = max(0, len(frames) - span)
        starts = np.unique(np.linspace(0, room, num_clips).round().astype(int))
        index = starts[:, None] + np.arange(model.clip.num_frames) * model.clip.stride
        clips = torch.from_numpy(frames[np.minimum(index, len(frames) - 1)])  # [V, T, 3, H, W]
        logits = model(model.transform(clips).to(device))
        refuse_no_numbers(logits, path=row.path)
        guess = int(torch.softmax(logits, 1).mean(0).argmax())
        right += guess == class_index[row.label]
    return right / len(store)
