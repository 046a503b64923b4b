"""A manifest of Kinetics, Charades or Something-Something from its official annotation files.

What the files name is looked for in the folder of videos: nothing is opened by a name that a file
chose, the folder is listed and names are compared. Official sets lose videos every year, so rows
whose video is missing (or has no bytes) are left out and counted in `Manifest.note`.

Something-Something V1 is published as one folder of JPEG frames per video, at 12 frames per second.
Those are packed into videos, their bytes unchanged (`vidskim.io.write.pack`).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidskim.data.folder import VIDEO_SUFFIXES
from vidskim.data.manifest import SPLITS, Manifest, Row, to_csv
from vidskim.data.official.formats import (
    AnnotatedVideo,
    read_charades,
    read_charades_classes,
    read_kinetics,
    read_something,
    splits_in,
)
from vidskim.data.workers import map_in_processes
from vidskim.errors import ManifestError, UsageError, VideoError, printable, unknown_name
from vidskim.io.write.pack import pack_jpegs

KINDS = {"kinetics": 2, "charades": 2, "something": 0}
"""Data sets, and how many folders deep their videos may lie (split and class)."""

FRAME_RATE = 12
"""Of the frames of Something-Something V1."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What lies in the folder of videos, of the names that are looked for."""

    videos: Mapping[str, Sequence[Path]]
    """Stem to the files of that name."""
    folders: Mapping[str, Path]
    """Name to the folder, at the top only."""


def read_official(
    annotations: Sequence[str | Path],
    *,
    kind: str,
    videos: str | Path,
    classes: str | Path | None = None,
    pack: str | Path | None = None,
    splits: Sequence[str] | None = None,
    workers: int | None = None,
) -> Manifest:
    """Make one manifest of official annotation files and the folder of their videos.

    Args:
        annotations: the files as published, one or more of one kind, for example those of training
            and validation (see `vidskim.data.official.formats`). A video that stands twice keeps
            its first row.
        kind: "kinetics" (400, 600, 700), "charades" or "something" (versions 1 and 2).
        videos: the folder. Kinetics ``ID_000010_000020.mp4`` and Charades ``ID.mp4`` may lie in
            folders per split, per class or both; Something-Something ``ID.webm`` lies right in it.
            Any suffix of `vidskim.data.folder.VIDEO_SUFFIXES` will do.
        classes: Charades_v1_classes.txt, for readable labels (``c000 Holding some clothes``).
        pack: where videos are made of Something-Something's folders of JPEGs, ``ID.avi``; those
            that are there already are kept.
        splits: of each annotation file, instead of what it or its name tells.
        workers: processes that pack (default: one per core).

    Returns:
        Rows in the order of the files, for `vidskim.data.manifest.write_manifest`. Rows of Charades
        have several labels, those of Kinetics the YouTube ID as group.

    Raises:
        ManifestError: a malformed file, no such folder, or less than half of the videos found.
        UsageError: an unknown kind or split, a file given twice, or options of another kind.
        OSError: a packed video cannot be written.
    """
    paths = [Path(path) for path in annotations]
    folder = Path(videos)
    _check_arguments(paths, kind=kind, classes=classes, pack=pack, splits=splits)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "no such folder"
        raise ManifestError(f"{folder}: {what}; give the folder of the videos")
    entries = list(_entries(paths, kind=kind, classes=classes, splits=splits))
    if not entries:
        raise ManifestError(f"{paths[0]}: names no video; download it again")
    wanted = [entry for entry in entries if entry.labels]
    listing = _list(folder, {entry.stem for entry in wanted}, depth=KINDS[kind])
    found, reasons = _find(wanted, listing, folder=folder, pack=pack, workers=workers)
    rows = _rows(wanted, found)
    if 2 * len(found) < len(wanted) or not rows:
        raise ManifestError(_too_few(wanted, found, reasons, folder=folder))
    note = _describe(entries, rows, found, reasons)
    digest = hashlib.sha256(to_csv(rows, root=folder).encode()).hexdigest()
    known = tuple(sorted({label for row in rows for label in row.labels}))
    return Manifest(tuple(rows), known, folder, digest, note)


def _check_arguments(
    paths: Sequence[Path],
    *,
    kind: str,
    classes: str | Path | None,
    pack: str | Path | None,
    splits: Sequence[str] | None,
) -> None:
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    if not paths:
        raise UsageError("no annotation file; give at least one")
    twice = [path for path, count in Counter(map(Path.resolve, paths)).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0].name} is given twice; give each annotation file once")
    if classes is not None and kind != "charades":
        raise UsageError(f"--classes is for charades only, not for {kind}; leave it out")
    if pack is not None and kind != "something":
        raise UsageError(f"--pack is for something only, not for {kind}; leave it out")
    if splits is not None and len(splits) != len(paths):
        raise UsageError(
            f"--split names {len(splits)} splits for {len(paths)} annotation files; name one each"
        )
    for split in splits or ():
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)


def _entries(
    paths: Sequence[Path],
    *,
    kind: str,
    classes: str | Path | None,
    splits: Sequence[str] | None,
) -> Iterator[AnnotatedVideo]:
    names = None if classes is None else read_charades_classes(Path(classes))
    told: Sequence[str | None] = splits or [None] * len(paths)
    for path, split in zip(paths, told, strict=True):
        if kind == "kinetics":
            yield from read_kinetics(path, split=split)
        elif kind == "charades":
            yield from read_charades(path, split=split, classes=names)
        else:
            yield from read_something(path, split=split)


def _list(folder: Path, names: set[str], *, depth: int) -> _Listing:
    """List a folder: regular files with bytes in them, not hidden, of the names wanted.

    Raises:
        ManifestError: a path that no manifest can hold.
    """
    videos: dict[str, list[Path]] = {}
    folders: dict[str, Path] = {}
    open_folders = [(folder, 0)]
    while open_folders:
        here, level = open_folders.pop()
        with os.scandir(here) as listed:
            for item in listed:
                stem, suffix = os.path.splitext(item.name)
                if item.name.startswith("."):
                    continue
                if suffix.lower() in VIDEO_SUFFIXES and stem in names:
                    if item.is_file() and item.stat().st_size > 0:
                        videos.setdefault(stem, []).append(Path(here, item.name))
                elif item.is_dir():
                    if level < depth:
                        open_folders.append((Path(here, item.name), level + 1))
                    elif level == 0 and item.name in names:
                        folders[item.name] = Path(here, item.name)
    for path in (path for paths in videos.values() for path in paths):
        try:
            str(path).encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode(errors="replace")
            raise ManifestError(f"{shown}: its name is not UTF-8; rename it") from None
    return _Listing({stem: sorted(paths) for stem, paths in videos.items()}, folders)


def _find(
    entries: Sequence[AnnotatedVideo],
    listing: _Listing,
    *,
    folder: Path,
    pack: str | Path | None,
    workers: int | None,
) -> tuple[dict[AnnotatedVideo, Path], list[str]]:
    """Return the video of each entry that has one, and why frames could not be packed."""
    found = {
        entry: _best(entry, listing.videos[entry.stem], folder=folder)
        for entry in entries
        if entry.stem in listing.videos
    }
    unpacked = {
        entry.stem: listing.folders[entry.stem]
        for entry in entries
        if entry not in found and entry.stem in listing.folders
    }
    if pack is None:
        if unpacked:
            raise ManifestError(
                f"{folder}: {len(unpacked)} videos are folders of frames, such as "
                f"{next(iter(unpacked))}; name a folder for videos made of them by --pack"
            )
        return found, []
    targets = {name: Path(pack, f"{name}.avi") for name in {entry.stem for entry in entries}}
    jobs = [
        (frames, targets[name])
        for name, frames in unpacked.items()
        if not _has_bytes(targets[name])
    ]
    packed = map_in_processes(_try_pack, jobs, title="packing frames", workers=workers)
    reasons = [reason for reason in packed if reason is not None]
    for entry in entries:
        if entry not in found and _has_bytes(targets[entry.stem]):
            found[entry] = targets[entry.stem]
    return found, reasons


def _try_pack(job: tuple[Path, Path]) -> str | None:
    """Pack one folder; return why that is impossible."""
    frames, target = job
    try:
        pack_jpegs(frames, target, frame_rate=FRAME_RATE)
    except VideoError as error:
        return str(error)
    return None


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _best(entry: AnnotatedVideo, paths: Sequence[Path], *, folder: Path) -> Path:
    """Return the file in the entry's class folder and split folder, as far as there are such."""

    def fit(path: Path) -> tuple[bool, bool]:
        parts = path.relative_to(folder).parts[:-1]
        plain = {part.replace("_", " ").lower() for part in parts}
        labels = {label.replace("_", " ").lower() for label in entry.labels}
        return bool(plain & labels), any(entry.split in splits_in(part) for part in parts)

    return max(paths, key=fit)  # the first of those that fit equally well


def _rows(entries: Iterable[AnnotatedVideo], found: Mapping[AnnotatedVideo, Path]) -> list[Row]:
    """Return one row per file; a manifest names none twice."""
    rows: dict[Path, Row] = {}
    for entry in entries:
        if entry in found:
            path = found[entry]
            rows.setdefault(path, Row(path, entry.labels, split=entry.split, group=entry.group))
    return list(rows.values())


def _too_few(
    wanted: Sequence[AnnotatedVideo],
    found: Mapping[AnnotatedVideo, Path],
    reasons: Sequence[str],
    *,
    folder: Path,
) -> str:
    """Return the message that most videos, or all, are missing."""
    if not wanted:
        return f"{folder}: no video has any label in these files; give others"
    lost = next(entry for entry in wanted if entry not in found)
    count = f"only {len(found)}" if found else "none"
    text = (
        f"{folder}: {count} of {len(wanted)} videos found, looked for {printable(lost.stem)}.mp4 "
        f"({lost.where}) and the like; give the right folder, or only the annotation files of what "
        "is there"
    )
    return text + (f" ({len(reasons)} could not be packed: {reasons[0]})" if reasons else "")


def _describe(
    entries: Sequence[AnnotatedVideo],
    rows: Sequence[Row],
    found: Mapping[AnnotatedVideo, Path],
    reasons: Sequence[str],
) -> str:
    """Return how many rows there are, and what was left out and why."""
    counts = Counter(row.split for row in rows)
    parts = [" and ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])]
    parts[0] += " videos"
    lost = [entry for entry in entries if entry.labels and entry not in found]
    if lost:
        parts.append(
            f"{len(lost)} of {len(entries)} left out: no video (the first: "
            f"{printable(lost[0].stem)})"
        )
    if reasons:
        parts.append(f"{len(reasons)} of these could not be packed (the first: {reasons[0]})")
    if bare := sum(not entry.labels for entry in entries):
        parts.append(f"{bare} left out: no action")
    if again := len(found) - len(rows):
        parts.append(f"{again} left out: a row before names their video")
    shown = {label for row in rows for label in row.labels}
    if gone := {label for entry in entries for label in entry.labels} - shown:
        parts.append(f"{len(gone)} classes have no video left (the first: {min(gone)})")
    return "; ".join(parts)
