"""A backbone and its memory to a file and back: one safetensors file with both in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidskim.backbones.files.checkpoint import assign_state, build_network, check_state
from vidskim.backbones.files.header import DAMAGE, damaged, describe, write_tensors
from vidskim.backbones.files.state_dict import read_finite_state
from vidskim.model.card import (
    clip_header_of,
    holds,
    metadata_of,
    number_of,
    part_of,
    read_kind,
    refuse_others,
)
from vidskim.model.collaborative import Collaborative, memory_channels
from vidskim.model.memory import CollaborativeMemory

KEY = "backbone"
OTHERWISE = "holds no backbone with a memory; train one with a recipe of task 'memory'"

MAX_CLIPS = 65536
"""What a file may ask for: more is a damaged number."""


def save_collaborative(
    model: Collaborative, path: str | Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a safetensors file, which appears only when it is complete.

    Args:
        model: of any backbone.
        path: the file.
        metadata: plain JSON values to keep beside: recipe, metrics, source.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: ``metadata`` is not JSON.
    """
    memory = model.memory
    header = {
        KEY: describe(model.backbone),
        "memory": None if memory is None else memory.options,
        "num_clips": model.num_clips,
        "is_multilabel": model.is_multilabel,
        "metadata": dict(metadata or {}),
    }
    write_tensors(model.state_dict(), Path(path), header=header)


def is_collaborative(path: str | Path) -> bool:
    """Say whether a file holds a backbone with its memory.

    Raises:
        CheckpointError: no such file, a damaged one, or one of a newer vidskim.
    """
    return holds(path, KEY)


def read_collaborative_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or not one that `save_collaborative` wrote.
    """
    path = Path(path)
    return metadata_of(read_kind(path, KEY, otherwise=OTHERWISE), path=path)


def load_collaborative(path: str | Path) -> Collaborative:
    """Build a backbone and its memory with the weights of a file.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
    """
    path = Path(path)
    raw = read_kind(path, KEY, otherwise=OTHERWISE)
    state = read_finite_state(path)
    parts = {part: part_of(state, part) for part in ("backbone.", "memory.")}
    try:
        header = clip_header_of(raw[KEY])
        backbone = build_network(header, parts["backbone."], path=path).eval()
        memory = None
        if raw["memory"] is not None:
            with torch.device("meta"):  # nothing is allocated before it is compared
                memory = CollaborativeMemory(memory_channels(backbone), **dict(raw["memory"]))
            check_state(memory, parts["memory."], name="the memory", path=path)
            assign_state(memory, parts["memory."])
        model = Collaborative(
            backbone,
            memory,
            num_clips=number_of(raw["num_clips"], "clips", most=MAX_CLIPS),
            is_multilabel=_flag(raw["is_multilabel"]),
        )
    except DAMAGE as error:
        raise damaged(path, error) from error
    refuse_others(state, ("backbone.",) if memory is None else parts, path=path)
    return model.eval()


def _flag(told: Any) -> bool:
    if type(told) is not bool:
        raise ValueError(f"is_multilabel is {told!r}")
    return told
