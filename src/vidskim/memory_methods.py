"""Method ``memory`` by name: which model, which clips, and its parts for a recognizer.

Yang et al., "Beyond Short Clips", CVPR 2021, section 4.1: ten clips spread evenly over the video,
all of which write the memory; with three crops each, the paper's thirty views.
"""

from pathlib import Path

import torch

from vidskim import selection
from vidskim.errors import UsageError
from vidskim.look import Look
from vidskim.memory import (
    Collaborative,
    CollaborativeMemory,
    is_collaborative,
    load_collaborative,
    memory_channels,
)
from vidskim.models import is_file_of, open_model
from vidskim.recognizer import Origin

METHOD = "memory"

NUM_CLIPS = 10
"""Clips of a video in testing."""


def is_memory_model(model: str) -> bool:
    """Say whether a model's name is the path of a backbone with a memory.

    Raises:
        CheckpointError: the file is damaged.
    """
    return is_file_of(model, is_collaborative)


def open_memory(model: str, *, random_weights: bool = False) -> tuple[Collaborative, Origin]:
    """Return a backbone with its memory and where it comes from.

    Args:
        model: the path of one; with random weights the name of any clip classifier, which is given
            an untrained memory.
        random_weights: build the networks untrained, for measuring cost and speed.

    Raises:
        UsageError: a model without a memory, and no random weights.
        CheckpointError: a file that is missing or damaged.
    """
    if is_memory_model(model):
        if random_weights:
            raise UsageError(
                "random weights go with a backbone's name, not with the file of a memory"
            )
        found = load_collaborative(model)
        return found, Origin(f"{model} ({found.backbone.name}, {told(found)})")
    if not random_weights:
        if Path(model).suffix == ".safetensors" and not Path(model).exists():
            open_model(model)  # says what is missing
        raise UsageError(
            f"method {METHOD!r} needs a backbone with a memory, {model} has none: train one with "
            "recipes/memory and give its file as the model"
        )
    backbone, origin = open_model(model, random_weights=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        memory = CollaborativeMemory(memory_channels(backbone))
    return Collaborative(backbone, memory, num_clips=NUM_CLIPS).eval(), origin


def told(model: Collaborative) -> str:
    """Return what a model's memory is, in a word or two."""
    if model.memory is None:
        return "no memory"
    return f"{model.memory.interaction} memory, {model.memory.infusion}"


def memory_look(k: int | None) -> Look:
    """Return the look of the method: k clips spread evenly, ten where nothing else is asked for.

    Raises:
        UsageError: k below 1.
    """
    number = NUM_CLIPS if k is None else k
    selection.check_k(number)
    return Look(METHOD, selection.by_place(number), k=number)
