"""A video's time line as text: saliency as blocks, the chosen moments below, a clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidskim.errors import printable
from vidskim.show.tables import clock

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = "_.:-=+*#"
"""As many steps for a terminal that knows ASCII only."""
LABEL_WIDTH = 10
NARROWEST, WIDEST = 16, 160
"""Columns of the time line itself."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where text is shown."""

    width: int = 80
    """Columns."""
    plain: bool = False
    """Whether it knows ASCII only."""

    @property
    def marks(self) -> tuple[str, str]:
        """What stands below a moment: where it was chosen, and where it was chosen for less."""
        return ("^", ".") if self.plain else ("▲", "△")


def draw_strip(
    scores: Mapping[str, Sequence[float | None]],
    *,
    edges: NDArray[np.float64],
    marks: Sequence[tuple[float, float]],
    lesser: Sequence[tuple[float, float]] = (),
    duration_seconds: float,
    canvas: Canvas,
    marked: str = "chosen",
) -> list[str]:
    """Draw scores over time, one line each, and below them what was chosen.

    A column shows the highest score of the clips that reach into it, from the lowest to the highest
    block between the smallest and the largest score of its line, which stand behind it; where
    nothing was scored it is blank.

    Args:
        scores: name of a line to its N scores, None for a clip that was not seen.
        edges: ``[N + 1]`` seconds, where the clips begin and the last one ends.
        marks: start and end in seconds of what was chosen.
        lesser: the same of what was chosen for less; in one column a mark of the others wins.
        duration_seconds: of the video.
        canvas: where it is shown.
        marked: what stands before the marks.
    """
    behind = 2 + len("0.00-0.00")
    width = max(NARROWEST, min(canvas.width - LABEL_WIDTH - behind, WIDEST))
    duration = max(duration_seconds, float(edges[-1]), 1e-6)
    lines = [
        f"{printable(name)[: LABEL_WIDTH - 1]:<{LABEL_WIDTH}}"
        f"{_blocks(row, edges, duration=duration, width=width, plain=canvas.plain)}{_span(row)}"
        for name, row in scores.items()
    ]
    below = [" "] * width
    for letter, spans in zip(reversed(canvas.marks), (lesser, marks)):
        for start, end in spans:
            first, last = (int(time / duration * width) for time in (start, max(start, end - 1e-6)))
            for column in range(min(first, width - 1), min(last, width - 1) + 1):
                below[column] = letter
    return [
        *lines,
        f"{marked:<{LABEL_WIDTH}}{''.join(below)}".rstrip(),
        " " * LABEL_WIDTH + _ruler(duration, width=width),
    ]


def _blocks(
    row: Sequence[float | None],
    edges: NDArray[np.float64],
    *,
    duration: float,
    width: int,
    plain: bool,
) -> str:
    """Return one line of ``width`` blocks."""
    values = np.array([np.nan if value is None else value for value in row], np.float64)
    if not np.isfinite(values).any():
        return " " * width
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    levels = PLAIN_BLOCKS if plain else BLOCKS
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    columns = np.linspace(0, duration, width + 1)
    first = np.searchsorted(edges, columns[:-1] + 1e-9, side="right") - 1
    last = np.searchsorted(edges, columns[1:] - 1e-9, side="left") - 1
    text = []
    for a, b in zip(first.clip(0), last):
        seen = values[a : max(b, a) + 1]
        seen = seen[np.isfinite(seen)]
        text.append(levels[round((float(seen.max()) - low) * scale)] if len(seen) else " ")
    return "".join(text)


def _span(row: Sequence[float | None]) -> str:
    """Return the smallest and the largest score of a line."""
    known = [value for value in row if value is not None]
    return f"  {min(known):.2f}-{max(known):.2f}" if known else ""


def _ruler(duration: float, *, width: int) -> str:
    """Return times below the columns they belong to, the end of the video last."""
    end = clock(int(duration), digits=0) if duration >= 60 else f"0:{min(duration, 59.9):04.1f}"
    step = next((s for s in _STEPS if width * s / duration >= len(end) + 4), None)
    text = [" "] * width
    last_free = width - len(end) - 2
    places = range(int(duration // step) + 1) if step else range(1)
    for number in places:
        label = clock(number * (step or 0), digits=0)
        column = int(number * (step or 0) / duration * width)
        if column + len(label) <= last_free:
            text[column : column + len(label)] = label
    text[width - len(end) :] = end
    return "".join(text)
