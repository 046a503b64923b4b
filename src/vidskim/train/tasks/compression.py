"""The task of selective feature compression: what to keep of a whole video, by its class alone.

Liu et al., ICCV 2021, section 4: the backbone is frozen, batch norm included; gradients flow
through its late part into the compression, which alone is trained.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from vidskim.account import count
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.network import Network
from vidskim.clips import grid as timeline
from vidskim.data.cache.frames import Store, frame_store
from vidskim.errors import UsageError
from vidskim.look.methods import METHODS, Asked
from vidskim.model.compressed import Compressed, map_channels, own_size
from vidskim.model.compression import TemporalCompression
from vidskim.model.file import save_model
from vidskim.model.presets import default_stage, sfc
from vidskim.train.batches.joined import WholeBatches
from vidskim.train.clip_network import augmentation_of
from vidskim.train.examples import Examples, check_trained, targets_of
from vidskim.train.length import schedule_of
from vidskim.train.measure import VideoAnswers, write_video_answers
from vidskim.train.run import Run
from vidskim.train.task import Job, Published, Task, videos_of
from vidskim.train.tasks.compression_recipe import SfcRecipe, check_sfc
from vidskim.train.tasks.memory import started_from


def _prepare(recipe: SfcRecipe, examples: Examples, fabric: Fabric) -> Job:
    torch.manual_seed(recipe.seed)
    model = build(recipe, examples.classes)
    resized = replace(
        model.transform, short_side=recipe.max_short_side or recipe.short_side, resize_to=None
    )
    read = partial(frame_store, folder=Path(recipe.cache), source=recipe.data)
    frames = read(examples.train, transform=resized)
    check_trained(examples, frames.rows, path=recipe.data)
    held_out = read(examples.test, transform=model.transform)
    batches = WholeBatches(
        frames,
        targets_of(frames.rows, examples.class_index, multilabel=False),
        num_videos=recipe.batch_size,
        num_frames=recipe.num_frames,
        segments=recipe.segments,
        stride=model.clip.stride,
        augmentation=augmentation_of(recipe),
        transform=model.transform,
        seed=recipe.seed,
    )
    schedule = schedule_of(recipe, num_videos=len(frames))

    def measure(run: Run) -> dict[str, Any]:
        truth = targets_of(held_out.rows, examples.class_index, multilabel=False)
        answers = whole_answers(model, held_out, truth)
        write_video_answers(answers, held_out, classes=examples.classes, folder=run.folder)
        return {
            "test_accuracy": answers.measured()["test_accuracy"],
            **videos_of(frames, held_out),
            "steps": schedule.steps,
            "protocol": f"{_told(model)}, stride {model.clip.stride}, {model.transform}, split "
            f"{recipe.test_split}",
        }

    return Job(
        model=model,
        batch_of=batches,
        schedule=schedule,
        measure=measure,
        publish=lambda: [Published(sfc(model), save_model)],
    )


train_sfc = Task(SfcRecipe, check_sfc, _prepare)
"""Trains a compression inside a backbone."""


def build(recipe: SfcRecipe, classes: tuple[str, ...]) -> Compressed:
    """Build the model of a recipe, as far trained as what it starts from.

    Raises:
        UsageError: a backbone of other classes, whose classifier would stay as it is; frames, in
            number or size, that it does not take; a compression of another form than the start's.
        CheckpointError: an unusable start.
    """
    found = started_from(recipe.init)
    started = None if found is None else found.networks[0]
    if isinstance(started, Compressed) and found is not None and found.context is None:
        backbone = started.backbone
    else:
        started = None
        backbone = load_backbone(recipe.model, checkpoint=recipe.init)
    source = recipe.init or str(recipe.model)
    check_backbone(backbone, classes, source=source)
    at = recipe.at or (default_stage(backbone) if started is None else started.at)
    assert backbone.transform is not None
    if recipe.test_height is None or recipe.test_width is None:
        whole = replace(backbone.transform, short_side=recipe.short_side, resize_to=None, crop=None)
    else:
        size = (recipe.test_height, recipe.test_width)
        whole = replace(backbone.transform, short_side=None, resize_to=size, crop=None)
    compression = TemporalCompression(map_channels(backbone, at), **recipe.compression_options)
    if started is not None:
        if (started.at, started.compression.options) != (at, compression.options):
            raise UsageError(
                f"{recipe.init}: holds a compression of {started.compression.options} after "
                f"{started.at}, the recipe has {compression.options} after {at}: give the former, "
                "or start from the backbone alone"
            )
        compression.load_state_dict(started.compression.state_dict())
    model = Compressed(backbone, at=at, compression=compression, transform=whole)
    model.stride = recipe.stride
    if recipe.segments > 1:
        model.segments = (recipe.segments, recipe.num_frames // recipe.segments)
    if recipe.num_frames < model.min_frames or recipe.num_frames % model.frame_multiple:
        raise UsageError(
            f"num_frames is {recipe.num_frames}, {backbone.name} with a ratio of "
            f"{compression.ratio} takes at least {model.min_frames}, a multiple of "
            f"{model.frame_multiple}: give such a number"
        )
    own = own_size(backbone)
    if own is not None and whole.resize_to is None:
        raise UsageError(
            f"{backbone.name} takes frames of {own[0]}x{own[1]} only: give them as test_height and "
            "test_width"
        )
    crop = (recipe.crop_height, recipe.crop_width)
    for size in dict.fromkeys((crop, whole.resize_to or crop)):
        count(model, (1, 3, recipe.num_frames, *size))  # says what it does not take, before videos
    return model


def check_backbone(backbone: Network, classes: tuple[str, ...], *, source: str) -> None:
    """Refuse a backbone that does not tell the classes of the data apart, as it is.

    Raises:
        UsageError: other classes, or another number of them where it does not name its own.
    """
    if backbone.clip is None:
        raise UsageError(
            f"{source}: holds {backbone.name}, which takes no clips: give a classifier"
        )
    known = backbone.classes
    if known == classes or (known is None and backbone.num_classes == len(classes)):
        backbone.classes = classes
        return
    raise UsageError(
        f"{source}: tells {backbone.num_classes} classes apart, not the {len(classes)} of the "
        "data; its classifier stays as it is: train it on these with a recipe of task 'clips' first"
    )


@torch.inference_mode()
def whole_answers(model: Compressed, store: Store, targets: np.ndarray) -> VideoAnswers:
    """Answer for every row of a store, whose frames are those that go in.

    The frames are those that `vidskim recognize` takes of the same video.

    Args:
        model: in any mode; it is in evaluation mode afterwards.
        store: of the rows, resized by the model's transform.
        targets: class of each row ``[R]``.
    """
    model.eval()
    device = next(model.parameters()).device
    scores = []
    for n in range(len(store.rows)):
        parts = frames_of(model, store[n])
        features, _, _ = model.attend(part.to(device) for part in parts)
        logits = model.classify(features.float()).float().cpu()
        scores.append(torch.softmax(logits[0], 0))
    videos = torch.stack(scores)
    return VideoAnswers(videos, videos[:, None], torch.from_numpy(targets))


def frames_of(model: Compressed, frames: np.ndarray) -> Iterator[Tensor]:
    """Yield what goes in of a video ``[1, 3, t, h, w]``, part by part.

    Which parts is said by `vidskim.look.methods.METHODS`, "sfc".

    Args:
        model: whose look.
        frames: uint8 ``[F, 3, h, w]``, resized.
    """
    transform = replace(model.transform, short_side=None, resize_to=None)
    segment = model.clip
    grid = timeline.split(
        list(range(len(frames))), num_frames=segment.num_frames, stride=segment.stride
    )
    segments = None if model.segments is None else model.segments[0]
    look = METHODS["sfc"].make(Asked(clip=segment, segments=segments))
    indices = look.select(None, len(grid), torch.Generator())
    clips = [grid[index] for index in indices]
    if len(clips) == len(grid):
        clips = timeline.with_rest(clips, len(frames), end_seconds=len(frames))
    for clip in clips:
        chosen = frames[list(clip.frame_indices[: clip.num_valid])]
        yield transform(torch.from_numpy(chosen))[None]


def _told(model: Compressed) -> str:
    if model.segments is None:
        return "the whole video"
    return f"{model.segments[0]} segments of {model.segments[1]} frames"
