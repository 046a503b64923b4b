"""What training reads again and again, read from the videos once, such as frames.

A store is one flat file per data set and setting in the cache folder, memory-mapped. Its name is
a hash of the files' names, sizes and times and of the settings, so that a changed video or setting
gives a new store. The index beside it appears last and holds the flat file's digest.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from vidskim.backbones.files.fingerprint import file_sha256
from vidskim.clips.grid import lay_clip
from vidskim.clips.transform import Transform
from vidskim.data.cache.cache import check_lost, keep, seal, short_hash, tell_lost, unseal
from vidskim.data.manifest import Row
from vidskim.data.workers import map_in_processes
from vidskim.errors import ManifestError, VideoError
from vidskim.io.write.files import refusing, whole
from vidskim.types import Clip
from vidskim.video import Video

FORMAT = 1

OLD = {"dtype", "kept", "shapes", "counts", "failures", "damaged"}
"""Of an index that has no digests yet; the last three came one after another."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is read from one row."""

    values: np.ndarray
    """``[P, ...]``."""
    counts: tuple[int, ...] = ()
    """How many of the P belong to each part of the row, in order; empty where there is one part."""
    warnings: tuple[str, ...] = ()
    """What of the file could not be read."""


@dataclass(frozen=True, slots=True)
class Store:
    """Arrays of different shapes, one per row of a manifest, in one memory-mapped file."""

    rows: tuple[Row, ...]
    """The rows that could be read."""
    flat: np.ndarray
    """All arrays one after another."""
    offsets: np.ndarray
    """Where each array begins, int64 ``[R]``."""
    shapes: tuple[tuple[int, ...], ...]
    counts: tuple[tuple[int, ...], ...] = ()
    """`Item.counts` of every row."""
    damaged: tuple[str, ...] = ()
    """Of the rows that could be read in part only: the file, and what of it could not."""
    failures: tuple[str, ...] = ()
    """Of the rows that are left out: which, and why."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the array of one row; a view of the file."""
        shape = self.shapes[row]
        start = int(self.offsets[row])
        return self.flat[start : start + int(np.prod(shape))].reshape(shape)


def frame_store(
    rows: Sequence[Row],
    *,
    transform: Transform,
    folder: Path,
    workers: int | None = None,
    source: str | None = None,
) -> Store:
    """Return the resized frames of every row (of its stretch, where it has seconds), uncropped.

    Each array is uint8 ``[F, 3, h, w]``, resized as ``transform`` says. Warnings tell of videos
    that cannot be read, or in part only; see `open_store` for the rest.

    Raises:
        ManifestError: no rows, or more than a tenth of them cannot be read.
        UsageError: the folder cannot be written to.
    """
    read = partial(_read_frames, transform=transform)
    settings = {
        "kind": "frames",
        "resize": [transform.short_side, transform.resize_to],
        "antialias": transform.antialias,
    }
    return open_store(rows, read, settings=settings, folder=folder, workers=workers, source=source)


def _read_frames(row: Row, *, transform: Transform) -> Item:
    video = Video(row.path)
    parts = []
    for clip, frames in video.iter_frames(_stretch(video, row, num_frames=8)):
        x = frames[: clip.num_valid]  # [t, 3, H, W]
        size = transform.resized_size(*x.shape[-2:])
        if size != tuple(x.shape[-2:]):
            x = interpolate(
                x.float(), size=size, mode="bilinear", antialias=transform.antialias
            ).round()
        parts.append(x.to(torch.uint8))
    if not parts:
        raise VideoError(row.path, "no frame of the stretch can be read")
    return Item(torch.cat(parts).numpy(), warnings=tuple(video.warnings))


def _stretch(video: Video, row: Row, *, num_frames: int) -> list[Clip]:
    """Return touching clips that cover the frames in [start, end) seconds, each exactly once.

    Times are compared with a microsecond's grace; a stretch between two frames gives the next one.
    """
    times = np.asarray(video.timestamps_seconds)
    if row.start_seconds is not None and len(times) and row.start_seconds > times[-1]:
        raise VideoError(
            row.path,
            f"the row starts at {row.start_seconds:g} s, the last frame is at {times[-1]:.2f} s",
        )
    first = 0 if row.start_seconds is None else _frame_at(times, row.start_seconds)
    stop = len(times) if row.end_seconds is None else _frame_at(times, row.end_seconds)
    stop = max(stop, first + 1)
    return [
        lay_clip(
            start,
            num_frames=num_frames,
            total=stop,
            index=n,
            start_seconds=float(times[start]),
            end_seconds=float(times[min(start + num_frames, stop) - 1]),
        )
        for n, start in enumerate(range(first, min(stop, len(times)), num_frames))
    ]


def _frame_at(times: np.ndarray, seconds: float) -> int:
    return int(np.searchsorted(times, seconds - 1e-6))


def open_store(
    rows: Sequence[Row],
    read: Callable[[Row], Item],
    *,
    settings: Mapping[str, object],
    folder: Path,
    workers: int | None = None,
    source: str | None = None,
) -> Store:
    """Open the store of these rows and settings, making it first where it is missing.

    Two warnings tell, each time, how many videos were left out and how many are damaged. What was
    read by a vidskim that did not keep the latter is not read again for it.

    Args:
        rows: of a manifest.
        read: what is kept of a row; picklable, for workers.
        settings: all that ``read`` depends on besides the row, plain JSON values; "kind" names it.
        folder: of the cache.
        workers: processes that read, by default one per core.
        source: the manifest's name, for messages.

    Raises:
        ManifestError: no rows, or more than a tenth of them cannot be read.
        UsageError: the folder cannot be written to.
    """
    told = "" if source is None else f"{source}: "
    if not rows:
        raise ManifestError(f"{told}no rows to read: the manifest or its split is empty")
    identity = [_identity(row) for row in rows]
    text = json.dumps([FORMAT, settings, identity], sort_keys=True)
    name = f"{settings['kind']}-{short_hash(text)}"
    index, data = folder / f"{name}.json", folder / f"{name}.bin"

    def make(part: Path) -> None:
        title = f"reading {settings['kind']}"
        results = map_in_processes(partial(_attempt, read), rows, title=title, workers=workers)
        record = _write(results, data, rows=rows, source=told)
        part.write_text(json.dumps(seal(record)))

    remedy = "give another cache folder"
    with refusing(folder, what="cannot keep what is read there", remedy=remedy):
        store = keep(index, partial(_read, data=data, rows=rows), make)
    tell_lost(store.failures, lost=len(store.failures), total=len(rows), source=told)
    if store.damaged:
        warnings.warn(
            f"{told}{len(store.damaged)} of {len(rows)} videos are damaged and are used as far as "
            f"they can be read, the first: {store.damaged[0]}",
            stacklevel=3,
        )
    return store


def _identity(row: Row) -> list[object]:
    try:
        status = os.stat(row.path)
    except OSError:
        return [str(row.path), None, None, row.start_seconds, row.end_seconds]
    return [str(row.path), status.st_size, status.st_mtime_ns, row.start_seconds, row.end_seconds]


def _read(index: Path, *, data: Path, rows: Sequence[Row]) -> Store:
    """Open a finished store.

    Raises:
        FileNotFoundError: there is none.
        Exception: it is damaged, or a file of it is missing.
    """
    if index.exists() != data.exists():
        raise OSError(f"{(data if index.exists() else index).name} is missing")
    told = json.loads(index.read_text())
    record = told if told.keys() <= OLD else unseal(told)
    shapes = tuple(tuple(int(n) for n in shape) for shape in record["shapes"])
    counts = tuple(tuple(int(n) for n in c) for c in record.get("counts", ()))
    kept, dtype = record["kept"], np.dtype(record["dtype"])
    sizes = [int(np.prod(shape)) for shape in shapes]
    fits = len(kept) == len(shapes) and kept == sorted({*range(len(rows))} & {*kept})
    if not fits or (counts and [sum(c) for c in counts] != [shape[0] for shape in shapes]):
        raise OSError("it is the index of other rows")
    if data.stat().st_size != sum(sizes) * dtype.itemsize:
        raise OSError(f"{data.name} is of another length")
    if "data" in record and file_sha256(data) != record["data"]:
        raise OSError(f"{data.name} does not hold what was written")
    return Store(
        rows=tuple(rows[n] for n in kept),
        flat=np.memmap(data, dtype=dtype, mode="r") if sum(sizes) else np.empty(0, dtype),
        offsets=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        shapes=shapes,
        counts=counts,
        damaged=tuple(map(str, record.get("damaged", ()))),
        failures=tuple(map(str, record.get("failures", ()))),
    )


def _write(
    results: Iterable[Item | str], data: Path, *, rows: Sequence[Row], source: str
) -> dict[str, Any]:
    """Write the arrays of all readable rows and return their index.

    Raises:
        ManifestError: too many rows cannot be read.
    """
    kept: list[int] = []
    shapes: list[tuple[int, ...]] = []
    counts: list[tuple[int, ...]] = []
    failures: list[str] = []
    damaged: list[str] = []
    dtype = "uint8"
    digest = hashlib.sha256()
    with whole(data) as part, part.open("wb") as file:
        for n, result in enumerate(results):
            if isinstance(result, str):
                failures.append(result)
                continue
            kept.append(n)
            shapes.append(result.values.shape)
            counts.append(result.counts)
            if result.warnings:
                damaged.append(f"{rows[n].path}: {'; '.join(result.warnings)}")
            dtype = str(result.values.dtype)
            values = result.values.tobytes()
            file.write(values)
            digest.update(values)
        check_lost(failures, lost=len(failures), total=len(rows), source=source)
    return {
        "dtype": dtype,
        "kept": kept,
        "shapes": shapes,
        "counts": counts if any(counts) else [],
        "failures": failures,
        "damaged": damaged,
        "data": digest.hexdigest(),
    }


def _attempt(read: Callable[[Row], Item], row: Row) -> Item | str:
    """Read one row; a file that cannot be read comes back as its reason."""
    try:
        return read(row)
    except VideoError as error:
        return str(error)
