"""A backbone and its memory to a file and back: one safetensors file with both in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidskim.backbones.checkpoint import assign_state, build_network, check_state
from vidskim.backbones.header import (
    DAMAGE,
    damaged,
    describe,
    header_of,
    read_raw,
    write_tensors,
)
from vidskim.backbones.state_dict import read_finite_state
from vidskim.errors import CheckpointError, listed
from vidskim.memory.collaborative import Collaborative, memory_channels
from vidskim.memory.context import CollaborativeMemory

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
        "backbone": describe(model.backbone),
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
    return "backbone" in (read_raw(Path(path)) or {})


def read_collaborative_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or not one that `save_collaborative` wrote.
    """
    path = Path(path)
    told = _read(path).get("metadata")
    if not isinstance(told, dict):
        raise damaged(path, ValueError("metadata"))
    return told


def load_collaborative(path: str | Path) -> Collaborative:
    """Build a backbone and its memory with the weights of a file.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
    """
    path = Path(path)
    raw = _read(path)
    state = read_finite_state(path)
    parts = {
        part: {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        for part in ("backbone.", "memory.")
    }
    try:
        header = header_of(raw["backbone"])
        if header.clip is None or header.transform is None:
            raise ValueError(f"{header.name} without a clip or transform")
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
            num_clips=_clips(raw["num_clips"]),
            is_multilabel=_flag(raw["is_multilabel"]),
        )
    except DAMAGE as error:
        raise damaged(path, error) from error
    known = ("backbone.",) if memory is None else tuple(parts)
    unknown = [name for name in state if not name.startswith(known)]
    if unknown:
        raise CheckpointError(f"{path}: holds tensors of no part ({listed(unknown)})")
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    raw = read_raw(path)
    if raw is None or "backbone" not in raw:
        raise CheckpointError(
            f"{path}: holds no backbone with a memory; train one with a recipe of task 'memory'"
        )
    return raw


def _clips(told: Any) -> int:
    if type(told) is not int or not 0 < told <= MAX_CLIPS:
        raise ValueError(f"{told!r} clips")
    return told


def _flag(told: Any) -> bool:
    if type(told) is not bool:
        raise ValueError(f"is_multilabel is {told!r}")
    return told
