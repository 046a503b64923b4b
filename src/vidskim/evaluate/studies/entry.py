"""One line of a study's table, and a study's whole result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vidskim.errors import UsageError
from vidskim.evaluate.bootstrap import Share
from vidskim.evaluate.metrics import Interval


@dataclass(frozen=True, slots=True)
class Entry:
    """One method with one classifier, on all videos."""

    classifier: str
    method: str
    accuracy: Interval
    vs_dense: Interval | None
    """Difference on the same videos, None for dense itself."""
    vs_uniform: Interval | None
    """Difference on the same videos, None for uniform itself."""
    gap_closed: Share | None
    """(accuracy - uniform) / (oracle - uniform), None for these two and where there is no gap."""
    precision: Interval | None
    """Of the chosen clips against the true moments, None where none is known."""
    recall: Interval | None
    clips: float
    """Chosen clips per video."""
    look_gmacs: float | None
    """1e9 multiply-adds of choosing per video, None where nothing is multiplied."""
    look_seconds: float | None
    """Of choosing, per video of the sample."""
    seconds: float | None
    """Of the whole answer, per video of the sample."""
    varied: Mapping[str, float | int | str] = field(default_factory=dict)
    """What the study varies, and what else it measures."""


@dataclass(frozen=True, slots=True)
class Wide:
    """A table in the paper's own form."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What one study found."""

    name: str
    title: str
    beside: str
    """What of the paper it is read beside."""
    entries: tuple[Entry, ...]
    draw: Callable[[Path], None]
    """Writes the figure to a path ending in .png or .svg."""
    wide: Wide | None = None
    notes: tuple[str, ...] = ()


class MissingError(UsageError):
    """A study cannot be done with what is at hand; the message says what makes it possible."""


def find(entries: Sequence[Entry], *, classifier: str, method: str) -> Entry | None:
    """Return an entry, None if there is none."""
    return next((e for e in entries if (e.classifier, e.method) == (classifier, method)), None)
