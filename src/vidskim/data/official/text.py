"""Official annotation files as text: bounded reading, CSV, and what ids and labels may hold.

The files come from strangers. Every error names file, line and value, in one line.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from vidskim.errors import ManifestError

MAX_BYTES = 128 * 2**20
"""Several times what the half million rows of Kinetics-700 take."""

MAX_ID = 200
"""Characters of a video's id."""

NO_LABELS = "labels of the test set are not published: leave this file out"
"""What to do about a file without labels."""


def read_text(path: Path) -> str:
    """Return the text of an annotation file.

    Raises:
        ManifestError: it is no regular file, empty, too large or not UTF-8.
    """
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "no such file"
        raise ManifestError(f"{path}: {what}; give an official annotation file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ManifestError(
            f"{path}: is larger than {MAX_BYTES // 2**20} MiB; give an official annotation file"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8; save it as UTF-8"
        ) from None
    if not text.strip():
        raise ManifestError(f"{path}: is empty; download it again")
    return text


def read_table(path: Path, *, columns: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the values of each row below the header, stripped, and where it stands.

    Args:
        path: a CSV file.
        columns: those that must be there.

    Raises:
        ManifestError: it cannot be read, or lacks columns or values.
    """
    header: list[str] = []
    for cells, where in csv_rows(read_text(path), path=path, delimiter=","):
        if not header:
            header = [cell.strip().lower() for cell in cells]
            _check_header(header, columns=columns, where=where)
            continue
        if len(cells) != len(header):
            raise ManifestError(
                f"{where}: {len(cells)} values for {len(header)} columns; put values that hold "
                "commas in double quotes"
            )
        yield {name: cell.strip() for name, cell in zip(header, cells)}, where


def csv_rows(text: str, *, path: Path, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each line that is not blank, and where it stands.

    Raises:
        ManifestError: its quotes do not match, or a value is too long.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield cells, f"{path}, line {reader.line_num}"
    except csv.Error as error:
        raise ManifestError(
            f"{path}, line {reader.line_num}: not valid CSV ({error}); check its quotes"
        ) from None


def checked_id(text: str, *, where: str, column: str) -> str:
    """Return a video's id, which can only be the name of a file.

    Raises:
        ManifestError: it is empty, or could name another folder.
    """
    is_name = 0 < len(text) <= MAX_ID and text != "." and ".." not in text and _is_plain(text)
    if not is_name or "/" in text or "\\" in text:
        raise ManifestError(
            f"{where}: {column} {shown(text)} cannot be a file's name (empty, too long, or with "
            "'/', '..' or control characters); correct it"
        )
    return text


def checked_label(text: str, *, where: str) -> str:
    """Return a label as a manifest can hold it.

    Raises:
        ManifestError: it is empty, or holds '|' or control characters.
    """
    label = text.strip()
    if not label or "|" in label or not _is_plain(label):
        raise ManifestError(
            f"{where}: label {shown(text)} cannot stand in a manifest (empty, or with '|' or "
            "control characters); correct it"
        )
    return label


def shown(text: str) -> str:
    """Return a value as a message quotes it: on one line, its beginning if it is long."""
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _check_header(header: Sequence[str], *, columns: Sequence[str], where: str) -> None:
    missing = [name for name in columns if name not in header]
    if not missing:
        return
    if missing == ["label"]:
        raise ManifestError(f"{where}: no column 'label'; {NO_LABELS}")
    near = get_close_matches(missing[0], header, n=1)
    hint = f" (rename {shown(near[0])}?)" if near else ""
    raise ManifestError(
        f"{where}: no column {missing[0]!r}{hint} in {shown(','.join(header))}; the first line "
        f"must name {', '.join(columns)}"
    )


def _is_plain(text: str) -> bool:
    """Whether a text holds no control characters and no halves of characters (from JSON)."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
