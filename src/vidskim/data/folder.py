"""A folder with one folder per class, read as a manifest.

Two layouts are understood; files may lie deeper inside a class's folder::

    FOLDER/CLASS/*.mp4                    split here, by source group
    FOLDER/{train,val,test}/CLASS/*.mp4   split as the folders say

Clips cut from one source look alike, so a source must not stand in both train and test: a model
that remembers it would look better than it is. What a file's name tells of its source is used (see
`group_of`). A name that tells nothing is a source of its own, and `Manifest.note` says so.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vidskim.data.manifest import Manifest, Row, read_manifest, to_csv
from vidskim.errors import ManifestError, UsageError, unknown_name

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts")
) | {".ogv", ".ts", ".webm", ".wmv"}
"""Files with other suffixes are passed over."""

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names that name a split."""


def load_manifest(
    path: str | Path, *, split: str | None = None, classes: Sequence[str] | None = None
) -> Manifest:
    """Read a CSV by `read_manifest`, or a folder by `scan` with its default split.

    Args:
        path: a CSV file, or a folder with one folder per class.
        split: keep only the rows of this split.
        classes: the classes a model knows, in its order.

    Raises:
        ManifestError: as `read_manifest` and `scan`.
        UsageError: ``split`` is no split's name.
    """
    if not Path(path).is_dir():
        return read_manifest(path, split=split, classes=classes)
    if split is not None and split not in SPLIT_FOLDERS.values():
        raise unknown_name("split", split, SPLIT_FOLDERS.values())
    manifest = scan(path)
    unknown = [name for name in manifest.classes if classes is not None and name not in classes]
    if unknown:
        raise ManifestError(f"{path}: folder {unknown[0]!r} is none of the model's classes")
    rows = tuple(row for row in manifest.rows if split in (None, row.split))
    if not rows:
        raise ManifestError(f"{path}: no video is in split {split!r}; name another split or none")
    return replace(manifest, rows=rows, classes=tuple(classes or manifest.classes))


def manifest_sha256(path: str | Path) -> str:
    """Return the hash that `load_manifest` gives a CSV or a folder; no row is read.

    Args:
        path: a CSV file, or a folder with one folder per class.

    Raises:
        ManifestError: it is gone, or cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return scan(path).sha256
        if not path.is_file():
            raise ManifestError(f"{path}: no such manifest; check the path")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None


def scan(folder: str | Path, *, test_share: float = 0.2, seed: int = 0) -> Manifest:
    """Make a manifest of a folder with one folder per class.

    The result depends on names, ``test_share`` and ``seed`` alone: not on dates, contents or the
    order in which the file system lists them.

    Args:
        folder: see the layouts above.
        test_share: share of each class's videos that is put aside for testing, as nearly as whole
            groups allow; not used where the folders name splits.
        seed: which groups these are.

    Returns:
        Rows sorted by path. Write them by `vidskim.data.manifest.write_manifest`.

    Raises:
        ManifestError: no such folder, or no class folder with a video in it.
        UsageError: ``test_share`` outside [0, 1).
    """
    folder = Path(folder)
    if not 0.0 <= test_share < 1.0:
        raise UsageError(f"test_share is {test_share:g}; give a share of at least 0 and below 1")
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "no such folder"
        raise ManifestError(f"{folder}: {what}; give the folder that holds one folder per class")
    tops = {top: _videos_below(top) for top in _visible_folders(folder)}
    tops = {top: videos for top, videos in tops.items() if videos}
    has_splits = _name_splits(folder, list(tops))
    rows = [
        _row(video, top, has_splits=has_splits) for top, videos in tops.items() for video in videos
    ]
    if not rows:
        raise ManifestError(
            f"{folder}: no class folder with a video in it; expected {folder.name}/CLASS/VIDEO "
            f"with one of {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    rows.sort(key=lambda row: row.path.relative_to(folder).parts)
    _check_names(rows)
    if has_splits:
        note = f"{len(rows)} videos; splits as the folders say"
    else:
        test = choose_test_groups(rows, test_share=test_share, seed=seed)
        rows = [replace(row, split="test" if _key(row) in test else "train") for row in rows]
        note = _describe(rows)
    classes = tuple(sorted({row.label for row in rows}))
    digest = hashlib.sha256(to_csv(rows, root=folder).encode()).hexdigest()
    return Manifest(tuple(rows), classes, folder, digest, note)


def _name_splits(folder: Path, tops: Sequence[Path]) -> bool:
    """Return whether the folders in a folder name splits, and those in them classes.

    Raises:
        ManifestError: some do.
    """
    splits = [top for top in tops if top.name.lower() in SPLIT_FOLDERS]
    others = [top for top in tops if top not in splits]
    if splits and others:
        raise ManifestError(
            f"{folder}: {splits[0].name!r} names a split but {others[0].name!r} does not; keep "
            "either split folders or class folders here"
        )
    return bool(splits)


def _row(video: Path, top: Path, *, has_splits: bool) -> Row:
    inner = video.relative_to(top).parts
    if has_splits and len(inner) == 1:
        raise ManifestError(f"{video}: lies in no class folder; move it into one")
    label = inner[0] if has_splits else top.name
    split = SPLIT_FOLDERS[top.name.lower()] if has_splits else None
    return Row(video, (label,), split=split, group=group_of(video, label=label))


def _check_names(rows: Sequence[Row]) -> None:
    """Refuse file names that no CSV in UTF-8 can hold.

    Raises:
        ManifestError: such a name.
    """
    for row in rows:
        try:
            str(row.path).encode()
        except UnicodeEncodeError:
            shown = os.fsencode(row.path).decode(errors="replace")
            raise ManifestError(f"{shown}: its name is not UTF-8; rename it") from None


def group_of(path: Path, *, label: str) -> str | None:
    """Return the source a clip was cut from, as far as its file's name tells.

    Known are the names of UCF101 (``v_Diving_g04_c02``: source g04 of that class), of HMDB51 and
    JHMDB (``Film_dive_f_cm_np1_ba_med_3``: everything before the class) and of Kinetics
    (``ID_000010_000020``: the ID of the full video).

    >>> group_of(Path("golf/Film_2_golf_f_cm_np1_ba_med_3.avi"), label="golf")
    'Film_2'
    """
    stem = path.stem
    if match := re.search(r"_g(\d+)_c\d+$", stem):
        return f"{label}/g{match[1]}"
    before, found, after = stem.rpartition(f"_{label}_")
    if before and found and after:
        return before
    if match := re.fullmatch(r"(.+)_\d{6}_\d{6}", stem):
        return match[1]
    return None


def choose_test_groups(rows: Sequence[Row], *, test_share: float, seed: int) -> set[str]:
    """Choose whole groups for testing so that every class gives nearly its share.

    Groups may span classes, so the best choice is a packing problem. Here, in an order the seed
    fixes, a group changes sides whenever that brings the classes closer to their shares (sum of
    squared differences), until none does. Then a class of at least two groups that has no test
    video gives its smallest group, unless a class would be left without training.

    Args:
        rows: single-label rows; one without a group is a group of its own.
        test_share: share of the videos.
        seed: fixes the order.

    Returns:
        Keys of the groups chosen (their names, or the path for a row without a group).
    """
    if test_share == 0.0:
        return set()
    groups: dict[str, Counter[str]] = {}
    for row in rows:
        groups.setdefault(_key(row), Counter())[row.label] += 1
    names = {_key(row): row.group or "/".join(row.path.parts[-2:]) for row in rows}

    def shuffled(key: str) -> bytes:
        return hashlib.sha256(f"{seed}/{names[key]}".encode()).digest()

    order = {key: groups[key] for key in sorted(groups, key=shuffled)}
    total = Counter(row.label for row in rows)
    chosen, tested = _descend(order, total, test_share=test_share)
    for label in sorted(label for label in total if not tested[label]):
        for key, counts in sorted(order.items(), key=lambda item: item[1].total()):
            if counts[label] and all(tested[c] + n < total[c] for c, n in counts.items()):
                chosen.add(key)
                tested.update(counts)
                break
    return chosen


def _descend(
    groups: Mapping[str, Counter[str]], total: Counter[str], *, test_share: float
) -> tuple[set[str], Counter[str]]:
    """Return the groups where no single change of side brings the classes closer to their shares.

    Args:
        groups: videos of each class, in the order in which groups are tried.
        total: videos of each class.
        test_share: share of them to be tested.

    Returns:
        The groups chosen, and the videos of each class in them.
    """
    chosen: set[str] = set()
    tested: Counter[str] = Counter()
    moved = True
    while moved:
        moved = False
        for key, counts in groups.items():
            sign = -1 if key in chosen else 1
            gain = 0.0
            for label, count in counts.items():
                miss = tested[label] - test_share * total[label]
                gain += miss**2 - (miss + sign * count) ** 2
            if gain > 1e-9:
                chosen ^= {key}
                moved = True
                for label, count in counts.items():
                    tested[label] += sign * count
    return chosen, tested


def _key(row: Row) -> str:
    return f"group {row.group}" if row.group is not None else str(row.path)


def _describe(rows: Sequence[Row]) -> str:
    count = Counter(row.split for row in rows)
    alone = sum(row.group is None for row in rows)
    text = f"{count['train']} train and {count['test']} test videos; "
    if alone == len(rows):
        return (
            text + "file names tell no source, so every file counts as its own: clips cut from "
            "one recording may stand on both sides (add a column 'group' to prevent that)"
        )
    groups = len({row.group for row in rows if row.group is not None})
    text += f"split by {groups} source groups read from file names, none on both sides"
    return text + (f"; {alone} names tell no source and count as their own" if alone else "")


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _videos_below(folder: Path) -> list[Path]:
    """Return the video files below a folder, sorted; linked folders inside are not followed."""
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(here, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES
        ]
    return sorted(found)
