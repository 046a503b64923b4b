"""Method ``memory`` by name: which model, which clips, and its parts for a recognizer.

Yang et al., "Beyond Short Clips", CVPR 2021, section 4.1: ten clips spread evenly over the video,
all of which write the memory; with three crops each, the paper's thirty views.
"""

import torch

from vidskim.backbones.network import Network
from vidskim.look import selection
from vidskim.look.look import Look
from vidskim.model.around import Around
from vidskim.model.collaborative import Collaborative, memory_channels
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.memory_file import is_collaborative, load_collaborative

METHOD = "memory"

NUM_CLIPS = 10
"""Clips of a video in testing."""


def untrained_memory(backbone: Network) -> Collaborative:
    """Put an untrained memory behind a backbone, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        memory = CollaborativeMemory(memory_channels(backbone))
    return Collaborative(backbone, memory, num_clips=NUM_CLIPS).eval()


def told(model: Collaborative) -> str:
    """Return what a model's memory is, in a word or two."""
    if model.memory is None:
        return "no memory"
    return f"{model.memory.interaction} memory, {model.memory.infusion}"


AROUND = Around(
    METHOD,
    "memory",
    "a memory",
    holds=is_collaborative,
    load=load_collaborative,
    untrained=untrained_memory,
    told=lambda model: f"{model.backbone.name}, {told(model)}",
)
is_memory_model, open_memory = AROUND.is_file, AROUND.open


def memory_look(k: int | None) -> Look:
    """Return the look of the method: k clips spread evenly, ten where nothing else is asked for.

    In a video of fewer clips side by side they overlap, as the paper's ten clips do.

    Raises:
        UsageError: k below 1.
    """
    number = NUM_CLIPS if k is None else k
    selection.check_k(number)
    return Look(METHOD, selection.by_place(number), k=number, overlaps=True)
