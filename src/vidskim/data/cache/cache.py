"""One file per video in a cache: named by the video's content, whole or not there at all.

The folder's name is a hash of every setting that changes a number, the file's name the hash of the
video's content. A copied or renamed video is therefore known again, a changed one is not, and a
kill loses at most the video at hand.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from vidskim.backbones.contract import Backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.data.manifest import Row
from vidskim.errors import ManifestError, UsageError, VideoError

GRID_VERSION = 1
"""Of the rules of `vidskim.clips.grid.split`: another rule for the last clip is another grid."""

MAX_FAILED_SHARE = 0.1
"""More unreadable videos than this are no accident: the data set is broken."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The rows whose file is there, and why others are left out."""

    rows: tuple[Row, ...]
    files: tuple[Path, ...]
    """One per row."""
    failures: tuple[str, ...]


def encoder_settings(
    encoder: Backbone, *, precision: str, device: torch.device
) -> dict[str, object]:
    """Return all of a clip classifier that changes what it says of a clip, as plain JSON values.

    Raises:
        UsageError: a network without clip or transform.
    """
    if encoder.clip is None or encoder.transform is None:
        raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
    assert isinstance(encoder, nn.Module)
    return {
        "grid": GRID_VERSION,
        "model": encoder.name,
        "weights": weights_sha256(encoder),
        "clip": encoder.clip.to_dict(),
        "transform": encoder.transform.to_dict(),
        "head_window": getattr(encoder, "head_window", None),
        "precision": precision,
        "device": device.type,
    }


def open_home(folder: str | Path, kind: str, settings: Mapping[str, Any]) -> Path:
    """Return the folder of a kind of files and their settings, which are written into it.

    Raises:
        OSError: it cannot be written to.
    """
    text = json.dumps(settings, sort_keys=True, indent=1)
    home = Path(folder) / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    write_whole(home / "settings.json", lambda part: part.write_text(text))
    return home


def content_name(path: Path) -> str:
    """Return the name of a video's content: 32 digits of its sha256.

    A file whose size and time have not changed is read once per process: a study asks for the same
    videos again and again.

    Raises:
        VideoError: the file cannot be read.
    """
    try:
        status = path.stat()
        return _content(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise VideoError(path, f"cannot be read ({error.strerror or error})") from None


@lru_cache(maxsize=2**18)
def _content(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def collect(
    rows: Sequence[Row],
    make: Callable[[Row], Path],
    *,
    key: Callable[[Row], Hashable],
    title: str,
) -> Collected:
    """Find or make the file of every row; a warning tells of videos that cannot be read.

    Args:
        rows: of a manifest.
        make: row to its file, made if it is not there; a `VideoError` leaves the row out.
        key: what tells two rows' files apart.
        title: of the progress bar.

    Raises:
        ManifestError: more than a tenth of the rows cannot be read.
    """
    known: dict[Hashable, Path | str] = {}
    first = {key(row): row for row in reversed(rows)}
    for name in tqdm(dict.fromkeys(map(key, rows)), desc=title, delay=2, disable=None):
        try:
            known[name] = make(first[name])
        except VideoError as error:
            known[name] = str(error)
    kept = [(row, found) for row in rows if isinstance(found := known[key(row)], Path)]
    failures = tuple(found for found in known.values() if isinstance(found, str))
    lost = f"{len(rows) - len(kept)} of {len(rows)} videos"
    if len(rows) - len(kept) > MAX_FAILED_SHARE * len(rows):
        raise ManifestError(f"{lost} cannot be read, the first: {failures[0]}")
    if failures:
        warnings.warn(f"{lost} were left out, the first: {failures[0]}", stacklevel=3)
    return Collected(
        rows=tuple(row for row, _ in kept),
        files=tuple(file for _, file in kept),
        failures=failures,
    )


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears under its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
