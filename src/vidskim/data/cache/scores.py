"""What saliency networks say of every clip of every video, looked at once and kept.

The studies of SCSampler combine the same scores in many ways; with the classifier's answers
(`vidskim.data.cache.answers`) they are arithmetic. As there, one small file per video lies in a
folder whose name is a hash of every setting that changes a number, under the hash of the video's
content: a copied or renamed video is known again, and a kill loses at most the video at hand.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from vidskim.account import MacCounter
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.data.cache.cache import GRID_VERSION, content_name
from vidskim.errors import UsageError, VideoError
from vidskim.look.contract import Saliency
from vidskim.look.network import NetworkSaliency, score_together
from vidskim.look.packets import PacketSaliency
from vidskim.look.sources import to_json
from vidskim.types import Clip
from vidskim.video import Video

FORMAT = 1

DIGEST = "sha256"
"""Key of a record: what its other values hash to."""

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


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Value]):
    """One thing per video, and the videos for which it could not be had."""

    found: Mapping[Path, Value]
    failures: Mapping[Path, str]
    """Video to reason."""

    def __getitem__(self, path: Path) -> Value:
        """Return what is known of a video."""
        return self.found[path]


def network_scores(
    paths: Sequence[Path],
    saliency: NetworkSaliency,
    *,
    clip: ClipSpec,
    folder: str | Path,
) -> Kept[NetworkLook]:
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
        grid = grid_of(video, clip)
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
) -> Kept[Tensor]:
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
            scores = saliency(video, grid_of(video, clip))
        return {"scores": torch.nan_to_num(scores.float()).tolist()}

    def read(record: Mapping[str, Any]) -> Tensor:
        return torch.tensor(record["scores"], dtype=torch.float32)

    return _keep(paths, make, read, settings=known, kind="saliency", what="saliency", folder=folder)


def video_grids(paths: Sequence[Path], *, clip: ClipSpec, folder: str | Path) -> Kept[Grid]:
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
        grid = grid_of(video, clip)
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


def grid_of(video: Video, clip: ClipSpec) -> list[Clip]:
    """Lay the grid over a video.

    Raises:
        VideoError: the file cannot be read or holds no frame.
    """
    grid = video.clips(num_frames=clip.num_frames, stride=clip.stride)
    if not grid:
        raise VideoError(video.path, "has no video frame that can be read")
    return grid


def _keep(
    paths: Sequence[Path],
    make: Callable[[Path], dict[str, Any]],
    read: Callable[[Mapping[str, Any]], Value],
    *,
    settings: Mapping[str, Any],
    kind: str,
    what: str,
    folder: str | Path,
) -> Kept[Value]:
    """Find or make the record of every video."""
    text = json.dumps(settings, sort_keys=True, indent=1)
    home = Path(folder) / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    found: dict[Path, Value] = {}
    failures: dict[Path, str] = {}
    with _writable(folder):
        home.mkdir(parents=True, exist_ok=True)
        _write(home / "settings.json", text)
        for path in tqdm(list(dict.fromkeys(paths)), desc=what, delay=2, disable=None):
            try:
                target = home / f"{content_name(path)}.json"
                value = _read(target, read)
                if value is None:
                    record = make(path)
                    _write(target, json.dumps({**record, DIGEST: _digest(record)}))
                    value = read(record)
                found[path] = value
            except VideoError as error:
                failures[path] = str(error)
    return Kept(found, failures)


def _read(path: Path, read: Callable[[Mapping[str, Any]], Value]) -> Value | None:
    """Return what a file holds, None if there is none that is whole."""
    try:
        record = json.loads(path.read_bytes())
        told = record.pop(DIGEST)
        return read(record) if told == _digest(record) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError):
        return None


def _digest(record: Mapping[str, Any]) -> str:
    """Return a hash of a record, which tells whether a single digit of it has changed."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    """Write a file that appears under its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writable(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot keep scores there ({error.strerror or error}); give another folder"
        ) from None
