"""A manifest: the CSV that says which videos there are, what each shows and which split it is in.

One header line, then one line per video::

    path,label,start_seconds,end_seconds,split,group
    long/0007.mp4,swing golf,,,train,film 3
    long/0008.mp4,swim|dive,12.5,42.0,test,film 9

Only ``path`` and ``label`` (or ``labels``) are needed. Several labels are split by ``|``. The
seconds restrict a row to a part of its file. ``group`` (or ``source_group``) names the footage a
clip was cut from: no group should stand in two splits. Paths are relative to the CSV's folder.
"""

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from vidskim.errors import ManifestError, unknown_name
from vidskim.io.write.files import write_whole

SPLITS = ("train", "val", "test")
"""The split names a manifest may use."""

ALIASES = {"labels": "label", "source_group": "group"}
"""Other spellings of a column."""

COLUMNS = ("path", "label", "start_seconds", "end_seconds", "split", "group")


@dataclass(frozen=True, slots=True)
class Row:
    """One video, or one part of a video, and what it shows."""

    path: Path
    labels: tuple[str, ...]
    """At least one; more than one only where several are true at once."""
    start_seconds: float | None = None
    end_seconds: float | None = None
    split: str | None = None
    group: str | None = None

    @property
    def label(self) -> str:
        """The first label; the only one in a single-label data set."""
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of one data set."""

    rows: tuple[Row, ...]
    classes: tuple[str, ...]
    """All classes of the whole file, whatever split was asked for, in a model's output order."""
    source: Path
    """The CSV file, or the folder that was scanned."""
    sha256: str
    """Of the CSV's bytes; for a scanned folder, of the CSV that would describe it."""
    note: str = ""
    """How rows, groups and splits came about where no file said so."""

    @property
    def class_index(self) -> dict[str, int]:
        """Label to its place in `classes`."""
        return {label: index for index, label in enumerate(self.classes)}

    def name_of(self, row: Row) -> str:
        """Return the row's path as the manifest writes it: relative to its folder if below it."""
        root = self.source if self.source.is_dir() else self.source.parent
        return _written_path(row.path, root=root)


def read_manifest(
    path: str | Path, *, split: str | None = None, classes: Sequence[str] | None = None
) -> Manifest:
    """Read a manifest; nothing but the CSV itself is opened.

    Args:
        path: the CSV file (UTF-8, commas).
        split: keep only the rows of this split.
        classes: the classes a model knows, in its order; other labels are then an error. By default
            the sorted labels of the whole file.

    Returns:
        The rows in the order of the file.

    Raises:
        ManifestError: the file is missing, empty or malformed; the message names file, line, value
            and remedy.
        UsageError: ``split`` is no split's name.
    """
    path = Path(path)
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    data = _read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8; save the manifest "
            "as UTF-8"
        ) from None
    rows = tuple(_parse(text, path=path, known=None if classes is None else set(classes)))
    if not rows:
        raise ManifestError(f"{path}: no rows below the header; add one line per video")
    if classes is None:
        classes = sorted({label for row in rows for label in row.labels})
    if split is not None:
        present = sorted({row.split for row in rows if row.split is not None})
        rows = tuple(row for row in rows if row.split == split)
        if not rows:
            found = f"only {', '.join(present)}" if present else "no column 'split'"
            raise ManifestError(
                f"{path}: no row is in split {split!r} (the manifest has {found}); name another "
                "split or none"
            )
    return Manifest(rows, tuple(classes), path, hashlib.sha256(data).hexdigest())


def write_manifest(rows: Iterable[Row], path: str | Path) -> None:
    """Write rows as a CSV that `read_manifest` reads back equal.

    Paths below the CSV's folder are written relative to it, so that the folder can be moved.
    Columns that no row uses are left out. The file appears under its name only when complete.

    Args:
        rows: at least one.
        path: the CSV file; its folder is made if missing.
    """
    path = Path(path)
    write_whole(path, to_csv(rows, root=path.parent))


def to_csv(rows: Iterable[Row], *, root: Path) -> str:
    """Return the text of a manifest that lies in the folder ``root``."""
    rows = list(rows)
    cells = [
        {
            "path": _written_path(row.path, root=root),
            "label": "|".join(row.labels),
            "start_seconds": "" if row.start_seconds is None else repr(row.start_seconds),
            "end_seconds": "" if row.end_seconds is None else repr(row.end_seconds),
            "split": row.split or "",
            "group": row.group or "",
        }
        for row in rows
    ]
    used = [c for c in COLUMNS if c in ("path", "label") or any(cell[c] for cell in cells)]
    text = io.StringIO()
    writer = csv.DictWriter(text, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return text.getvalue()


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ManifestError(
            f"{path}: is a folder; for one folder per class, run `vidskim data scan {path}`"
        )
    if not path.exists():
        raise ManifestError(f"{path}: no such manifest; check the path")
    if not path.is_file():
        raise ManifestError(f"{path}: not a regular file; give a CSV file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.strip():
        raise ManifestError(f"{path}: is empty; its first line must name columns: path,label,...")
    return data


def _parse(text: str, *, path: Path, known: set[str] | None) -> Iterator[Row]:
    """Yield one row per non-blank line; ``known`` are the labels allowed, or None for any."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    seen: dict[tuple[Path, float | None, float | None], int] = {}
    try:
        header = _header(next(reader), path=path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise ManifestError(
                    f"{where}: {len(cells)} values for {len(header)} columns; put values that hold "
                    "commas in double quotes"
                )
            values = {name: cell.strip() for name, cell in zip(header, cells)}
            row = _row(values, where=where, root=path.parent, known=known)
            key = (row.path, row.start_seconds, row.end_seconds)
            if key in seen:
                raise ManifestError(
                    f"{where}: {values['path']!r} is on line {seen[key]} already; remove one, or "
                    "join their labels by '|'"
                )
            seen[key] = reader.line_num
            yield row
    except csv.Error as error:
        raise ManifestError(
            f"{path}, line {reader.line_num}: not valid CSV ({error}); check its quotes"
        ) from None


def _header(cells: Sequence[str], *, path: Path) -> list[str]:
    """Return the columns' names with aliases resolved; columns we do not know are kept, unused."""
    where = f"{path}, line 1"
    names: list[str] = []
    for cell in cells:
        written = cell.strip().lower()
        name = ALIASES.get(written, written)
        if name in names:
            raise ManifestError(f"{where}: column {name!r} stands twice; keep one")
        names.append(name)
    missing = [name for name in ("path", "label") if name not in names]
    if missing:
        raise ManifestError(
            f"{where}: no column {missing[0]!r} among {', '.join(map(repr, names))}; the first "
            "line must name at least path,label, split by commas"
        )
    for name in names:
        near = get_close_matches(name, set(COLUMNS) - set(names), n=1, cutoff=0.75)
        if name not in COLUMNS and near:
            raise ManifestError(
                f"{where}: unknown column {name!r}: did you mean {near[0]!r}? (rename it)"
            )
    return names


def _row(values: Mapping[str, str], *, where: str, root: Path, known: set[str] | None) -> Row:
    if not values["path"]:
        raise ManifestError(f"{where}: the path is empty; name a video file")
    if "\0" in values["path"]:
        raise ManifestError(f"{where}: the path holds a NUL character; name a video file")
    labels = tuple(dict.fromkeys(label.strip() for label in values["label"].split("|")))
    for label in labels:
        if not label:
            raise ManifestError(f"{where}: a label is empty in {values['label']!r}; name a class")
        if known is not None and label not in known:
            near = get_close_matches(label, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it is none of {len(known)} classes"
            raise ManifestError(f"{where}: unknown label {label!r}: {hint}")
    start = _seconds(values.get("start_seconds", ""), name="start_seconds", where=where)
    end = _seconds(values.get("end_seconds", ""), name="end_seconds", where=where)
    if end is not None and end <= (start or 0.0):
        raise ManifestError(
            f"{where}: end_seconds {end:g} is not after start_seconds {start or 0.0:g}; swap or "
            "correct them"
        )
    split = values.get("split") or None
    if split is not None and split not in SPLITS:
        near = get_close_matches(split.lower(), SPLITS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ManifestError(f"{where}: unknown split {split!r}: {hint}(valid: {', '.join(SPLITS)})")
    return Row(root / values["path"], labels, start, end, split, values.get("group") or None)


def _seconds(text: str, *, name: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ManifestError(f"{where}: {name} is {text!r}; give seconds as a number of at least 0")
    return value


def _written_path(path: Path, *, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return Path(os.path.abspath(path)).as_posix()
