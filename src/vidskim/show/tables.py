"""Tables and numbers as text, the same in answers, evaluations and studies."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vidskim.errors import printable


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal, its columns flush left."""
    widths = _widths(heads, rows)
    lines = (heads, ["-" * width for width in widths], *rows)
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str] = ()
) -> str:
    """Return a Markdown table that reads well on a terminal, its first column flush left.

    Args:
        heads: of the columns.
        rows: cells.
        left: heads of further columns that stand flush left.
    """
    rows = [[printable(cell).replace("|", "/") for cell in row] for row in rows]
    widths = _widths(heads, rows)
    text = [n == 0 or head in left for n, head in enumerate(heads)]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) if t else c.rjust(w) for c, w, t in zip(cells, widths, text))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + ("-" if t else ":") for w, t in zip(widths, text))
    return "\n".join([line(heads), f"|{rule}|", *map(line, rows)])


def markdown_of(cells: Sequence[Mapping[str, str]], *, left: Collection[str] = ()) -> str:
    """Return a `markdown_table` of rows by head; columns without an entry are left out."""
    heads = [head for head in _heads(cells) if any(row.get(head) for row in cells)]
    return markdown_table(heads, [[row.get(h, "") for h in heads] for row in cells], left=left)


def csv_of(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return rows by head as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _heads(lines), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def clock(seconds: float, *, digits: int = 2) -> str:
    """Return a time as people write it, rounded to so many digits of a second.

    >>> clock(61.5), clock(3725, digits=0), clock(65.25, digits=1)
    ('1:01.50', '1:02:05', '1:05.2')
    """
    unit = 10**digits
    minutes, rest = divmod(round(seconds * unit), 60 * unit)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / unit:0{digits + 3 if digits else 2}.{digits}f}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def giga(macs: int) -> str:
    """Return multiply-adds with three significant digits and their unit."""
    if macs >= 1e12:
        return f"{macs / 1e9:.0f} GMACs"
    return f"{macs / 1e9:.3g} GMACs" if macs >= 1e7 else f"{macs / 1e6:.3g} MMACs"


def short(value: float | None) -> str:
    """Return three significant digits without an exponent, nothing for None."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(heads, *rows, strict=True)]


def _heads(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(head for row in rows for head in row))
