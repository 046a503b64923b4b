"""What saliency networks say of every clip of every video, looked at once and kept.

The studies of SCSampler combine the same scores in many ways; with the classifier's answers
(`vidskim.data.cache.answers`) they are arithmetic. One small file per video holds them
(`vidskim.data.cache.cache`).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidskim.account import MacCounter
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.data.cache.cache import (
    GRID_VERSION,
    Kept,
    Value,
    content_name,
    gather,
    keep,
    open_home,
    seal,
    unseal,
)
from vidskim.data.grid import grid_of
from vidskim.io.write.files import refusing
from vidskim.look.contract import Saliency
from vidskim.look.network import NetworkSaliency, score_together
from vidskim.look.packets import PacketSaliency
from vidskim.look.sources import to_json
from vidskim.video import Video

FORMAT = 1

SHORTEST = 1e-3
"""Seconds a clip lasts at least, where a file's times say that it does not last at all."""


@dataclass(frozen=True, slots=True)
class NetworkLook:
    """One network's look at one video."""

    scores: Tensor | None
    """``[N]`` in [0, 1], None where the file has nothing that the network looks at."""
    seconds: float
    """Wall time of the look, decoding included, when it was made."""
    macs: int
    frames_decoded: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The candidate clips of one video and what its packets say of them."""

    spans: Tensor
    """``[N, 2]`` start and end in seconds."""
    packets: Tensor
    """``[N]`` in [0, 1], see `PacketSaliency`."""
    content: str
    """Hash of the file's bytes; what is drawn by chance depends on it, not on names or order."""


def network_scores(
    paths: Sequence[Path],
    saliency: NetworkSaliency,
    *,
    clip: ClipSpec,
    folder: str | Path,
) -> Kept[Path, NetworkLook]:
    """Return the scores of one saliency network on every clip of every video, made where missing.

    Args:
        paths: videos; several may be one.
        saliency: the network and what it looks at, on the CPU.
        clip: whose length and stride lay the grid.
        folder: of the cache.

    Raises:
        UsageError: a folder that cannot be written to.
        CheckpointError: the network answers with something that is no number.
    """
    settings = {
        "format": FORMAT,
        "grid": [GRID_VERSION, clip.num_frames, clip.stride],
        "weights": weights_sha256(saliency.network),
        "source": to_json(saliency.source),
        "objective": saliency.objective,
    }

    def make(path: Path) -> dict[str, Any]:
        video = Video(path)
        grid = grid_of(video, num_frames=clip.num_frames, stride=clip.stride)
        start = time.perf_counter()
        with MacCounter() as counter:
            (scores,) = score_together(video, grid, [saliency])
        return {
            "scores": None if scores is None else scores.tolist(),
            "seconds": time.perf_counter() - start,
            "macs": counter.macs,
            "frames_decoded": video.stats.frames_decoded,
            "warnings": list(video.warnings),
        }

    def read(record: Mapping[str, Any]) -> NetworkLook:
        scores = record["scores"]
        return NetworkLook(
            scores=None if scores is None else torch.tensor(scores, dtype=torch.float32),
            seconds=float(record["seconds"]),
            macs=int(record["macs"]),
            frames_decoded=int(record["frames_decoded"]),
            warnings=tuple(record["warnings"]),
        )

    what = f"scores of {saliency.kind}"
    return _keep(paths, make, read, settings=settings, kind="scores", what=what, folder=folder)


def saliency_scores(
    paths: Sequence[Path],
    saliency: Saliency,
    *,
    settings: Sequence[object],
    clip: ClipSpec,
    folder: str | Path,
) -> Kept[Path, Tensor]:
    """Return the scores ``[N]`` of any saliency on every clip of every video, made where missing.

    Args:
        paths: videos; several may be one.
        saliency: scores the clips.
        settings: all that the scores depend on besides video and clips, plain JSON.
        clip: whose length and stride lay the grid.
        folder: of the cache.

    Raises:
        UsageError: a folder that cannot be written to.
    """
    known = {
        "format": FORMAT,
        "grid": [GRID_VERSION, clip.num_frames, clip.stride],
        "saliency": list(settings),
    }

    def make(path: Path) -> dict[str, Any]:
        video = Video(path)
        with torch.inference_mode():
            scores = saliency(video, grid_of(video, num_frames=clip.num_frames, stride=clip.stride))
        return {"scores": torch.nan_to_num(scores.float()).tolist()}

    def read(record: Mapping[str, Any]) -> Tensor:
        return torch.tensor(record["scores"], dtype=torch.float32)

    return _keep(paths, make, read, settings=known, kind="saliency", what="saliency", folder=folder)


def video_grids(paths: Sequence[Path], *, clip: ClipSpec, folder: str | Path) -> Kept[Path, Grid]:
    """Return where the candidate clips of every video lie, and the scores of its packet sizes.

    Args:
        paths: videos; several may be one.
        clip: whose length and stride lay the grid.
        folder: of the cache.

    Raises:
        UsageError: a folder that cannot be written to.
    """
    settings = {"format": FORMAT, "grid": [GRID_VERSION, clip.num_frames, clip.stride]}

    def make(path: Path) -> dict[str, Any]:
        video = Video(path)
        grid = grid_of(video, num_frames=clip.num_frames, stride=clip.stride)
        return {
            "spans": [
                [c.start_seconds, max(c.end_seconds, c.start_seconds + SHORTEST)] for c in grid
            ],
            "packets": PacketSaliency()(video, grid).tolist(),
            "content": content_name(path),
        }

    def read(record: Mapping[str, Any]) -> Grid:
        spans = torch.tensor(record["spans"], dtype=torch.float64)
        return Grid(
            spans=spans.reshape(-1, 2),
            packets=torch.tensor(record["packets"], dtype=torch.float32),
            content=str(record["content"]),
        )

    return _keep(paths, make, read, settings=settings, kind="grids", what="grids", folder=folder)


def _keep(
    paths: Sequence[Path],
    make: Callable[[Path], dict[str, Any]],
    read: Callable[[Mapping[str, Any]], Value],
    *,
    settings: Mapping[str, Any],
    kind: str,
    what: str,
    folder: str | Path,
) -> Kept[Path, Value]:
    """Find or make the record of every video."""

    def find(path: Path) -> Value:
        return keep(
            home / f"{content_name(path)}.json",
            lambda file: read(unseal(json.loads(file.read_bytes()))),
            lambda part: part.write_text(json.dumps(seal(make(path)))),
        )

    with refusing(folder, what="cannot keep scores there"):
        home = open_home(folder, kind, settings)
        return gather(paths, find, title=what)
