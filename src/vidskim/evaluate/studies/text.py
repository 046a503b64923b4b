"""A study as Markdown that reads well on a terminal, as CSV and as JSON."""

from dataclasses import asdict
from typing import Any

from vidskim.errors import printable
from vidskim.evaluate.bootstrap import Share
from vidskim.evaluate.metrics import Interval
from vidskim.evaluate.studies.entry import Entry, Result
from vidskim.show.tables import csv_of, markdown_of, markdown_table, short

LEGEND = """\
accuracy: share of videos answered right, 95 % bootstrap interval over videos; vs: difference on the
same videos, paired, * where it excludes zero; gap: share of the way from uniform to the oracle,
(accuracy - uniform) / (oracle - uniform); P@K: share of the chosen clips that meet a true moment;
recall: share of the true moments that a chosen clip meets; clips: looked at closely, per video;
GMACs, s look: of choosing, per video; s/video: of the whole answer, decoding included."""


def to_markdown(result: Result) -> str:
    """Return title, the paper's form, all numbers and notes."""
    parts = [f"## {result.title}", "", f"Read beside {result.beside}.", ""]
    if result.wide is not None:
        parts += [markdown_table(result.wide.heads, result.wide.rows), ""]
    if result.entries:
        cells = [_cells(entry) for entry in result.entries]
        parts += [markdown_of(cells, left=("method",)), ""]
    parts += [f"- {printable(note)}" for note in result.notes]
    return "\n".join(parts).rstrip() + "\n"


def to_csv(result: Result) -> str:
    """Return one line per entry, every number in full; of a study without, its wide table."""
    lines = [_flat(entry) for entry in result.entries]
    if not lines and result.wide is not None:
        lines = [dict(zip(result.wide.heads, row, strict=True)) for row in result.wide.rows]
    return csv_of(lines)


def to_json(result: Result) -> dict[str, Any]:
    """Return a study as plain JSON values."""
    return {
        "study": result.name,
        "title": result.title,
        "beside": result.beside,
        "entries": [{**asdict(entry), "varied": dict(entry.varied)} for entry in result.entries],
        "wide": None if result.wide is None else asdict(result.wide),
        "notes": list(result.notes),
    }


def percent(value: float) -> str:
    """Return a share as the paper prints it, in percent."""
    return f"{100 * value:.1f}"


def _cells(entry: Entry) -> dict[str, str]:
    return {
        "classifier": entry.classifier,
        "method": entry.method,
        **{name: _told(value) for name, value in entry.varied.items()},
        "accuracy": _interval(entry.accuracy),
        "vs dense": _signed(entry.vs_dense),
        "vs uniform": _signed(entry.vs_uniform),
        "gap": _gap(entry.gap_closed),
        "P@K": "" if entry.precision is None else _interval(entry.precision),
        "recall": "" if entry.recall is None else _interval(entry.recall),
        "clips": f"{entry.clips:.1f}",
        "GMACs": short(entry.look_gmacs),
        "s look": short(entry.look_seconds),
        "s/video": short(entry.seconds),
    }


def _told(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _interval(interval: Interval, *, sign: str = "") -> str:
    low, high = (format(100 * x, f"{sign}.0f") for x in (interval.low, interval.high))
    return f"{format(100 * interval.estimate, f'{sign}.1f')} [{low}, {high}]"


def _signed(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return _interval(interval, sign="+") + ("*" if interval.excludes_zero else " ")


def _gap(share: Share | None) -> str:
    if share is None:
        return ""
    if share.low is None or share.high is None:
        return f"{100 * share.estimate:.0f} [?]"
    return f"{100 * share.estimate:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _flat(entry: Entry) -> dict[str, Any]:
    flat: dict[str, Any] = {"classifier": entry.classifier, "method": entry.method}
    flat |= dict(entry.varied)
    for name in ("accuracy", "vs_dense", "vs_uniform", "gap_closed", "precision", "recall"):
        value = getattr(entry, name)
        flat[name] = None if value is None else value.estimate
        flat[f"{name}_low"] = None if value is None else value.low
        flat[f"{name}_high"] = None if value is None else value.high
    for name in ("clips", "look_gmacs", "look_seconds", "seconds"):
        flat[name] = getattr(entry, name)
    return flat
