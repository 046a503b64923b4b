"""The task of collaborative memory: several clips of a video in one step, one loss on all of them.

Yang et al., "Beyond Short Clips", CVPR 2021. The backbone is trained on single clips first, by task
"clips" or by this one with one clip and no memory; then, from there, together with the memory.
Without a memory the task is the paper's "multi-clip" training.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vidskim.backbones.files.header import read_raw
from vidskim.backbones.grow import add_nonlocal
from vidskim.backbones.network import Network
from vidskim.data.cache.frames import frame_store
from vidskim.errors import UsageError
from vidskim.model.aggregate import Learned
from vidskim.model.card import is_around
from vidskim.model.compressed import Compressed
from vidskim.model.file import load_model, save_model
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Model
from vidskim.model.presets import memory_channels
from vidskim.train.batches.videos import VideoBatches, check_share
from vidskim.train.clip_network import (
    NONLOCAL,
    augmentation_of,
    build_network,
    check_clips,
    fit_to,
)
from vidskim.train.examples import Examples, check_trained, targets_of
from vidskim.train.length import schedule_of
from vidskim.train.loop import Take, num_processes
from vidskim.train.measure import video_answers, write_video_answers
from vidskim.train.multi_clip import MultiClip
from vidskim.train.multi_iteration import ClipByClip, multi_iteration
from vidskim.train.run import Run
from vidskim.train.sub_batch import Grouping, SubBatchNorm, use_sub_batches
from vidskim.train.task import Job, Published, Task, videos_of
from vidskim.train.tasks.memory_recipe import MemoryRecipe, check_memory
from vidskim.train.video_loss import video_loss

Made = TypeVar("Made")


def _check(recipe: MemoryRecipe) -> None:
    check_memory(recipe)
    check_clips(recipe)
    check_shared(recipe, num_processes(recipe.devices))


def _prepare(recipe: MemoryRecipe, examples: Examples, fabric: Fabric) -> Job:
    check_different(recipe, len(examples.train))
    torch.manual_seed(recipe.seed)
    model = build(recipe, examples.classes)
    grouping = use_sub_batches(model.backbone)
    transform = model.backbone.transform
    assert transform is not None
    largest = replace(transform, short_side=recipe.max_short_side or recipe.short_side)
    read = partial(frame_store, folder=Path(recipe.cache), source=recipe.data)
    frames, held_out = first_alone(
        fabric,
        lambda: (
            read(examples.train, transform=largest),
            read(examples.test, transform=transform),
        ),
    )
    check_trained(examples, frames.rows, path=recipe.data)
    check_different(recipe, len(frames))
    batches = VideoBatches(
        frames,
        targets_of(frames.rows, examples.class_index, multilabel=recipe.multilabel),
        num_clips=recipe.num_clips,
        num_videos=recipe.videos_per_step,
        num_frames=recipe.num_frames,
        stride=recipe.stride,
        augmentation=augmentation_of(recipe),
        transform=transform,
        seed=recipe.seed,
        share=(fabric.global_rank, fabric.world_size),
    )
    grouping.is_synchronized = fabric.world_size > 1 and (
        recipe.batch_norm == "synchronized" or recipe.videos_per_step == fabric.world_size
    )
    if fabric.is_global_zero:
        tell_single_clips(recipe, model, processes=fabric.world_size)
    schedule = schedule_of(recipe, num_videos=len(frames))

    def measure(run: Run) -> dict[str, Any]:
        answers = video_answers(
            model,
            held_out,
            targets_of(held_out.rows, examples.class_index, multilabel=recipe.multilabel),
            num_clips=recipe.test_clips,
        )
        write_video_answers(answers, held_out, classes=examples.classes, folder=run.folder)
        return {
            **answers.measured(),
            **videos_of(frames, held_out),
            "steps": schedule.steps,
            "protocol": (
                f"{recipe.test_clips} clips x 1 crop from the first to the last frame, overlapping "
                f"in short videos, {model.clip}, split {recipe.test_split}"
            ),
        }

    return Job(
        model=model,
        batch_of=batches.one_by_one if recipe.strategy == "multi_iteration" else batches,
        slow=model.stage_parameters(),
        schedule=schedule,
        take=step_of(recipe, model, grouping=grouping, fabric=fabric),
        measure=measure,
        publish=lambda: [Published(model.published(), save_model)],
    )


train_memory = Task(MemoryRecipe, _check, _prepare, is_shared=True)
"""Trains on several clips of each video; without a memory it writes a plain backbone."""


def build(recipe: MemoryRecipe, classes: tuple[str, ...]) -> MultiClip:
    """Build the model of a recipe, as far trained as what it starts from.

    A network with non-local blocks may start from a file of the one without them, whether alone or
    with a memory, which is then taken over too.

    Raises:
        UsageError: clips that the network does not take, or a memory of another form than the
            start's.
        CheckpointError: an unusable start.
    """
    started = started_from(recipe.init)
    held = None if started is None else started.networks[0]
    if isinstance(held, Compressed):
        started = held = None  # as any file of several parts
    if held is None:
        backbone = build_network(recipe, classes, init=recipe.init)
    else:
        if recipe.model == held.name + NONLOCAL:
            held = add_nonlocal(held, recipe.model)
        backbone = fit_to(held, recipe, classes, init=recipe.init)
    known = None if started is None else started.context
    memory = None
    if recipe.interaction is not None:
        memory = CollaborativeMemory(memory_channels(backbone), **recipe.memory_options)
        if isinstance(known, CollaborativeMemory):
            _fill(memory, known, path=str(recipe.init))
    elif known is not None:
        warnings.warn(
            f"{recipe.init}: its memory is left out, as interaction is null", stacklevel=2
        )
    if recipe.dropout is not None:
        set_dropout(backbone, recipe.dropout)
    model = MultiClip(backbone, memory, num_clips=recipe.num_clips, is_multilabel=recipe.multilabel)
    if recipe.freeze_backbone:
        model.freeze_backbone()
    return model


def started_from(init: str | None) -> Model | None:
    """Return the model of one encoder that a file holds, with or without a memory.

    None for a file of anything else, a bare backbone too: nothing of a model is left out unseen.

    Raises:
        CheckpointError: a damaged file.
    """
    if init is None or not Path(init).is_file() or not is_around(read_raw(Path(init))):
        return None
    model = load_model(init)
    is_one = len(model.networks) == 1 and not isinstance(model.aggregator, Learned)
    return model if is_one else None


def step_of(recipe: MemoryRecipe, model: MultiClip, *, grouping: Grouping, fabric: Fabric) -> Take:
    """Return the forward and backward pass of a step."""

    def loss_of(logits: Tensor, target: Tensor) -> Tensor:
        return video_loss(
            logits.float(), target, alpha=recipe.alpha, label_smoothing=recipe.label_smoothing
        )

    def at_once(wrapped: nn.Module, clips: Tensor, target: Tensor) -> Tensor:
        grouping.num_groups = 1 if recipe.batch_norm == "whole" else clips.shape[1]
        clips, target = fabric.to_device((clips, target))
        loss = loss_of(wrapped(clips), target)
        fabric.backward(loss)
        return loss.detach()

    def by_turns(wrapped: nn.Module, clips: ClipByClip, target: Tensor) -> Tensor:
        with fabric.autocast():
            loss = multi_iteration(
                model,
                clips,
                fabric.to_device(target),
                loss_of=loss_of,
                grouping=grouping,
                backward=fabric.backward,
                gradient=recipe.gradient,
            )
        average_gradients(model, fabric)
        return loss

    return by_turns if recipe.strategy == "multi_iteration" else at_once


def check_shared(recipe: MemoryRecipe, processes: int) -> None:
    """Refuse steps that processes cannot share, before anything is read.

    Raises:
        UsageError: videos that do not divide, or batch norm over all clips of a pass, which is then
            in several processes.
    """
    check_share(recipe.videos_per_step, processes=processes)
    if processes > 1 and recipe.batch_norm == "whole":
        raise UsageError("batch_norm whole goes with one process: give sub_batch or synchronized")


def check_different(recipe: MemoryRecipe, num_rows: int) -> None:
    """Refuse steps of more videos than there are: the clips of a group are of different ones.

    Raises:
        UsageError: too many videos per step.
    """
    videos = recipe.videos_per_step
    if videos <= num_rows:
        return
    most = num_rows if recipe.strategy == "multi_iteration" else num_rows * recipe.num_clips
    raise UsageError(
        f"{recipe.data}: a step takes {videos} different videos, split {recipe.train_split!r} has "
        f"{num_rows} that can be used; give a batch_size of at most {most}, or more videos"
    )


def tell_single_clips(recipe: MemoryRecipe, model: MultiClip, *, processes: int) -> None:
    """Warn of batch norms whose statistics are those of one clip each.

    So they are where a step has one video and one process: a group has one clip, and there is no
    other process to share statistics with.
    """
    has_norms = any(isinstance(module, SubBatchNorm) for module in model.modules())
    if recipe.videos_per_step > 1 or processes > 1 or recipe.freeze_backbone or not has_norms:
        return
    if recipe.batch_norm == "whole" and recipe.num_clips > 1:
        return
    at_once = recipe.num_clips if recipe.strategy == "batch_reduction" else 1
    remedies = [f"a batch_size of at least {2 * at_once}", "freeze_backbone true"]
    if at_once > 1:
        remedies[1:1] = ["fewer num_clips", "batch_norm whole"]
    warnings.warn(
        f"{recipe.out}: a step has one video, so that batch_norm {recipe.batch_norm} takes the "
        f"statistics of single clips; give {', '.join(remedies[:-1])} or {remedies[-1]}",
        stacklevel=3,
    )


def average_gradients(model: nn.Module, fabric: Fabric) -> None:
    """Replace gradients by their mean over processes, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="mean")
    assert isinstance(flat, Tensor)
    place = 0
    for gradient in gradients:
        gradient.copy_(flat[place : place + gradient.numel()].view_as(gradient))
        place += gradient.numel()


def first_alone(fabric: Fabric, make: Callable[[], Made]) -> Made:
    """Let the first process make what the others then find; it alone warns of what it finds."""
    if fabric.is_global_zero:
        made = make()
        fabric.barrier()
        return made
    fabric.barrier()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def _fill(memory: CollaborativeMemory, known: CollaborativeMemory, *, path: str) -> None:
    """Give a memory the weights of another.

    Raises:
        UsageError: they are of different form.
    """
    if memory.options != known.options or memory.channels != known.channels:
        raise UsageError(
            f"{path}: holds a memory of {known.options}, the recipe has {memory.options}: give "
            "the former, or start from a backbone alone"
        )
    memory.load_state_dict(known.state_dict())


def set_dropout(backbone: Network, share: float) -> None:
    """Change the dropout before a classifier.

    Raises:
        UsageError: there is none.
    """
    dropout = getattr(backbone, "dropout", None)
    if not isinstance(dropout, nn.Dropout):
        raise UsageError(f"{backbone.name} has no dropout before its classifier: give null")
    dropout.p = share
