"""What is kept on disk: found by what it was made of, checked when opened, made where missing.

A name is a hash of every setting that changes a number. Of one file per video, the settings name
the folder and the video's content names the file: a copied or renamed video is known again, a
changed one is not, and a kill loses at most the video at hand. Each file holds a digest of all that
is in it. What is damaged is made again, and a warning says so.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vidskim.backbones.contract import Backbone
from vidskim.backbones.files.fingerprint import file_sha256, tensors_sha256, weights_sha256
from vidskim.data.manifest import Row
from vidskim.errors import ManifestError, UsageError, VideoError, first_line
from vidskim.io.write.files import whole, write_whole

GRID_VERSION = 1
"""Of the rules of `vidskim.clips.grid.split`: another rule for the last clip is another grid."""

MAX_FAILED_SHARE = 0.1
"""More unreadable videos than this are no accident: the data set is broken."""

DIGEST = "sha256"
"""Key of a record: the digest of its other values and of the tensors beside it."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Key, Value]):
    """What was found or made, and why the rest could not be."""

    found: Mapping[Key, Value]
    failures: Mapping[Key, str]

    def __getitem__(self, key: Key) -> Value:
        """Return what is known of a key."""
        return self.found[key]


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
    home = Path(folder) / f"{kind}-{short_hash(text)}"
    write_whole(home / "settings.json", text)
    return home


def short_hash(text: str) -> str:
    """Return 16 digits of a text's sha256: what is kept is named by them."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keep(path: Path, read: Callable[[Path], Value], write: Callable[[Path], object]) -> Value:
    """Return what a file holds, made where it is missing or, with a warning, damaged.

    Args:
        path: the file.
        read: path to what it holds; a file that raises any error is damaged, unless there is none.
        write: makes a whole file under a path.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # whatever the parsing of damaged bytes raises
        warnings.warn(f"{path}: damaged ({first_line(error)}), it is made again", stacklevel=2)
    with whole(path) as part:
        write(part)
    return read(path)


def seal(record: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """Return a record of plain JSON values with a digest of them and of the tensors beside it."""
    return {**record, DIGEST: _digest(record, tensors or {})}


def unseal(
    sealed: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
) -> dict[str, Any]:
    """Return a record without its digest.

    Older files have the first 16 digits only, or a digest of the tensors alone: they are whole too.

    Raises:
        OSError: the digest is that of something else.
        KeyError: there is none.
    """
    record = {**sealed}
    told = str(record.pop(DIGEST))
    held = (_digest(values, tensors or {}) for values in (record, {}))
    if len(told) not in (16, 64) or not any(digest.startswith(told) for digest in held):
        raise OSError("it does not hold what was written")
    return record


def _digest(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    before = json.dumps(record, sort_keys=True).encode() if record else b""
    return tensors_sha256(sorted(tensors.items()), before=before)


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
    return file_sha256(path)[:32]


def gather(keys: Iterable[Key], make: Callable[[Key], Value], *, title: str) -> Kept[Key, Value]:
    """Make one thing per key, each once; a `VideoError` is the reason why there is none.

    Args:
        keys: several may be equal.
        make: key to thing.
        title: of the progress bar.
    """
    found: dict[Key, Value] = {}
    failures: dict[Key, str] = {}
    for key in tqdm(list(dict.fromkeys(keys)), desc=title, delay=2, disable=None):
        try:
            found[key] = make(key)
        except VideoError as error:
            failures[key] = str(error)
    return Kept(found, failures)


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
    first = {key(row): row for row in reversed(rows)}
    known = gather(map(key, rows), lambda name: make(first[name]), title=title)
    kept = [row for row in rows if key(row) in known.found]
    failures = tuple(known.failures.values())
    tell_lost(failures, lost=len(rows) - len(kept), total=len(rows))
    return Collected(tuple(kept), tuple(known[key(row)] for row in kept), failures)


def check_lost(reasons: Sequence[str], *, lost: int, total: int, source: str = "") -> str:
    """Return how many rows of how many are left out.

    Args:
        reasons: why, one per video.
        lost: rows that are left out.
        total: all rows.
        source: what stands before the message.

    Raises:
        ManifestError: more than a tenth of the rows.
    """
    told = f"{source}{lost} of {total} videos"
    if lost > MAX_FAILED_SHARE * total:
        raise ManifestError(
            f"{told} cannot be read, the first: {reasons[0]}; repair these files, or take their "
            "rows out of the manifest"
        )
    return told


def tell_lost(reasons: Sequence[str], *, lost: int, total: int, source: str = "") -> None:
    """Warn of rows that are left out, as `check_lost` counts and refuses them."""
    told = check_lost(reasons, lost=lost, total=total, source=source)
    if lost:
        warnings.warn(f"{told} were left out, the first: {reasons[0]}", stacklevel=4)
