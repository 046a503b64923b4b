"""What a saliency network is trained on: the inputs of a source on the grid of every video.

The inputs come from the same `Source` that a sampler looks through, on the grid that a classifier's
clip length lays over a video, and each knows its clip. They are kept in as few bits as they need:
motion and sound in float16, residuals and pictures in steps of one gray level.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidskim.data.cache.frames import Item, Store, open_store
from vidskim.data.grid import clips_within, grid_of
from vidskim.data.manifest import Row
from vidskim.errors import AudioError, ManifestError
from vidskim.look.sources import IMAGE_MEAN, IMAGE_STD, RESIDUAL_SCALE, Source, to_json
from vidskim.video import Video

FORMAT = 1

WITHOUT = {
    "motion": "motion vectors",
    "residual": "predicted frames",
    "keyframe": "key frames",
    "audio": "sound",
}
"""What a file lacks that has no input of a kind."""


@dataclass(frozen=True)
class FeatureStore:
    """Network inputs of one source, by video and clip."""

    source: Source
    rows: tuple[Row, ...]
    """The rows that have any input."""
    store: Store
    places: tuple[int, ...]
    """Where each row lies in the store."""

    def __len__(self) -> int:
        return len(self.rows)

    def place_of(self, row: Row) -> int:
        """Return where a row lies in the store."""
        return self.places[self.rows.index(row)]

    def counts(self, row: int) -> np.ndarray:
        """Return how many inputs each clip of a row's grid has, int64 ``[N]``.

        Of a row with seconds, clips that are not within them have none.
        """
        return np.array(self.store.counts[self.places[row]], np.int64)

    def num_inputs(self, row: int) -> int:
        """Return P, the inputs of a row."""
        return self.store.shapes[self.places[row]][0]

    def owner(self, row: int) -> Tensor:
        """Return the clip of each input, int64 ``[P]``, ascending."""
        counts = self.counts(row)
        return torch.from_numpy(np.repeat(np.arange(len(counts)), counts))

    def inputs(self, row: int, places: np.ndarray | None = None) -> Tensor:
        """Return inputs float32 ``[n, C, h, w]`` of a row, those at ``places`` or all of them."""
        kept = self.store[self.places[row]]
        return unpack(kept if places is None else kept[places], kind=self.source.kind)


def feature_store(
    rows: Sequence[Row],
    source: Source,
    *,
    num_frames: int,
    stride: int,
    folder: Path,
    workers: int | None = None,
) -> FeatureStore:
    """Return the inputs of a source for every row, read from the videos where they are not kept.

    Rows whose file has nothing of the kind (no sound, no motion vectors) are left out, and a
    warning says so.

    Args:
        rows: of a manifest; of rows with seconds only clips within them have inputs.
        source: what is read; all its inputs must be of one size.
        num_frames: frames per clip of the grid.
        stride: distance between them.
        folder: of the cache.
        workers: processes that read, by default one per core.

    Raises:
        ManifestError: no rows, more than a tenth of them cannot be read, or none has anything of
            the kind.
        UsageError: the folder cannot be written to.
    """
    settings = {
        "kind": f"{source.kind}-clips",
        "format": FORMAT,
        "source": to_json(source),
        "grid": [num_frames, stride],
    }
    read = partial(_read, source=source, num_frames=num_frames, stride=stride)
    store = open_store(rows, read, settings=settings, folder=folder, workers=workers)
    places = tuple(n for n, shape in enumerate(store.shapes) if shape[0])
    lacking = [row for row, shape in zip(store.rows, store.shapes) if not shape[0]]
    if not places:
        raise ManifestError(
            f"none of {len(store)} videos has {WITHOUT[source.kind]}, as {store.rows[0].path}; "
            "train on another feature"
        )
    if lacking:
        warnings.warn(
            f"{len(lacking)} of {len(store)} videos have no {WITHOUT[source.kind]} and were left "
            f"out, the first: {lacking[0].path}",
            stacklevel=2,
        )
    return FeatureStore(source, tuple(store.rows[n] for n in places), store, places)


def aligned(stores: Sequence[FeatureStore]) -> list[FeatureStore]:
    """Return stores of the same rows: those that every one of them has.

    Raises:
        ManifestError: there are none.
    """
    rows = [row for row in stores[0].rows if all(row in store.rows for store in stores)]
    if not rows:
        kinds = " and ".join(WITHOUT[store.source.kind] for store in stores)
        raise ManifestError(f"no video has {kinds}; train on fewer features")
    return [
        replace(store, rows=tuple(rows), places=tuple(store.place_of(row) for row in rows))
        for store in stores
    ]


def pack(inputs: Tensor, *, kind: str) -> np.ndarray:
    """Return inputs ``[P, C, h, w]`` in as few bits as they need."""
    if kind == "residual":
        return (inputs * RESIDUAL_SCALE).round().clamp(-128, 127).to(torch.int8).numpy()
    if kind == "keyframe":
        mean, std = _image_scale()
        return ((inputs * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return inputs.half().numpy()


def unpack(values: np.ndarray, *, kind: str) -> Tensor:
    """Return what `pack` was given, float32 ``[P, C, h, w]``."""
    inputs = torch.from_numpy(values.astype(np.float32))
    if kind == "residual":
        return inputs / RESIDUAL_SCALE
    if kind == "keyframe":
        mean, std = _image_scale()
        return (inputs / 255 - mean) / std
    return inputs


def _image_scale() -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return mean, std


def _read(row: Row, *, source: Source, num_frames: int, stride: int) -> Item:
    """Read the inputs of one row, in the order of their clips."""
    video = Video(row.path)
    grid = grid_of(video, num_frames=num_frames, stride=stride)
    within = clips_within(grid, row)
    parts: list[np.ndarray] = []
    owners: list[Tensor] = []
    try:
        for inputs, owner in source.read(video, [grid[n] for n in within]):
            parts.append(pack(inputs, kind=source.kind))
            owners.append(owner)
    except AudioError:
        parts, owners = [], []
    if not parts:
        nothing = pack(torch.zeros(0, source.channels, 1, 1), kind=source.kind)
        return Item(nothing, (0,) * len(grid))
    place = torch.tensor(within)[torch.cat(owners)].numpy()
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=len(grid))
    return Item(np.concatenate(parts)[order], tuple(counts.tolist()))
