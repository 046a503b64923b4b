"""Scores over time as inline SVG: one panel per source, chosen moments across all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from vidskim.errors import printable
from vidskim.show.tables import clock

WIDTH, LEFT, RIGHT = 1000, 76, 988
"""Units of the drawing: its width, and where the time line begins and ends."""
TOP, PANEL, MAIN, GAP = 22, 40, 96, 12
STEPS = 800
"""Steps a curve can show; of more, neighbors are drawn as one step at their maximum."""
NARROWEST = 3.0
"""A chosen moment is drawn at least so wide."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A chosen moment."""

    start: float
    end: float
    """Seconds."""
    text: str
    """What is told of it on hovering."""
    is_cheap: bool = False
    """Whether the cheap of several encoders saw it."""


@dataclass(frozen=True, slots=True)
class Banner:
    """A picture that lies on the time line, from its beginning to its end."""

    name: str
    href: str
    """Its data, as an address."""
    height: float
    """Units of the drawing."""
    lowest: str
    highest: str
    """What its lowest and its uppermost row are called."""
    holes: Sequence[tuple[float, float]] = ()
    """Start and end in seconds of what it does not show."""


Across = Callable[[float], float]
"""Seconds to a place on the drawing."""
_LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def draw_chart(
    scores: Mapping[str, Sequence[float | None]],
    *,
    main: str,
    edges: NDArray[np.float64],
    marks: Sequence[Mark],
    duration_seconds: float,
    banner: Banner | None = None,
    label: str = "saliency over time with the chosen moments marked",
) -> str:
    """Return the drawing.

    Args:
        scores: name of a panel to its N scores in [0, 1], None for a clip that was not seen. A
            panel reaches from 0 to its highest score, rounded up.
        main: which of them decided; it is drawn last and largest.
        edges: ``[N + 1]`` seconds, where the clips begin and the last one ends.
        marks: what was chosen.
        duration_seconds: of the video.
        banner: drawn above the panels.
        label: what the drawing is, for those who do not see it.
    """
    duration = max(duration_seconds, float(edges[-1]), 1e-6)
    names = [*(name for name in scores if name != main), main]
    tops, y = {}, TOP + (0.0 if banner is None else banner.height + GAP)
    for name in names:
        tops[name] = y
        y += (MAIN if name == main else PANEL) + GAP
    bottom = y - GAP

    def across(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(max(seconds / duration, 0.0), 1.0)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 8:.0f}" role="img" aria-label="{escape(label)}">'
    ]
    parts += _ticks(duration, across=across, bottom=bottom)
    for mark in marks:
        x, wide = across(mark.start), max(across(mark.end) - across(mark.start), NARROWEST)
        kind = "chosen cheap" if mark.is_cheap else "chosen"
        parts.append(
            f'<rect class="{kind}" x="{x:.2f}" y="{TOP}" width="{wide:.2f}" '
            f'height="{bottom - TOP:.0f}"><title>{escape(mark.text)}</title></rect>'
        )
    if banner is not None:
        parts += _hang(banner, across=across)
    for name in names:
        height = MAIN if name == main else PANEL
        top, kind = tops[name], "main" if name == main else "part"
        middle, limit = top + height / 2 + 4, _limit(scores[name])
        parts.append(f'<text class="name" x="0" y="{middle:.0f}">{escape(printable(name))}</text>')
        if limit is not None:
            label = f'<text x="{LEFT - 6}" y="{top + 9:.0f}" text-anchor="end">{limit:g}</text>'
            parts += [_line(LEFT, top, RIGHT, top, kind="tick"), label]
        parts.append(_line(LEFT, top + height, RIGHT, top + height, kind="floor"))
        for run in _runs(scores[name], edges):
            outline = _steps(run, across=across, top=top, height=height, limit=limit or 1.0)
            floor = f"V{top + height:.0f}H{across(run[0][0]):.2f}Z"
            parts.append(f'<path class="{kind} fill" d="{outline}{floor}"/>')
            parts.append(f'<path class="{kind} line" d="{outline}"/>')
    for mark in sorted(marks, key=lambda mark: not mark.is_cheap):  # the expensive ones on top
        x, wide = across(mark.start), max(across(mark.end) - across(mark.start), NARROWEST)
        kind = "mark cheap" if mark.is_cheap else "mark"
        parts.append(
            f'<rect class="{kind}" x="{x:.2f}" y="{bottom:.0f}" width="{wide:.2f}" height="5"/>'
        )
    return "\n".join([*parts, "</svg>"])


def _ticks(duration: float, *, across: Across, bottom: float) -> list[str]:
    """Return the clock above the panels and a line down from each time."""
    step = next((step for step in _TICKS if duration / step <= 12), duration / 10)
    drawn = []
    for number in range(int(duration // step) + 1):
        x = across(number * step)
        drawn.append(_line(x, TOP - 4, x, bottom, kind="tick"))
        anchor = "end" if x > RIGHT - 14 else "middle"
        drawn.append(
            f'<text class="time" x="{x:.1f}" y="{TOP - 9}" text-anchor="{anchor}">'
            f"{clock(int(number * step), digits=0)}</text>"
        )
    return drawn


def _hang(banner: Banner, *, across: Across) -> list[str]:
    """Return the picture, its holes covered, with its name and its rows named beside it."""
    middle, bottom = TOP + banner.height / 2 + 4, TOP + banner.height
    side = f'x="{LEFT - 6}" text-anchor="end"'
    return [
        f'<text class="name" x="0" y="{middle:.0f}">{escape(printable(banner.name))}</text>',
        f'<text {side} y="{TOP + 9}">{escape(banner.highest)}</text>',
        f'<text {side} y="{bottom:.0f}">{escape(banner.lowest)}</text>',
        f'<image x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{banner.height:.0f}" '
        f'preserveAspectRatio="none" href="{escape(banner.href)}"/>',
        *(
            f'<rect class="hole" x="{across(start):.2f}" y="{TOP}" '
            f'width="{across(end) - across(start):.2f}" height="{banner.height:.0f}"/>'
            for start, end in banner.holes
        ),
    ]


def _runs(
    scores: Sequence[float | None], edges: NDArray[np.float64]
) -> list[list[tuple[float, float, float]]]:
    """Return stretches without holes as lists of (start, end, score), thinned to `STEPS`."""
    size = -(-len(scores) // STEPS)
    runs: list[list[tuple[float, float, float]]] = [[]]
    for first in range(0, len(scores), size):
        last = min(first + size, len(scores))
        known = [score for score in scores[first:last] if score is not None]
        if known:
            runs[-1].append((float(edges[first]), float(edges[last]), max(known)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _limit(scores: Sequence[float | None]) -> float | None:
    """Return the upper end of a panel: the highest score, rounded up; None without scores."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    highest = max(known)
    return next((limit for limit in _LIMITS if highest <= limit), 1.0)


def _steps(
    run: Sequence[tuple[float, float, float]],
    *,
    across: Across,
    top: float,
    height: float,
    limit: float,
) -> str:
    """Return the outline of a stretch: a horizontal line per clip at its score."""
    words = []
    for number, (start, end, score) in enumerate(run):
        y = top + height * (1 - min(max(score / limit, 0.0), 1.0))
        words.append(f"M{across(start):.2f} {y:.2f}" if number == 0 else f"V{y:.2f}")
        words.append(f"H{across(end):.2f}")
    return "".join(words)


def _line(x1: float, y1: float, x2: float, y2: float, *, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
